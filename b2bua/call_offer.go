package b2bua

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
)

// Changes of a session that is up. Our own address never changes, so we answer hold,
// resume and a new address by ourselves. We ask the other side if the codec has to
// change (targets[].reinvite).

// How long a side waits for the other one's answer to a change. An UPDATE has to be
// answered within 64*T1 (RFC 3311 section 5.2, RFC 3261 section 17.1.2.2), and an
// INVITE should not wait for ever.
const (
	consultUpdate = 24 * time.Second
	consultInvite = time.Minute
)

// offeredEarly answers an offer in an UPDATE or PRACK before the call is answered.
// It takes another address or hold, but no other codec.
func (es *exchanges) offeredEarly(from *legOnWire, f leg.Offered) {
	d, ok := es.read(from, f)
	if !ok {
		return
	}
	if formats, _ := es.agreed(from, d); formats != nil {
		es.absorb(from, d, formats)
		return
	}
	es.call.step(from, notAcceptable())
}

// rejection refuses a change with a status of our own.
func rejection(code int, headers ...sip.Header) leg.Reject {
	return leg.Reject{Code: code, Reason: message.StatusText(code), Headers: headers}
}

// notAcceptable refuses a change for its codecs.
func notAcceptable() leg.Reject { return rejection(488, warning("305 "+sdp.ErrNoCodec.Error())) }

// read reads an offer in mid-call. On false it has refused the offer, and the
// session stays as it is (RFC 3261 section 14.2).
func (es *exchanges) read(from *legOnWire, f leg.Offered) (*sdp.Description, bool) {
	c := es.call
	err := sdp.ErrTooLong
	var d *sdp.Description
	if len(f.SDP) <= message.MaxSDP {
		d, err = sdp.Read(f.SDP, from.crypto.Accept())
	}
	if err == nil && !c.media.reaches(c.side(from), d) {
		err = errNoFamily
	}
	if err != nil {
		code, _, why := badOffer(err)
		c.step(from, rejection(code, why))
		return nil, false
	}
	return d, true
}

// reaches says whether our media can go to the address in a description. A host name
// is not looked up: the address is learned from the side's RTP.
func (m *callMedia) reaches(side media.Side, d *sdp.Description) bool {
	rtp := d.RTP()
	return !rtp.IsValid() || rtp.Addr().Is4() == m.session.Local(side).Addr().Is4()
}

// offered is a re-INVITE or UPDATE of a call that is up.
func (es *exchanges) offered(from *legOnWire, f leg.Offered) {
	c := es.call
	if f.SDP == nil {
		es.offerAgain(from)
		return
	}
	d, ok := es.read(from, f)
	if !ok {
		return
	}
	formats, exact := es.agreed(from, d)
	mode := c.policy().Reinvite
	switch {
	case formats != nil && (mode == config.ReinviteAbsorb || (mode == config.ReinviteAuto && exact)):
		es.absorb(from, d, formats)
	case mode == config.ReinviteAbsorb, c.other(from) == nil:
		c.step(from, notAcceptable())
	case es.current != nil, c.transfers.current != nil: // the target of a transfer was offered the present codec
		c.step(from, rejection(491))
	default:
		es.consult(from, d, formats, f)
	}
}

// agreed are the formats of an offer that both sides were told; nil: the codec of
// the call is not among them. exact: all formats are.
func (es *exchanges) agreed(from *legOnWire, d *sdp.Description) (formats []sdp.Format, exact bool) {
	c := es.call
	freely := c.bridge != nil && c.policy().DTMF != config.DTMFRelay
	return c.agreement.Covers(c.side(from), d, es.keyed(), freely)
}

// keyed is the side whose telephone-events end here at the moment.
func (es *exchanges) keyed() media.Side {
	c := es.call
	if c.b == nil && c.attempts.current == nil {
		return noSide
	}
	_, t := c.attempts.line()
	return c.eventsFor(t)
}

// absorb answers an offer without asking the other side.
func (es *exchanges) absorb(from *legOnWire, d *sdp.Description, formats []sdp.Format) {
	c := es.call
	side := c.side(from)
	answer := c.agreement.ForSide(side, d, es.keyed()).Answering(d, c.media.at(side), c.media.answering(from, d), formats, d.Mirrored())
	before := c.agreement.Description[side]
	c.agreement.TakeStreams(side, d)
	c.agreement.KeepBefore(side, false)
	c.agreement.SentTo[side] = formats
	c.media.setPeer(side, d)
	if before == nil || before.RTP() != d.RTP() || before.Held() != d.Held() { // else it only refreshes the session
		c.peerLog.Info().Stringer("side", side).Bool("held", d.Held()).Stringer("rtp", d.RTP()).Msg("session changed")
	}
	c.step(from, leg.Accept{SDP: answer})
}

