package bridge

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

// Platform is the platform's side of the media.
func (b *Bridge) Platform() media.Side {
	if b.Trunk.Platform != nil {
		return media.SideA
	}
	return media.SideB
}

// EventsFor is the side whose telephone-events end here, in a call to this target,
// whether or not the other side has any; noSide: they are relayed.
func (b *Bridge) EventsFor(t *peers.Target) media.Side {
	mode := t.Dial.DTMF
	if b.Trunk.Platform != nil {
		mode = b.Trunk.Platform.DTMF
	}
	switch mode {
	case config.DTMFRFC4733:
		return b.Platform()
	case config.DTMFInfo:
		return b.Platform().Other()
	case config.DTMFRelay:
	}
	return noSide
}

// noSide means neither side of the media.
const noSide media.Side = -1

// takesDigit sends the digit of an INFO as telephone-events if the other side is
// configured for them and has them.
func (b *Bridge) takesDigit(from *Half, req *sip.Request) bool {
	mode := b.Call.Policy().DTMF
	toPlatform := from.Side != b.Platform()
	if (mode != config.DTMFRFC4733 || !toPlatform) && (mode != config.DTMFInfo || toPlatform) {
		return false
	}
	content := contentOf(req)
	digit, duration, ok := message.ParseDTMFInfo(content.ContentType, content.Body)
	if !ok {
		return false
	}
	side := from.Side.Other()
	number, clock, ok := b.Agreement.Events(side)
	if !ok {
		return false
	}
	err := b.Media.session.SendDigit(side,
		media.Digit{Digit: digit, Duration: duration, PayloadType: number, ClockRate: clock})
	if err != nil {
		b.PeerLog.Warn().Err(err).Stringer("side", side).Msg("digit not sent")
		b.Reply(from, req, 480)
		return true
	}
	b.Reply(from, req, 200)
	return true
}

// ListenForDigits has the relay report a side's telephone-events and keep them back,
// where the other side gets them as INFO.
func (m *Media) ListenForDigits() {
	b := m.bridge
	for _, side := range []media.Side{media.SideA, media.SideB} {
		number, clock, ok := agreement.EventsAmong(b.Agreement.SentTo[side], b.Agreement.Codec[side].Clock)
		on := ok && b.diverts(side)
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
func (b *Bridge) diverts(side media.Side) bool {
	if b.Announcement.speaks && side == media.SideB {
		return true
	}
	switch b.Call.Policy().DTMF {
	case config.DTMFInfo:
		return side != b.Platform()
	case config.DTMFRFC4733:
		_, _, has := b.Agreement.Events(side.Other())
		return side == b.Platform() && !has
	case config.DTMFRelay:
	}
	return false
}

// onKeyed sends the other side a digit as INFO. Masked are the caller's.
func (b *Bridge) onKeyed(f Keyed) {
	to := b.across(f.Side)
	if b.Announcement.key(f.Side, f.Digit) || to == nil || !b.Media.listening[f.Side] ||
		f.Side != b.Platform() && b.Masking.On {
		return
	}
	content := leg.Content{}
	content.ContentType, content.Body = message.DTMFInfo(f.Digit, f.Duration)
	to.Step(leg.Send{Method: sip.INFO, Content: content})
}
