package call

import (
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
)

// readOffer reads the caller's SDP offer. If the INVITE has none, we offer the targets' codecs, and the caller's
// answer comes in its ACK or PRACK. If readOffer returns false, it has refused the call, and the phase is the next
// one.
func (c *Call) readOffer() (phase, bool) {
	if c.progressSent.earlyMedia { // the old process has read the offer
		return nil, true
	}
	body := message.SDPBody(c.invite) // usable: leg.Refusal has checked it
	late := body == nil
	c.bridge.Agreement.Late = late
	// A caller without an offer may not support SRTP, and could then only hang up. So it is offered SRTP only if that is
	// required.
	c.a.Crypto = sdp.NewLegCrypto(c.trunk.Caller.Media, c.host.Bridges.Identity.Fingerprint(), late &&
		c.trunk.Caller.Media.SRTP == config.SRTPRequired)
	if late {
		return nil, true
	}
	if err := c.bridge.TakeOffer(body); err != nil {
		code, cause, why := c.bridge.BadOffer(media.SideA, err)
		return c.refuse(code, cause, why), false
	}
	return nil, true
}

// takeAnswer puts the target's answer into force.
func (all *attempts) takeAnswer(body []byte) error {
	answer, err := all.readAnswer(body)
	if err != nil {
		return err
	}
	return all.call.bridge.TakeAnswer(all.current.target, answer, all.current.formats)
}
