package bridge

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/media"
)

// This file implements targets[].dtmf: one side sends and gets DTMF by INFO, and the other side by telephone-events
// (RFC 4733).

// digitSession has the methods of the media session that Digits uses.
type digitSession interface {
	SetTelephoneEvents(media.Side, media.TelephoneEvents)
	SendDigit(media.Side, media.Digit) error
}

// Digits converts DTMF between telephone-events and INFO. The relay drops a side's telephone-events if the other side
// gets INFO, and inserts telephone-events for a side's INFO.
type Digits struct {
	idle
	decides [2]bool // by side: the party decides by a key, before the sides are connected
}

func (ds *Digits) on(e Event) (handled bool) {
	switch e.(type) {
	case Answered, described:
		if ds.bridge.Call.Connected() != nil || ds.decides != [2]bool{} {
			ds.listen()
		}
	}
	return false
}

// asked converts an INFO with a digit to telephone-events, if the other side is configured for them and has
// negotiated them. It returns false if the INFO is something else.
func (ds *Digits) asked(from *Half, req *sip.Request) (handled bool) {
	b := ds.bridge
	if req.Method != sip.INFO {
		return false
	}
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

// listen makes the relay report, instead of relay, the telephone-events of each side whose digits reach the other
// side as INFO.
func (ds *Digits) listen() {
	b := ds.bridge
	m := &b.Media
	for _, side := range []media.Side{media.SideA, media.SideB} {
		number, clock, ok := agreement.EventsAmong(b.Agreement.SentTo[side], b.Agreement.Codec[side].Clock)
		on := ok && ds.diverts(side)
		if !on && !m.Listening[side] {
			continue
		}
		m.Listening[side] = on
		m.session.SetTelephoneEvents(side, media.TelephoneEvents{On: on, PayloadType: number, ClockRate: clock, Divert: on})
	}
}

// diverts reports whether a side's telephone-events become INFO to the other side. They do toward a platform that
// wants INFO, and toward a side without telephone-events. Those of a party that decides are only reported. diverts
// ignores the Allow header, because Asterisk accepts INFO without listing it.
func (ds *Digits) diverts(side media.Side) bool {
	b := ds.bridge
	if ds.decides[side] {
		return true
	}
	_, _, has := b.Agreement.Events(side.Other())
	return !has || b.Call.Policy().DTMF == config.DTMFInfo && side != b.Platform()
}

// pressing is a series of keys that a side gets as INFO. Each key waits until the previous one is answered: over UDP
// a request may overtake another, and the peer refuses the one that comes late (RFC 3261 section 12.2.2).
type pressing struct {
	to     *Half
	keys   string
	length time.Duration // how long each key is pressed
	went   int           // number of keys that the peer has accepted
	until  time.Time     // when the remaining keys are dropped
	result chan<- error  // gets the result of an operator's command (buffered); nil if the keys come from the other side
}

const (
	pressWithin = 10 * time.Second      // short, because clients of the API wait for the result
	keyGap      = 40 * time.Millisecond // between two keys (ITU-T Q.24)
)

// Pressed sends keys as INFO, one at a time for each side, and queues the others.
type Pressed struct {
	idle
	to [2]keysAsInfo // indexed by the side that gets the keys
}

// keysAsInfo is the queue of keys for one side.
type keysAsInfo struct {
	pressed []*pressing // the first series is the one being sent
	asked   *Half       // the leg that has not answered its last key; nil if none
	at      time.Time   // when the next key may be sent
}

func (ps *Pressed) on(e Event) (handled bool) {
	switch e := e.(type) {
	case media.EventDigit:
		ps.pass(e)
		return true
	case Left:
		ps.endAll("the call goes to somebody else") // the keys were meant for the party that has left
		for side := range ps.to {
			if k := &ps.to[side]; k.asked == e.Leg {
				k.asked = nil
			}
		}
	case replaced:
		ps.endAll("the process was replaced")
	}
	return false
}

func (ps *Pressed) end() { ps.endAll("the call has ended") }

// busy returns an error if keys that one side sends to the other are queued. Keys that an operator sends don't count,
// because an upgrade cancels the command.
func (ps *Pressed) busy() error {
	if slices.ContainsFunc(slices.Concat(ps.to[media.SideA].pressed, ps.to[media.SideB].pressed),
		func(p *pressing) bool { return p.result == nil }) {
		return ErrRequest
	}
	return nil
}

// pass sends a digit of one side to the other side as INFO.
func (ps *Pressed) pass(f media.EventDigit) {
	b := ps.bridge
	to := b.across(f.Side)
	if to == nil || !b.Media.Listening[f.Side] {
		return
	}
	if err := ps.press(&pressing{to: to, keys: string(f.Digit), length: message.BoundDigit(f.Duration)}); err != nil {
		b.PeerLog.Warn().Err(err).Stringer("side", to.Side).Msg("digit not sent")
	}
}

// press queues a series of keys for a side. It returns an error if too many are queued.
func (ps *Pressed) press(p *pressing) error {
	k := &ps.to[p.to.Side]
	if len(k.pressed) >= maxOrderedDigits {
		return refused("too many keys wait", "ask again later")
	}
	now := time.Now()
	p.until = now.Add(pressWithin)
	k.pressed = append(k.pressed, p)
	ps.due(now)
	return nil
}

// due drops the series whose time limit is over, and sends each side its next key if the previous one is answered.
func (ps *Pressed) due(now time.Time) {
	for side := range ps.to {
		k := &ps.to[side]
		for len(k.pressed) > 0 && !now.Before(k.pressed[0].until) {
			ps.endKeys(media.Side(side), 1, "10 s were over")
		}
		if len(k.pressed) == 0 || k.asked != nil || now.Before(k.at) {
			continue
		}
		p := k.pressed[0]
		k.asked, k.at = p.to, now.Add(p.length+keyGap)
		ref := ps.bridge.Relays.add(relayed{to: p.to, done: func(f leg.Replied) { ps.answered(p, f.Code) }})
		content := leg.Content{}
		content.ContentType, content.Body = message.DTMFInfo(p.keys[p.went], p.length)
		p.to.Step(leg.Send{Ref: ref, Method: sip.INFO, Content: content})
	}
}

// answered handles the final answer to a key. It leaves a gap after the answer, so that an upgrade can replace the
// process between two keys.
func (ps *Pressed) answered(p *pressing, code int) {
	k := &ps.to[p.to.Side]
	k.asked = nil
	if gap := time.Now().Add(keyGap); k.at.Before(gap) {
		k.at = gap
	}
	switch {
	case len(k.pressed) == 0 || k.pressed[0] != p: // these keys were dropped before the answer came
	case code >= 300:
		ps.endKeys(p.to.Side, 1, "the next one got "+strconv.Itoa(code))
	default:
		if p.went++; p.went == len(p.keys) {
			ps.endKeys(p.to.Side, 1, "")
		}
	}
}

// endAll drops the keys queued for both sides. why is for the log and for the error of an operator's command.
func (ps *Pressed) endAll(why string) {
	for side := range ps.to {
		ps.endKeys(media.Side(side), len(ps.to[side].pressed), why)
	}
}

// endKeys removes the first n series of keys queued for a side, and reports their results. why says why keys were not
// sent.
func (ps *Pressed) endKeys(side media.Side, n int, why string) {
	k := &ps.to[side]
	ended := k.pressed[:n]
	k.pressed = k.pressed[n:]
	for _, p := range ended {
		var err error
		if p.went < len(p.keys) {
			err = &OrderError{
				fmt.Sprintf("%d of %d keys were pressed, and %s", p.went, len(p.keys), why),
				"look at the call's ladder before you press the others", 409,
			}
			ps.bridge.PeerLog.Warn().Err(err).Stringer("side", side).Msg("digit not sent")
		}
		if p.result != nil {
			p.result <- err
		}
	}
}

func (ps *Pressed) deadline() (first time.Time) {
	for _, k := range ps.to {
		switch {
		case len(k.pressed) == 0:
		case k.asked != nil:
			first = leg.Earliest(first, k.pressed[0].until)
		default:
			first = leg.Earliest(first, k.at, k.pressed[0].until)
		}
	}
	return first
}

// DigitsRequest asks for keys to be sent to a side of a live call.
type DigitsRequest struct {
	Side     media.Side
	Digits   string
	Duration time.Duration // how long each key is pressed; 0 means 100 ms
}

// maxOrderedDigits bounds the keys of one command. The media can queue no more.
const maxOrderedDigits = 32

// keys are the keys that can be sent.
const keys = "0123456789*#ABCD"

// Press sends keys to a side for an operator or a tool. It sends them as telephone-events (RFC 4733), or as INFO if
// the side has negotiated no telephone-events, or is a platform that wants INFO. Unless Press returns an error, the
// outcome is sent to result.
func (b *Bridge) Press(d DigitsRequest, result chan<- error) error {
	to := b.Call.Half(d.Side)
	switch {
	case !b.Call.Moment().Answered:
		return NotAnswered()
	case d.Digits == "" || len(d.Digits) > maxOrderedDigits || strings.Trim(d.Digits, keys) != "":
		return &OrderError{"not digits that can be pressed", "send 1 to 32 of 0 to 9, *, # and A to D", 400}
	case d.Side == media.SideB && (to == nil || to != b.Call.Connected()):
		return b.Call.Moment().NoAgent()
	}
	b.Log.Info().Stringer("side", d.Side).Int("digits", len(d.Digits)).Msg("pressing keys by order")
	number, clock, events := b.Agreement.Events(d.Side)
	if !events || d.Side == b.Platform() && b.Call.Policy().DTMF == config.DTMFInfo {
		length := message.BoundDigit(cmp.Or(d.Duration, 100*time.Millisecond))
		return b.Pressed.press(&pressing{to: to, keys: d.Digits, length: length, result: result})
	}
	for i := range len(d.Digits) {
		if err := b.Media.session.SendDigit(d.Side, media.Digit{
			Digit: d.Digits[i], Duration: d.Duration, PayloadType: number, ClockRate: clock,
		}); err != nil {
			return refused(err.Error(), "ask again later")
		}
	}
	result <- nil
	return nil
}
