package b2bua

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/media"
	"flowbridge/store/record"
)

// A call that has outlived its process asks the sides that are silent whether they still have it: a BYE may have been
// missed.

// askAfter is how long a side may be silent after the restart before it is asked whether
// it still has the call; at most twice that, so that not all are asked at once.
const askAfter = 2 * time.Second

// The Refs of these questions, by side.
const (
	askRefA = -1
	askRefB = -2
)

// askSide asks a side whether it still has the call.
func (c *Call) askSide(side int) {
	if l := [2]*legOnWire{c.a, c.b}[side]; l != nil {
		accept := []sip.Header{sip.NewHeader("Accept", message.SDPType)}
		c.step(l, leg.Send{Ref: askRefA - side, Method: sip.OPTIONS, Content: leg.Content{Headers: accept}})
	}
}

// askSilent asks the sides that have sent no RTP since the restart: a BYE may have been missed. A side that was asked
// by the processes before, too, is not waited for longer than one process would have waited.
func (c *Call) askSilent() {
	now, stats := time.Now(), c.bridge.Media.Stats()
	c.times.askAt = time.Time{}
	for side, rx := range [2]uint64{stats.A.RxPackets, stats.B.RxPackets} {
		since := c.times.silent[side]
		switch l := [2]*legOnWire{c.a, c.b}[side]; {
		case since.IsZero():
		case l == nil:
			c.times.silent[side] = time.Time{}
		case rx != c.heard[side]:
			c.times.silent[side] = time.Time{}
			c.step(l, leg.MediaHeard{})
		case now.Sub(since) >= leg.GiveUp:
			c.onAnsweredAsk(leg.Replied{Ref: askRefA - side, Code: 408})
			return
		default:
			c.askSide(side)
		}
	}
	c.notes.soon()
}

// onAnsweredAsk ends the call if a side does not have it any more (RFC 5057 section 5.1).
func (c *Call) onAnsweredAsk(f leg.Replied) {
	switch side := askRefA - f.Ref; {
	case c.finished, f.Ref != askRefA && f.Ref != askRefB:
	case f.Code == 481 || f.Code == 408:
		c.log.Info().Stringer("side", media.Side(side)).Int("code", f.Code).
			Msg("a side has hung up while no process was there")
		c.hangup(cause.MissedHangup, record.EndedBySystem)
	default:
		c.times.silent[side] = time.Time{}
		c.notes.soon()
	}
}
