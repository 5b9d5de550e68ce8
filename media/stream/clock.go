package stream

import (
	"math"
	"time"
)

// Never is a time that does not come.
const Never = time.Duration(math.MaxInt64)

// DefaultRate is that of G.711, G.722, G.729 and their telephone-events, in Hz.
const DefaultRate = 8000

// ShortestFrame is the shortest packet that anybody sends. So nobody has sent more packets than frames of it have
// passed.
const ShortestFrame = 10 * time.Millisecond

// Units is d in units of a clock rate in Hz, rounded down and modulo 2^32. 0 Hz means 8000.
func Units(d time.Duration, rate int64) uint32 {
	if rate == 0 {
		rate = DefaultRate
	}
	return uint32(d.Microseconds() * rate / 1e6)
}

// Span is the duration of n units of a clock. 0 Hz means 8000.
func Span(n uint64, rate uint32) time.Duration {
	if rate == 0 {
		rate = DefaultRate
	}
	return time.Duration(n * uint64(time.Second) / uint64(rate)) // 18 hours at the least fit
}

// Clock has an engine's time. States have another one's.
type Clock struct{ Now, Epoch time.Duration }

// At is a time of the engine in a state. 0 is never.
func (c Clock) At(t time.Duration) time.Duration {
	if t == 0 {
		return 0
	}
	return c.Epoch + t
}

// Past is a time of a state that is not later than now.
func (c Clock) Past(t time.Duration) time.Duration { return c.Until(t, 0) }

// Until is a time of a state that is at most that much later.
func (c Clock) Until(t, later time.Duration) time.Duration {
	if t <= 0 {
		return 0
	}
	return min(t-c.Epoch, c.Now+later)
}
