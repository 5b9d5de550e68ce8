package b2bua

import (
	"errors"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
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

// offering is how our offer to a leg presents the audio stream.
func (c *Call) offering(l *legOnWire) sdp.StreamTransport { return l.crypto.Offering() }

// answering is how our answer to a leg's offer presents it.
func (c *Call) answering(l *legOnWire, offer *sdp.Description) sdp.StreamTransport {
	before := c.description[c.side(l)]
	return l.crypto.Answering(offer, before != nil && before.RTP() != offer.RTP())
}

// secure gives the media the keys of what a side has described, before its
// address. Where another leg takes the side over, or what was SRTP is to be
// RTP, nothing goes out in between, and of the former keys nothing stays.
func (c *Call) secure(side media.Side, d *sdp.Description) error {
	l := c.crypto(side)
	before := c.secured[side]
	l.Force(d)
	c.secured[side] = secured{leg: l, plain: !d.Secured()}
	if !d.Secured() && (before.leg == nil || before.plain) {
		return nil
	}
	if before.leg != nil && (before.leg != l || !d.Secured()) {
		c.session.SetPeer(side, media.Peer{})
		c.voices[side] = nil // the relay gives it up
		if err := c.session.SetCrypto(side, media.Crypto{}); err != nil {
			return err
		}
	}
	return c.session.SetCrypto(side, d.Crypto())
}

// suite is the name of what a side is secured with, empty for plain RTP.
func (c *Call) suite(side media.Side) string { return c.secured[side].leg.Suite() }

// causeOfAnswer is the cause of an attempt whose answer can't be used.
func causeOfAnswer(err error) cause.Cause {
	if errors.Is(err, sdp.ErrNotSecured) {
		return cause.SRTPRefused
	}
	return cause.BadAnswer
}

// refusesSRTP says whether a status refuses an offer for what it describes.
func refusesSRTP(code int) bool { return code == 488 || code == 606 || code == 415 }

// triesPlain sees to it that a target that has refused SRTP, where that is
// optional, is offered RTP next, and says whether that is so.
func (c *Call) triesPlain() bool {
	a := c.attempt
	if a.target.Config.Media.SRTP != config.SRTPOptional || a.crypto == nil || c.plain[a.target] {
		return false
	}
	if c.plain == nil {
		c.plain = map[*peers.Target]bool{}
	}
	c.plain[a.target] = true
	pending := &c.untried
	if a.reason == reasonTransfer {
		pending = &c.transfer.pending
	}
	*pending = append([]*peers.Target{a.target}, *pending...)
	c.log.Info().Str("target", a.target.Config.Name).Msg("SRTP not taken, RTP is offered")
	return true
}

// triesPlainAfter is triesPlain for an answer that can't be used: one whose
// stream is declined or is no SRTP.
func (c *Call) triesPlainAfter(err error) {
	if errors.Is(err, sdp.ErrNotSecured) || errors.Is(err, sdp.ErrRejected) {
		c.triesPlain()
	}
}

// cryptoFor is the part in SRTP of the leg to a target.
func (c *Call) cryptoFor(t *peers.Target) *sdp.LegCrypto {
	m := t.Config.Media
	return sdp.NewLegCrypto(m, m.SRTP == config.SRTPRequired || (m.SRTP == config.SRTPOptional && !c.plain[t]))
}
