package call

import (
	"math/rand/v2"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// askAfter is how long a side may be silent after the restart before it is asked whether it still has the call. The
// actual wait is random, from one to two times this, so that not all sides are asked at once.
const askAfter = 2 * time.Second

// These are the Refs of the OPTIONS that ask each side.
const (
	askRefA = -1
	askRefB = -2
)

// asking asks the silent sides of a restored call whether they still have the call, because their BYE may have been
// missed.
type asking struct {
	at     time.Time // when they are asked; zero if they are not
	before [2]uint64 // packets received from each side before the restart
}

func (as *asking) save(k *snapshot.Times) { k.Asks = !as.at.IsZero() }

func (as *asking) restore(k *snapshot.Times) {
	if k.Asks { // the silent sides have not been asked yet
		as.at = time.Now().Add(askAfter)
	}
}

// later schedules the OPTIONS to the sides that stay silent from now on.
func (as *asking) later(c *Call) {
	stats := c.bridge.Media.Stats()
	as.before = [2]uint64{stats.A.RxPackets, stats.B.RxPackets}
	as.at = time.Now().Add(askAfter + rand.N(askAfter))
}

func (as *asking) stop() { as.at = time.Time{} }

// due sends OPTIONS to the sides that have sent no RTP since the restart.
func (as *asking) due(c *Call) {
	stats := c.bridge.Media.Stats()
	as.at = time.Time{}
	for side, rx := range [2]uint64{stats.A.RxPackets, stats.B.RxPackets} {
		switch l := [2]*LegOnWire{c.a, c.b}[side]; {
		case l == nil:
		case rx != as.before[side]:
			c.step(l, leg.MediaReceived{})
		default:
			accept := []sip.Header{sip.NewHeader("Accept", message.SDPType)}
			c.step(l, leg.Send{Ref: askRefA - side, Method: sip.OPTIONS, Content: leg.Content{Headers: accept}})
		}
	}
}

// onAnsweredAsk handles the response to an OPTIONS of asking. It ends the call if the side no longer has it (RFC
// 5057 section 5.1).
func (c *Call) onAnsweredAsk(f leg.Replied) {
	if c.finished || f.Ref != askRefA && f.Ref != askRefB || f.Code != 481 && f.Code != 408 {
		return
	}
	c.log.Info().Stringer("side", media.Side(askRefA-f.Ref)).Int("code", f.Code).
		Msg("a side has hung up while no process was there")
	c.hangup(cause.MissedHangup, record.EndedBySystem)
}