// offerAgain answers a re-INVITE without SDP with an offer of the session as it
// is: its ACK has the answer (RFC 3261 section 14.2).
func (es *exchanges) offerAgain(from *legOnWire) {
	c := es.call
	offer, err := es.sessionTo(c.side(from))
	if err != nil {
		c.step(from, notAcceptable())
		return
	}
	c.step(from, leg.Accept{SDP: offer})
}

// sessionTo describes the present session to a side.
func (es *exchanges) sessionTo(side media.Side) ([]byte, error) {
	c := es.call
	return c.agreement.SessionToward(side, c.media.at(side), c.media.crypto(side).Offering(), es.keyed())
}

// consult offers the other side the change that one side wants.
func (es *exchanges) consult(from *legOnWire, d *sdp.Description, fallback []sdp.Format, f leg.Offered) {
	c := es.call
	to := c.other(from)
	wanted := d.NumberedAs(c.agreement.Description[c.side(to)])
	formats, err := wanted.Usable(c.policy().Codecs)
	switch {
	case err == nil:
	case fallback != nil: // the other side can't be asked, but the codec of the call stays
		es.absorb(from, d, fallback)
		return
	default:
		c.step(from, notAcceptable())
		return
	}
	like := c.agreement.StreamOrder[c.side(to)]
	offer := wanted.Answering(like, c.media.at(c.side(to)), to.crypto.Offering(), formats, d.PassedOn())
	patience := consultUpdate
	if f.Method == sip.INVITE {
		patience = consultInvite
	}
	es.current = &exchange{from: from, to: to, ref: c.agreement.NextOffer(), offer: d, formats: formats, fallback: fallback, until: time.Now().Add(patience)}
	c.step(to, leg.Offer{Ref: es.current.ref, SDP: offer, Headers: c.passedTo(to, f.Headers)})
	if f.Method == sip.INVITE && from.leg.Asks() {
		c.trying(from)
	}
}

// expired: the other side has not answered the change in time. If it accepts
// later, it is offered the present session again.
func (es *exchanges) expired() {
	c := es.call
	x := es.current
	x.withdrawn = true
	c.peerLog.Warn().Stringer("side", c.side(x.to)).Msg("no answer to a change")
	c.step(x.from, rejection(504))
}

// answerReady handles the answer to a change that one side wanted, or to an offer
// of our own. An error means that the session is broken.
func (es *exchanges) answerReady(from *legOnWire, f leg.AnswerReady) error {
	if f.Overtook {
		es.restore(from)
		return nil
	}
	if x := es.settled(from, f.Ref); x != nil {
		es.answerOf(x, f)
		return nil
	}
	return es.ownOfferAnswered(from, f)
}

// answerOf gives the side that wanted a change the other side's answer.
func (es *exchanges) answerOf(x *exchange, f leg.AnswerReady) {
	c := es.call
	answer, err := x.to.readAnswer(f.SDP, x.formats)
	if err != nil || x.withdrawn {
		if err != nil {
			c.peerLog.Warn().Err(err).Stringer("side", c.side(x.to)).Msg("answer to a change not usable")
		}
		es.refuse(x, 488)
		es.restore(x.to)
		return
	}
	side := c.side(x.from)
	seen := agreement.WithEventsOf(c.eventsFor(c.bridge.target), side, answer.InNumbersOf(x.offer), x.offer)
	told := seen.Common(x.offer)
	if seen.Speaks().Name == "" {
		es.refuse(x, 488)
		es.restore(x.to)
		return
	}
	reply := seen.Answering(x.offer, c.media.at(side), c.media.answering(x.from, x.offer), told, sdp.AsIs)
	c.agreement.KeepBefore(side, true)
	c.agreement.SentTo[side], c.agreement.SentTo[side.Other()] = told, x.formats
	c.agreement.Tell(side, told)
	c.agreement.Tell(side.Other(), answer.Formats())
	c.agreement.TakeStreams(side, x.offer)
	c.media.setPeer(side, x.offer)
	c.media.setPeer(side.Other(), answer)
	c.peerLog.Info().Str("codec", c.agreement.CodecName).Stringer("side", side).Msg("session renegotiated")
	c.step(x.from, leg.Accept{SDP: reply, Headers: c.passedTo(x.from, f.Headers)})
}

