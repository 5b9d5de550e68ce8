package b2bua

import (
	"math/rand/v2"
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

// askLater has the sides asked that are silent from now on.
func (c *Call) askLater() {
	stats := c.bridge.Media.Stats()
	c.heard = [2]uint64{stats.A.RxPackets, stats.B.RxPackets}
	c.times.askAt = time.Now().Add(askAfter + rand.N(askAfter))
}

// askSilent asks the sides that have sent no RTP since the restart.
func (c *Call) askSilent() {
	stats := c.bridge.Media.Stats()
	c.times.askAt = time.Time{}
	for side, rx := range [2]uint64{stats.A.RxPackets, stats.B.RxPackets} {
		switch l := [2]*legOnWire{c.a, c.b}[side]; {
		case l == nil:
		case rx != c.heard[side]:
			c.step(l, leg.MediaHeard{})
		default:
			accept := []sip.Header{sip.NewHeader("Accept", message.SDPType)}
			c.step(l, leg.Send{Ref: askRefA - side, Method: sip.OPTIONS, Content: leg.Content{Headers: accept}})
		}
	}
}

// onAnsweredAsk ends the call if a side does not have it any more (RFC 5057 section 5.1).
func (c *Call) onAnsweredAsk(f leg.Replied) {
	if c.finished || f.Ref != askRefA && f.Ref != askRefB || f.Code != 481 && f.Code != 408 {
		return
	}
	c.log.Info().Stringer("side", media.Side(askRefA-f.Ref)).Int("code", f.Code).
		Msg("a side has hung up while no process was there")
	c.hangup(cause.MissedHangup, record.EndedBySystem)
}
