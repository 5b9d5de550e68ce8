package b2bua

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
)

// DTMF by INFO on one side and by telephone-events (RFC 4733) on the other:
// targets[].dtmf.

// platform is the platform's side of the media.
func (c *Call) platform() media.Side {
	if c.trunk.Platform != nil {
		return media.SideA
	}
	return media.SideB
}

// eventsFor is the side whose telephone-events end here, in a call to this target,
// whether or not the other side has any; noSide: they are relayed.
func (c *Call) eventsFor(t *peers.Target) media.Side {
	mode := t.Dial.DTMF
	if c.trunk.Platform != nil {
		mode = c.trunk.Platform.DTMF
	}
	switch mode {
	case config.DTMFRFC4733:
		return c.platform()
	case config.DTMFInfo:
		return c.platform().Other()
	case config.DTMFRelay:
	}
	return noSide
}

// noSide means neither side of the media.
const noSide media.Side = -1

// takesDigit sends the digit of an INFO as telephone-events if the other side is
// configured for them and has them.
func (c *Call) takesDigit(from *legOnWire, req *sip.Request) bool {
	mode := c.policy().DTMF
	toPlatform := c.side(from) != c.platform()
	if (mode != config.DTMFRFC4733 || !toPlatform) && (mode != config.DTMFInfo || toPlatform) {
		return false
	}
	content := contentOf(req)
	digit, duration, ok := message.ParseDTMFInfo(content.ContentType, content.Body)
	if !ok {
		return false
	}
	side := c.side(from).Other()
	number, clock, ok := c.agreement.Events(side)
	if !ok {
		return false
	}
	err := c.media.session.SendDigit(side, media.Digit{Digit: digit, Duration: duration, PayloadType: number, ClockRate: clock})
	if err != nil {
		c.peerLog.Warn().Err(err).Stringer("side", side).Msg("digit not sent")
		c.reply(from, req, 480)
		return true
	}
	c.reply(from, req, 200)
	return true
}

// listenForDigits has the relay report a side's telephone-events and keep them back,
// where the other side gets them as INFO.
func (m *callMedia) listenForDigits() {
	c := m.call
	for _, side := range []media.Side{media.SideA, media.SideB} {
		number, clock, ok := agreement.EventsAmong(c.agreement.SentTo[side], c.agreement.Codec[side].Clock)
		on := ok && c.diverts(side)
		if !on && !m.listening[side] {
			continue
		}
		m.listening[side] = on
		m.session.SetTelephoneEvents(side, media.TelephoneEvents{On: on, PayloadType: number, ClockRate: clock, Divert: on})
	}
}

// diverts says whether a side's telephone-events go to the other one as INFO: to a
// platform that wants INFO, and from one that wants telephone-events to a caller that
// has none. Allow is not asked: Asterisk takes INFO and does not say so.
func (c *Call) diverts(side media.Side) bool {
	switch c.policy().DTMF {
	case config.DTMFInfo:
		return side != c.platform()
	case config.DTMFRFC4733:
		_, _, has := c.agreement.Events(side.Other())
		return side == c.platform() && !has
	case config.DTMFRelay:
	}
	return false
}

// onKeyed sends the other side a digit as INFO. Masked are the caller's.
func (c *Call) onKeyed(f keyed) {
	to := c.a
	if f.Side == media.SideA {
		to = c.b
	}
	if to == nil || !c.media.listening[f.Side] || f.Side != c.platform() && c.masking.on {
		return
	}
	content := leg.Content{}
	content.ContentType, content.Body = message.DTMFInfo(f.Digit, f.Duration)
	c.step(to, leg.Send{Method: sip.INFO, Content: content})
}
