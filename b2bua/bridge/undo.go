package bridge

import (
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file handles changes that one side has made and the other side does not get: they are undone at the side that
// has made them, or taken as agreed.

// unsettled is an answer of a side that is in force there, but not here.
type unsettled struct {
	answer  *sdp.Description // nil if it can't be used
	formats []sdp.Format     // formats that the side was offered
}

// Restore offers a side the present session again.
func (es *Exchanges) Restore(l *Half) {
	b := es.bridge
	if offer, err := es.sessionTo(l.Side); err == nil {
		l.Step(leg.Offer{Ref: b.Agreement.NextOffer(), SDP: offer})
	}
}

// Withdrawn undoes a change whose re-INVITE was cancelled by its sender. If we have answered it, the answer has not
// reached the sender.
func (es *Exchanges) Withdrawn(from *Half) {
	b := es.bridge
	side := from.Side
	if x := es.current; x != nil && x.from == from {
		x.withdrawn = true
		return
	}
	if before := b.Agreement.Before[side]; before != nil && before.Description != nil {
		b.Agreement.Before[side] = nil
		if other := side.Other(); before.Asked {
			es.unsettle(other, b.Agreement.Description[other], b.Agreement.SentTo[other])
		}
		b.Agreement.Undo(side, before.Terms)
		b.Media.SetPeer(side, before.Description)
		if before.Asked {
			es.Restore(b.Other(from))
		}
	}
}

// overtaken handles an answer that crossed our CANCEL of the change.
func (es *Exchanges) overtaken(from *Half, f leg.AnswerReady) {
	formats := es.bridge.Agreement.SentTo[from.Side]
	if x := es.refused; x != nil && x.to == from {
		formats = x.formats
	}
	if f.SDP != nil { // otherwise the session has not changed
		answer, _ := es.bridge.ReadAnswer(from, f.SDP, formats)
		es.unsettle(from.Side, answer, formats)
	}
	if x := es.current; x != nil && x.to == from { // its offer waits, and takes the place of that session
		x.overtook = true
	} else {
		es.Restore(from)
	}
}

// unsettle keeps a side's answer to a change that does not come about, in case the side refuses the session that it is
// offered again. answer is nil if it can't be used.
func (es *Exchanges) unsettle(side media.Side, answer *sdp.Description, formats []sdp.Format) {
	if answer != nil {
		answer = answer.Following(es.bridge.Agreement.Description[side], formats)
	}
	es.unsettled[side] = &unsettled{answer, formats}
}

// keep handles a side that refuses to get the session again. If it has answered a change, that is what it goes on with
// (RFC 3261 section 14.1), so its media follow that answer. An error means that the other side has no such codec.
func (es *Exchanges) keep(from *Half) error {
	b, side, u := es.bridge, from.Side, es.unsettled[from.Side]
	es.unsettled[side], es.refused = nil, nil
	switch {
	case u == nil:
		return nil
	case u.answer == nil:
		return sdp.ErrNoCodec
	}
	b.Agreement.SentTo[side] = u.formats
	b.Agreement.Tell(side, u.answer.Formats())
	b.Media.SetPeer(side, u.answer)
	b.PeerLog.Warn().Stringer("side", side).Msg("side still uses a session change that was given up")
	b.Media.changed(record.AfterReinvite + side.String())
	if !b.Agreement.Reaches(side) {
		return sdp.ErrNoCodec
	}
	return nil
}
