package bridge

import (
	"fmt"
	"strconv"
	"time"

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
		if !on && !m.Listening[side] {
			continue
		}
		m.Listening[side] = on
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
	if b.Announcement.key(f.Side, f.Digit) || to == nil || !b.Media.Listening[f.Side] ||
		f.Side != b.Platform() && b.Masking.On {
		return
	}
	err := b.Relays.press(&pressing{to: to, keys: string(f.Digit), length: message.BoundDigit(f.Duration)})
	if err != nil {
		b.PeerLog.Warn().Err(err).Stringer("side", to.Side).Msg("digit not sent")
	}
}

// pressing are keys that a side gets as INFO, each when the last one has its answer: over UDP requests overtake each
// other, and the peer refuses the late one (RFC 3261 section 12.2.2).
type pressing struct {
	to     *Half
	keys   string
	length time.Duration // of each
	went   int           // how many the peer has taken
	until  time.Time     // when the others are dropped
	result chan<- error  // of an order, with room for it; nil: the keys come from the other side
}

const (
	pressWithin = 10 * time.Second      // clients of the API wait for an order's result
	keyGap      = 40 * time.Millisecond // between two keys (ITU-T Q.24)
)

// keysAsInfo are the keys for one side.
type keysAsInfo struct {
	pressed []*pressing // the first ones are under way
	open    bool        // a key has no answer yet
	at      time.Time   // when the next one may leave
}

// press queues keys behind the ones that still wait for their side.
func (r *Relays) press(p *pressing) error {
	k := &r.keys[p.to.Side]
	if len(k.pressed) >= maxOrderedDigits {
		return refused("too many keys wait", "ask again later")
	}
	now := time.Now()
	p.until = now.Add(pressWithin)
	k.pressed = append(k.pressed, p)
	r.onTimer(now)
	return nil
}

// onTimer ends the keys whose time is over, and sends each side the next one if its turn has come.
func (r *Relays) onTimer(now time.Time) {
	for side := range r.keys {
		k := &r.keys[side]
		for len(k.pressed) > 0 && !now.Before(k.pressed[0].until) {
			r.endKeys(media.Side(side), 1, "10 s were over")
		}
		if len(k.pressed) == 0 || k.open || now.Before(k.at) {
			continue
		}
		p := k.pressed[0]
		k.open, k.at = true, now.Add(p.length+keyGap)
		ref := r.add(relayed{to: p.to, done: func(f leg.Replied) { r.keyAnswered(p, f.Code) }})
		content := leg.Content{}
		content.ContentType, content.Body = message.DTMFInfo(p.keys[p.went], p.length)
		p.to.Step(leg.Send{Ref: ref, Method: sip.INFO, Content: content})
	}
}

// keyAnswered handles the final answer to a key. In the gap after it, an upgrade finds the call at rest.
func (r *Relays) keyAnswered(p *pressing, code int) {
	k := &r.keys[p.to.Side]
	k.open = false
	if gap := time.Now().Add(keyGap); k.at.Before(gap) {
		k.at = gap
	}
	switch {
	case len(k.pressed) == 0 || k.pressed[0] != p: // ended before
	case code >= 300:
		r.endKeys(p.to.Side, 1, "the next one got "+strconv.Itoa(code))
	default:
		if p.went++; p.went == len(p.keys) {
			r.endKeys(p.to.Side, 1, "")
		}
	}
}

// endAllKeys ends the keys for both sides.
func (r *Relays) endAllKeys(why string) {
	for side := range r.keys {
		r.endKeys(media.Side(side), len(r.keys[side].pressed), why)
	}
}

// endKeys ends the first n that were pressed for a side.
func (r *Relays) endKeys(side media.Side, n int, why string) {
	k := &r.keys[side]
	ended := k.pressed[:n]
	k.pressed = k.pressed[n:]
	for _, p := range ended {
		var err error
		if p.went < len(p.keys) {
			err = &OrderError{
				fmt.Sprintf("%d of %d keys were pressed, and %s", p.went, len(p.keys), why),
				"look at the call's ladder before you press the others", 409,
			}
			r.bridge.PeerLog.Warn().Err(err).Stringer("side", side).Msg("digit not sent")
		}
		if p.result != nil {
			p.result <- err
		}
	}
}

// deadline is when onTimer is wanted; zero: never.
func (r *Relays) deadline() (first time.Time) {
	for _, k := range r.keys {
		switch {
		case len(k.pressed) == 0:
		case k.open:
			first = leg.Earliest(first, k.pressed[0].until)
		default:
			first = leg.Earliest(first, k.at, k.pressed[0].until)
		}
	}
	return first
}
