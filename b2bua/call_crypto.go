package b2bua

import (
	"errors"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// secured is whose keys the media of a side has.
type secured struct {
	leg   *sdp.LegCrypto
	plain bool
}

// crypto is the part in SRTP of the leg that is on a side.
func (c *Call) crypto(side media.Side) *sdp.LegCrypto {
	if side == media.SideA {
		return c.a.crypto
	}
	l, _ := c.attemptLine()
	return l.crypto
}

// answering is how our answer to a leg's offer presents it.
func (c *Call) answering(l *legOnWire, offer *sdp.Description) sdp.StreamTransport {
	before := c.agreement.description[c.side(l)]
	return l.crypto.Answering(offer, before != nil && before.RTP() != offer.RTP())
}

// secure gives the media the keys of what a side has described, before its
// address. Where another leg takes the side over, or what was SRTP is to be
// RTP, nothing goes out in between, and of the former keys nothing stays.
func (c *Call) secure(side media.Side, d *sdp.Description) error {
	l := c.crypto(side)
	before := c.media.secured[side]
	l.Apply(d)
	c.media.secured[side] = secured{leg: l, plain: !d.Secured()}
	if !d.Secured() && (before.leg == nil || before.plain) {
		return nil
	}
	if before.leg != nil && (before.leg != l || !d.Secured()) {
		c.media.session.SetPeer(side, media.Peer{})
		c.sounds.voices[side] = nil // the relay gives it up
		if err := c.media.session.SetCrypto(side, media.Crypto{}); err != nil {
			return err
		}
	}
	return c.media.session.SetCrypto(side, d.Crypto())
}

// suite is the name of what a side is secured with, empty for plain RTP.
func (m *callMedia) suite(side media.Side) string { return m.secured[side].leg.Suite() }

// causeOfAnswer is the cause of an attempt whose answer can't be used.
func causeOfAnswer(err error) cause.Cause {
	if errors.Is(err, sdp.ErrNotSecured) {
		return cause.SRTPRefused
	}
	return cause.BadAnswer
}

// refusesSRTP says whether a status refuses an offer for what it describes.
func refusesSRTP(code int) bool { return code == 488 || code == 606 || code == 415 }

// triesPlain has a target that has refused SRTP, where that is optional, be offered
// RTP next, and says whether that is so.
func (c *Call) triesPlain() bool {
	if !c.attempts.againPlain() {
		return false
	}
	c.log.Info().Str("target", c.attempts.current.target.Dial.Name).Msg("SRTP not taken, RTP is offered")
	return true
}
