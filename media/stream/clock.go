package stream

import (
	"math"
	"time"
)

// Never is later than any time.
const Never = time.Duration(math.MaxInt64)

// DefaultRate is the clock rate of G.711, G.722, G.729 and their telephone-events, in Hz.
const DefaultRate = 8000

// ShortestFrame is the shortest packet duration in use. A sender never sends more than one packet per ShortestFrame.
const ShortestFrame = 10 * time.Millisecond

// Units returns d in units of a clock rate in Hz, rounded down and modulo 2^32. 0 Hz means 8000.
func Units(d time.Duration, rate int64) uint32 {
	if rate == 0 {
		rate = DefaultRate
	}
	return uint32(d.Microseconds() * rate / 1e6)
}

// Span returns the duration of n units of a clock. 0 Hz means 8000.
func Span(n uint64, rate uint32) time.Duration {
	if rate == 0 {
		rate = DefaultRate
	}
	return time.Duration(n * uint64(time.Second) / uint64(rate)) // at least 18 hours fit
}

// Clock converts between an engine's times and the times in saved states, which have another epoch.
type Clock struct{ Now, Epoch time.Duration }

// At converts a time of the engine to a time for a state. 0 means never.
func (c Clock) At(t time.Duration) time.Duration {
	if t == 0 {
		return 0
	}
	return c.Epoch + t
}

// Past converts a time of a saved state to this engine's clock. The result is never later than now.
func (c Clock) Past(t time.Duration) time.Duration { return c.Until(t, 0) }

// Until converts a time of a saved state to this engine's clock. The result is at most later after now.
func (c Clock) Until(t, later time.Duration) time.Duration {
	if t <= 0 {
		return 0
	}
	return min(t-c.Epoch, c.Now+later)
}
