package b2bua

import (
	"errors"
	"slices"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
)

// readOffer reads the caller's session description. Without one we offer the
// targets' codecs, and the caller's answer comes with its ACK or PRACK. On false the
// call is over.
func (c *Call) readOffer() (phase, bool) {
	if c.told.earlyMedia { // the process before has read it
		return nil, true
	}
	body := message.SDPBody(c.invite) // refusal has checked it
	c.agreement.Late = body == nil
	// A caller that offers nothing may have no SRTP, and could only hang up.
	c.a.crypto = sdp.NewLegCrypto(c.trunk.Caller.Media, c.server.identity.Fingerprint(), c.agreement.Late && c.trunk.Caller.Media.SRTP == config.SRTPRequired)
	if c.agreement.Late {
		return nil, true
	}
	offer, err := sdp.Read(body, c.a.crypto.Accept())
	if err != nil {
		code, cause, why := badOffer(err)
		return c.refuse(code, cause, why), false
	}
	c.agreement.Offer, c.agreement.Description[media.SideA] = offer, offer
	return nil, true
}

// badOffer says how an unusable offer is refused.
func badOffer(err error) (code int, why cause.Cause, header sip.Header) {
	if errors.Is(err, sdp.ErrNoAddress) {
		return 400, cause.BadOffer, warning("399 " + sdp.ErrNoAddress.Error())
	}
	if errors.Is(err, sdp.ErrMalformed) || errors.Is(err, sdp.ErrTooLong) {
		return 400, cause.BadOffer, warning("399 " + sdp.ErrMalformed.Error())
	}
	if slices.ContainsFunc([]error{sdp.ErrNeedsSRTP, sdp.ErrNoSuite, sdp.ErrNoKey, sdp.ErrKeying, sdp.ErrNoPrint}, func(e error) bool { return errors.Is(err, e) }) {
		return 488, cause.SRTPRequired, warning("304 " + err.Error())
	}
	if errors.Is(err, sdp.ErrNoCodec) {
		return 488, cause.NoCommonCodec, warning("305 " + err.Error())
	}
	return 488, cause.NoCommonCodec, warning("304 " + err.Error())
}

// takeAnswer puts the target's answer into force. The carrier's first answer stays:
// its address, port and codec don't change during the set-up.
func (all *attempts) takeAnswer(body []byte) error {
	c := all.call
	a := all.current
	answer, err := a.readAnswer(body)
	if err != nil {
		return err
	}
	near := c.agreement.Offer
	if c.agreement.Answer != nil {
		near = c.agreement.OnlyAgreedCodec(media.SideA, near)
	}
	seen := agreement.WithEventsOf(c.eventsFor(a.target), media.SideA, answer.InNumbersOf(near), c.agreement.Offer)
	if c.agreement.Answer != nil && seen.Speaks() != c.agreement.Codec[media.SideA] {
		return sdp.ErrNoCodec
	}
	if c.agreement.Answer == nil {
		c.tellCaller(seen)
	}
	c.agreement.SentTo[media.SideB] = a.formats
	c.agreement.Tell(media.SideB, answer.Formats())
	c.media.setPeer(media.SideB, answer)
	return nil
}

// readAnswer reads the leg's answer to our offer of these formats.
func (l *legOnWire) readAnswer(body []byte, offered []sdp.Format) (*sdp.Description, error) {
	if len(body) > message.MaxSDP {
		return nil, sdp.ErrTooLong
	}
	answer, err := sdp.Read(body, l.crypto.AcceptAnswer())
	if err != nil {
		return nil, err
	}
	l.crypto.Answered(answer)
	return answer.KeepOffered(offered)
}

// tellCaller makes the caller's description from the target's answer: an answer, or,
// if the caller made no offer, an offer of the codec that the target chose.
func (c *Call) tellCaller(answer *sdp.Description) {
	if c.agreement.Late {
		formats := answer.Decided()
		c.agreement.Answer = answer.ForTarget(c.media.at(media.SideA), c.a.crypto.Offering(), formats, sdp.AsIs)
		c.agreement.SentTo[media.SideA] = formats
		c.agreement.Tell(media.SideA, formats)
		return
	}
	formats := answer.Common(c.agreement.Offer) // it may have events that only the target was offered
	c.agreement.TakeStreams(media.SideA, c.agreement.Offer)
	c.agreement.SentTo[media.SideA] = formats
	c.agreement.Tell(media.SideA, formats)
	c.agreement.Answer = answer.Answering(c.agreement.Offer, c.media.at(media.SideA), c.media.answering(c.a, c.agreement.Offer), formats, sdp.AsIs)
	c.media.setPeer(media.SideA, c.agreement.Offer)
}

// causeOfAnswer is the cause of an attempt with an unusable answer.
func causeOfAnswer(err error) cause.Cause {
	if errors.Is(err, sdp.ErrNotSecured) {
		return cause.SRTPRefused
	}
	return cause.BadAnswer
}

// triesPlain makes RTP the next attempt at a target that has refused optional SRTP,
// and says whether there is such an attempt.
func (all *attempts) triesPlain() bool {
	if !all.againPlain() {
		return false
	}
	all.call.log.Info().Str("target", all.current.target.Dial.Name).Msg("SRTP not taken, RTP is offered")
	all.call.ladder.Decide("target %s does not take SRTP: RTP is offered", all.current.target.Dial.Name)
	return true
}
