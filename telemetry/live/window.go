package live

import (
	"math"
	"time"
)

// window is how far back the figures go. The oldest slot is dropped as a whole, so the figures may cover up to one
// slot less.
const window = 300 * time.Second

const (
	slots      = 20
	slotLength = window / slots
	liveSlot   = slots // slot for calls that are up; refilled by each Tend
)

// A histogram has eight buckets for each doubling, from 1/8 to 2^18, so a percentile is off by at most 1/16. In
// milliseconds, the range goes up to four minutes.
const (
	perDoubling = 8
	mantissa    = 52 - 3 // bits of a float64 below those that distinguish the buckets of a doubling
	lowest      = 1.0 / 8
	doublings   = 21
	buckets     = doublings * perDoubling
)

// histogram counts values.
type histogram struct {
	count   uint32
	buckets [buckets]uint32
}

// bucketOf returns the bucket of a value. Values that are too small or too large are in the first or last bucket.
func bucketOf(v float64) int {
	if !(v > lowest) { // written this way because it is also true for NaN
		return 0
	}
	first := math.Float64bits(lowest) >> mantissa
	return int(min(math.Float64bits(v)>>mantissa-first, buckets-1))
}

// floor returns the lower bound of a bucket.
func floor(bucket int) float64 {
	return math.Float64frombits((math.Float64bits(lowest)>>mantissa + uint64(bucket)) << mantissa)
}

// quantile returns the value that a share q of all values, 0 to 1, does not exceed: the middle of its bucket. h
// must not be empty.
func (h *histogram) quantile(q float64) float64 {
	rank := max(uint32(math.Ceil(q*float64(h.count))), 1)
	for i, n := range h.buckets {
		if n >= rank {
			return (floor(i) + floor(i+1)) / 2
		}
		rank -= n
	}
	return floor(buckets)
}

// series is a histogram over the window.
type series struct {
	sum   histogram
	slots [slots + 1]histogram
}

func (s *series) add(slot int, v float64) {
	b := bucketOf(v)
	s.slots[slot].count++
	s.slots[slot].buckets[b]++
	s.sum.count++
	s.sum.buckets[b]++
}

// clear empties a slot for new values.
func (s *series) clear(slot int) {
	old := &s.slots[slot]
	if old.count == 0 {
		return
	}
	s.sum.count -= old.count
	for i, n := range old.buckets {
		s.sum.buckets[i] -= n
	}
	*old = histogram{}
}

// tally is a count over the window.
type tally struct {
	sum   uint64
	slots [slots + 1]uint64
}

func (t *tally) add(slot int, n uint64) {
	t.slots[slot] += n
	t.sum += n
}

func (t *tally) clear(slot int) {
	t.sum -= t.slots[slot]
	t.slots[slot] = 0
}

// clock says which slot is current.
type clock struct {
	began time.Time
	step  int // number of slots since then
}

// slot returns the current slot.
func (c *clock) slot() int { return c.step % slots }

// advance empties the slots that have started since the last call of advance.
func (c *clock) advance(now time.Time, empty func(slot int)) {
	step := int(now.Sub(c.began) / slotLength)
	for n := min(step-c.step, slots); n > 0; n-- {
		empty((step - n + 1) % slots)
	}
	c.step = max(c.step, step)
}