// restore offers a side the session again as the other side has it.
func (es *exchanges) restore(l *legOnWire) {
	c := es.call
	if offer, err := es.sessionTo(c.side(l)); err == nil {
		c.step(l, leg.Offer{Ref: c.agreement.NextOffer(), SDP: offer})
	}
}

// offerRefused: the other side refuses the change. The side that wanted it gets it
// all the same if the codec stays.
func (es *exchanges) offerRefused(from *legOnWire, f leg.OfferRefused) {
	switch x := es.settled(from, f.Ref); {
	case x == nil: // an offer of our own: the session stays as it was
	case x.withdrawn:
	case x.fallback != nil:
		es.absorb(x.from, x.offer, x.fallback)
	default:
		es.refuse(x, f.Code)
	}
}

// refuse refuses a change to the side that wanted it, with the other side's
// status if that is about the session.
func (es *exchanges) refuse(x *exchange, code int) {
	r := notAcceptable()
	if code == 491 || code == 480 || code == 486 || code == 606 {
		r = rejection(code)
	}
	es.call.step(x.from, r)
}

// drop forgets a change between the caller and an agent that has left the
// call. The caller keeps the former session.
func (es *exchanges) drop() {
	x := es.current
	es.current = nil
	switch {
	case x == nil:
	case x.from == es.call.a:
		es.refuse(x, 491)
	default: // the caller's answer may be on its way
		es.restore(es.call.a)
	}
}

// withdrawn: a side has cancelled its re-INVITE. An answer that was given already
// never reached it.
func (es *exchanges) withdrawn(from *legOnWire) {
	c := es.call
	side := c.side(from)
	if x := es.current; x != nil && x.from == from {
		x.withdrawn = true
		return
	}
	if before := c.agreement.Before[side]; before != nil && before.Description != nil {
		c.agreement.Before[side] = nil
		c.agreement.Terms = before.Terms
		c.agreement.Tell(media.SideA, c.agreement.SentTo[media.SideA]) // for the record
		c.media.setPeer(side, before.Description)
		if before.Asked {
			es.restore(c.other(from))
		}
	}
}

// errNoAnswer means that an ACK or PRACK had to bring an answer and did not.
var errNoAnswer = errors.New("no session description where an answer was due")

// ownOfferAnswered takes the answer to an offer of our own.
func (es *exchanges) ownOfferAnswered(from *legOnWire, f leg.AnswerReady) error {
	c := es.call
	side := c.side(from)
	if f.SDP == nil && !f.Late {
		return nil // some peers leave the description out if nothing has changed
	}
	if f.SDP == nil {
		return errNoAnswer
	}
	answer, err := from.readAnswer(f.SDP, c.agreement.SentTo[side])
	if err == nil && !sdp.Includes(answer.Formats(), c.agreement.Codec[side]) {
		err = sdp.ErrNoCodec
	}
	if like := c.agreement.StreamOrder[side]; err == nil && f.Late && answer.Streams() > max(1, like.Streams()) {
		err = sdp.ErrMalformed
	}
	switch {
	case err != nil && f.Late:
		return err
	case err != nil:
		c.peerLog.Warn().Err(err).Stringer("side", side).Msg("answer not usable")
		return nil
	}
	if c.agreement.Late && side == media.SideA {
		c.agreement.Late = false
		c.agreement.Offer = answer
	}
	c.media.setPeer(side, answer)
	return nil
}

// exchanges carries the offers and answers of a call after its first answer, and changes by UPDATE and PRACK before it.
type exchanges struct {
	call    *Call
	current *exchange // nil: none is under way
}

// exchange is a change that one side wants and that we have offered the other. A call
// has one at a time.
type exchange struct {
	from, to  *legOnWire
	ref       int // of the offer to it
	offer     *sdp.Description
	formats   []sdp.Format // offered to to
	fallback  []sdp.Format // formats that from gets if to refuses; nil: none
	withdrawn bool         // from has cancelled it, or has waited for too long
	until     time.Time
}

// settled takes out the exchange that a side has answered or refused; nil: the
// offer was our own.
func (es *exchanges) settled(by *legOnWire, ref int) *exchange {
	x := es.current
	if x == nil || x.to != by || x.ref != ref {
		return nil
	}
	es.current = nil
	return x
}

// deadline is when the change under way has taken too long.
func (es *exchanges) deadline() time.Time {
	if es.current == nil || es.current.withdrawn {
		return time.Time{}
	}
	return es.current.until
}
