package bridge

import (
	"errors"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file handles changes to an established session. Our own address never changes, so we answer a hold, a resume and
// a new address ourselves. We ask the other side only if the codec has to change (targets[].reinvite).

// A side that wants a change waits at most this long for the other side's answer. An UPDATE has to be answered within
// 64*T1 (RFC 3311 section 5.2, RFC 3261 section 17.1.2.2), and an INVITE should not wait forever.
const (
	consultUpdate = 24 * time.Second
	consultInvite = time.Minute
)

// OfferedEarly answers an offer in an UPDATE or PRACK before the call is answered. It accepts a new address or a hold,
// and refuses another codec.
func (es *Exchanges) OfferedEarly(from *Half, f leg.Offered) {
	d, ok := es.read(from, f)
	if !ok {
		return
	}
	if formats, _ := es.agreed(from, d); formats != nil {
		es.absorb(from, d, formats)
		return
	}
	from.Step(NotAcceptable())
}

// Rejection returns the refusal of a change with a status that we chose ourselves.
func Rejection(code int, headers ...sip.Header) leg.Reject {
	return leg.Reject{Code: code, Reason: message.StatusText(code), Headers: headers}
}

// NotAcceptable returns the 488 that refuses a change because of its codecs.
func NotAcceptable() leg.Reject {
	return Rejection(488, message.Warning("305 "+sdp.ErrNoCodec.Error()))
}

// read parses an offer made during the call. If the offer is unusable, read refuses it and returns false, and the
// session stays as it is (RFC 3261 section 14.2).
func (es *Exchanges) read(from *Half, f leg.Offered) (*sdp.Description, bool) {
	b := es.bridge
	err := sdp.ErrTooLong
	var d *sdp.Description
	if len(f.SDP) <= message.MaxSDP {
		d, err = sdp.Read(f.SDP, b.Media.accept(from.Side, from.Crypto.Accept()))
	}
	if err != nil {
		code, _, why := b.BadOffer(from.Side, err)
		from.Step(Rejection(code, why))
		return nil, false
	}
	var mayAsk []string
	if b.Call.Moment().Answered {
		mayAsk = b.Call.Policy().Codecs
	}
	return b.Agreement.Following(from.Side, d, mayAsk, b.Platform()), true
}

// Offered handles a re-INVITE or UPDATE of an established call.
func (es *Exchanges) Offered(from *Half, f leg.Offered) {
	b := es.bridge
	if f.SDP == nil {
		es.offerAgain(from)
		return
	}
	d, ok := es.read(from, f)
	if !ok {
		return
	}
	formats, exact := es.agreed(from, d)
	mode := b.Call.Policy().Reinvite
	busy := es.current != nil || b.Call.Moment().Transfer // because a transfer's target was offered the present codec
	exact = exact && (busy || !b.Agreement.Returns(from.Side, d, b.Call.Policy().Codecs))
	switch {
	case formats != nil && (mode == config.ReinviteAbsorb || (mode == config.ReinviteAuto && exact) ||
		b.Other(from) == nil):
		es.absorb(from, d, formats)
	case mode == config.ReinviteAbsorb && !busy && es.meet(from, d): // music on hold may list one codec
	case mode == config.ReinviteAbsorb, b.Other(from) == nil:
		from.Step(NotAcceptable())
	case busy:
		from.Step(Rejection(491))
	case mode == config.ReinviteAuto && b.Agreement.IsMade(from.Side.Other()) && es.meet(from, d):
	default:
		es.consult(from, d, formats, f)
	}
}

// agreed returns those formats of an offer that the sides have already agreed on, or nil if the call's codec is not
// among them. exact reports whether these are all formats of the offer.
func (es *Exchanges) agreed(from *Half, d *sdp.Description) (formats []sdp.Format, exact bool) {
	return es.bridge.Agreement.Covers(from.Side, d, es.keyed())
}

// keyed returns the side whose telephone-events are not relayed at the moment (EventsFor), or noSide.
func (es *Exchanges) keyed() media.Side {
	b := es.bridge
	if t := b.Call.Called(); t != nil {
		return b.EventsFor(t)
	}
	return noSide
}

// absorb answers an offer without asking the other side.
func (es *Exchanges) absorb(from *Half, d *sdp.Description, formats []sdp.Format) {
	b := es.bridge
	side := from.Side
	answer := b.Agreement.ForSide(side, d, es.keyed()).
		Answering(d, b.Media.at(side), b.Media.answering(from, d), formats, d.Mirrored())
	before := b.Agreement.Description[side]
	es.unsettled[side] = nil
	b.Agreement.Take(side, d, formats)
	b.Media.SetPeer(side, d)
	if before == nil || before.RTP() != d.RTP() || before.Held() != d.Held() { // otherwise it only refreshes the session
		b.PeerLog.Info().Stringer("side", side).Bool("held", d.Held()).Stringer("rtp", d.RTP()).Msg("session changed")
		b.Media.changed(record.AfterReinvite + side.String())
	}
	from.Step(leg.Accept{SDP: answer})
}

// meet answers an offer without a codec of the call with what can be made of the other side's codec. It returns false
// if nothing can.
func (es *Exchanges) meet(from *Half, d *sdp.Description) bool {
	b := es.bridge
	before := b.Agreement.Terms
	if b.Other(from) == nil {
		return false
	}
	formats := b.Agreement.Meet(from.Side, d, es.keyed())
	if formats == nil {
		return false
	}
	es.absorb(from, d, formats)
	b.Agreement.Before[from.Side].Terms = before
	return true
}

// offerAgain answers a re-INVITE without SDP with an offer of the present session. The peer's answer comes in its ACK
// (RFC 3261 section 14.2).
func (es *Exchanges) offerAgain(from *Half) {
	offer, err := es.sessionTo(from.Side)
	if err != nil {
		from.Step(NotAcceptable())
		return
	}
	from.Step(leg.Accept{SDP: offer})
}

// sessionTo returns an offer of the present session to a side.
func (es *Exchanges) sessionTo(side media.Side) ([]byte, error) {
	b := es.bridge
	return b.Agreement.SessionToward(side, b.Media.at(side), b.Call.Half(side).Crypto.Offering(), es.keyed())
}

// consult offers the other side the change that one side wants. If the other side refuses, from gets the formats in
// fallback, or a refusal if fallback is nil.
func (es *Exchanges) consult(from *Half, d *sdp.Description, fallback []sdp.Format, f leg.Offered) {
	b := es.bridge
	to := b.Other(from)
	wanted := b.Agreement.Wanted(to.Side, d)
	formats, err := wanted.Usable(b.Call.Policy().Codecs)
	switch {
	case err == nil:
	case fallback != nil: // the other side can't be asked, but the call's codec need not change
		es.absorb(from, d, fallback)
		return
	default:
		if !es.meet(from, d) {
			from.Step(NotAcceptable())
		}
		return
	}
	like := b.Agreement.StreamOrder[to.Side]
	way := d.PassedOn()
	if b.Call.Policy().Reinvite == config.ReinviteAuto {
		way = sdp.SendRecv // so that the end of a hold does not look like a change of codec
	}
	offer := wanted.Answering(like, b.Media.at(to.Side), to.Crypto.Offering(), formats, way)
	patience := consultUpdate
	if f.Method == sip.INVITE {
		patience = consultInvite
	}
	es.current = &exchange{
		from: from, to: to, ref: b.Agreement.NextOffer(), offer: d, formats: formats,
		fallback: fallback, until: time.Now().Add(patience),
	}
	to.Step(leg.Offer{Ref: es.current.ref, SDP: offer, Headers: b.PassedTo(to, f.Headers)})
	if f.Method == sip.INVITE && from.Leg.Asks() { // a refused change needs no 100, nor the journal's write before it
		from.Trying()
	}
}

func (es *Exchanges) on(e Event) (handled bool) {
	if _, is := e.(Left); is {
		es.drop()
	}
	return false
}

func (es *Exchanges) end() { es.current = nil }

// due ends a change that the other side has not answered in time. If the other side accepts it later, we offer that
// side the present session again.
func (es *Exchanges) due(time.Time) {
	b := es.bridge
	x := es.current
	b.PeerLog.Warn().Stringer("side", x.to.Side).Msg("no answer to a session change")
	es.deny(x, Rejection(504))
	x.withdrawn = true
}

// AnswerReady handles a side's answer to a change that the other side wanted, or to an offer of our own. An error means
// that the session is broken.
func (es *Exchanges) AnswerReady(from *Half, f leg.AnswerReady) error {
	es.unsettled[from.Side] = nil
	if f.Overtook {
		es.overtaken(from, f)
		return nil
	}
	if x := es.settled(from, f.Ref); x != nil {
		es.answerOf(x, f)
		return nil
	}
	return es.OwnOfferAnswered(from, f)
}

// answerOf puts a change into force, and passes the other side's answer to the side that wanted it.
func (es *Exchanges) answerOf(x *exchange, f leg.AnswerReady) {
	b := es.bridge
	answer, err := b.ReadAnswer(x.to, f.SDP, x.formats)
	if err != nil || x.withdrawn {
		if err != nil {
			b.PeerLog.Warn().Err(err).Stringer("side", x.to.Side).Msg("answer to a session change not usable")
		}
		es.unsettle(x.to.Side, answer, x.formats)
		es.deny(x, NotAcceptable())
		es.Restore(x.to)
		return
	}
	answer = answer.Following(b.Agreement.Description[x.to.Side], x.formats)
	side := x.from.Side
	seen := agreement.WithEventsOf(b.EventsFor(b.Call.Called()), side, answer.InNumbersOf(x.offer), x.offer)
	told := seen.Common(x.offer)
	if seen.Speaks().Name == "" {
		es.unsettle(x.to.Side, answer, x.formats)
		es.deny(x, NotAcceptable())
		es.Restore(x.to)
		return
	}
	way := sdp.AsIs
	if b.Call.Policy().Reinvite == config.ReinviteAuto {
		way = x.offer.Mirrored()
	}
	reply := seen.Answering(x.offer, b.Media.at(side), b.Media.answering(x.from, x.offer), told, way)
	b.Agreement.KeepBefore(side, true)
	b.Agreement.Decided(side, x.offer)
	b.Agreement.SentTo[side], b.Agreement.SentTo[side.Other()] = told, x.formats
	b.Agreement.Tell(side, seen.Common(x.offer.Whole()))
	b.Agreement.Tell(side.Other(), answer.Formats())
	b.Agreement.StreamOrder[side] = x.offer
	b.Media.SetPeer(side, x.offer)
	b.Media.SetPeer(side.Other(), answer)
	b.PeerLog.Info().Str("codec", b.Agreement.CodecName).Stringer("side", side).Msg("session renegotiated")
	b.Media.changed(record.AfterReinvite + side.String())
	x.from.Step(leg.Accept{SDP: reply, Headers: b.PassedTo(x.from, f.Headers)})
}

// OfferRefused ends a change that the other side refuses. The side that wanted the change still gets it if the codec
// need not change. An error means that the session is broken.
func (es *Exchanges) OfferRefused(from *Half, f leg.OfferRefused) error {
	x := es.settled(from, f.Ref)
	if x == nil {
		return es.keep(from)
	}
	es.refused = x
	if !x.withdrawn {
		es.deny(x, refusal(f.Code))
	}
	if x.overtook {
		es.Restore(from)
	}
	return nil
}

// deny ends a change that the other side does not accept. The side that wanted the change gets the refusal only if the
// codec would have to change, and the new one can't be made of the other side's.
func (es *Exchanges) deny(x *exchange, refusal leg.Reject) {
	switch {
	case x.withdrawn, x.fallback == nil && !es.meet(x.from, x.offer):
		x.from.Step(refusal)
		return
	case x.fallback == nil:
		return
	}
	es.bridge.Agreement.Decided(x.from.Side, x.offer)
	es.absorb(x.from, x.offer, x.fallback)
}

// refusal returns the refusal of a change that the other side has refused with this status: the same status if that is
// 480, 486, 491 or 606, and otherwise 488.
func refusal(code int) leg.Reject {
	if code == 491 || code == 480 || code == 486 || code == 606 {
		return Rejection(code)
	}
	return NotAcceptable()
}

// drop ends the change in progress, because the agent has left the call. The caller keeps the previous session.
func (es *Exchanges) drop() {
	x := es.current
	es.current, es.refused, es.unsettled[media.SideB] = nil, nil, nil
	switch {
	case x == nil:
	case x.from.Side == media.SideA:
		x.from.Step(Rejection(491))
	default: // the caller may have accepted the change already
		es.Restore(es.bridge.Call.Half(media.SideA))
	}
}

// Interrupt is like drop, but also refuses a change that the agent wanted, because the agent's leg stays in the call.
func (es *Exchanges) Interrupt(agent *Half) {
	if x := es.current; x != nil && x.from == agent {
		x.from.Step(Rejection(491))
	}
	es.drop()
}

// Underway reports whether a change waits for the other side's answer.
func (es *Exchanges) Underway() bool { return es.current != nil }

// errNoAnswer means that an ACK or PRACK should have carried the answer to an offer, but has no SDP.
var errNoAnswer = errors.New("no session description where an answer was due")

// OwnOfferAnswered handles the answer to an offer of our own.
func (es *Exchanges) OwnOfferAnswered(from *Half, f leg.AnswerReady) error {
	b := es.bridge
	side := from.Side
	if f.SDP == nil && !f.Late {
		return nil // some peers leave the description out if it has not changed
	}
	if f.SDP == nil {
		return errNoAnswer
	}
	answer, err := b.ReadAnswer(from, f.SDP, b.Agreement.SentTo[side])
	late := b.Agreement.Late && side == media.SideA // may choose the other kind of G.711
	if err == nil && !late && !sdp.Includes(answer.Formats(), b.Agreement.Codec[side]) {
		err = sdp.ErrNoCodec
	}
	if like := b.Agreement.StreamOrder[side]; err == nil && f.Late && answer.Streams() > max(1, like.Streams()) {
		err = sdp.ErrMalformed
	}
	switch {
	case err != nil && f.Late:
		return err
	case err != nil:
		b.PeerLog.Warn().Err(err).Stringer("side", side).Msg("answer not usable")
		return nil
	}
	answer = answer.Following(b.Agreement.Description[side], b.Agreement.SentTo[side])
	if late {
		b.Agreement.Chosen(answer)
	}
	b.Media.SetPeer(side, answer)
	return nil
}

// Exchanges handles the offers and answers of a call after its first answer, and changes by UPDATE or PRACK before
// that.
type Exchanges struct {
	service
	current   *exchange     // nil if no change waits for the other side
	refused   *exchange     // the last change that its other side refused, or whose CANCEL its answer may still cross
	unsettled [2]*unsettled // by side, until the side takes or refuses the session that it is offered again; or nil
}

// exchange is a change that one side wants and that we have offered to the other side. A call has at most one at a
// time.
type exchange struct {
	from, to  *Half
	ref       int // Ref of the offer to the leg to
	offer     *sdp.Description
	formats   []sdp.Format // formats that to was offered
	fallback  []sdp.Format // formats for the leg from if the leg to refuses, or nil
	withdrawn bool         // the leg from has cancelled the change, or has got 504 because the leg to did not answer
	overtook  bool         // the leg to has accepted an earlier change after we had given it up
	until     time.Time
}

// settled removes and returns the exchange that a side has answered or refused. It returns nil if the answer is to an
// offer that we made on our own.
func (es *Exchanges) settled(by *Half, ref int) *exchange {
	x := es.current
	if x == nil || x.to != by || x.ref != ref {
		return nil
	}
	es.current = nil
	return x
}

// deadline returns the time limit of the change that waits for an answer, or zero if there is none.
func (es *Exchanges) deadline() time.Time {
	if es.current == nil || es.current.withdrawn {
		return time.Time{}
	}
	return es.current.until
}
