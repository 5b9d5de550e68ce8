package turns

import (
	"math"
	"slices"
	"time"
)

// sampleMax is how many values a sample keeps, at 2 bytes each.
const sampleMax = 256

// Sample holds durations for percentiles in bounded memory: all of the first 256, then every second one, every fourth,
// and so on. So it needs no randomness, and two processes get the same values.
type Sample struct {
	N      uint32        `cbor:"1,keyasint,omitempty"` // number of all durations
	Every  uint32        `cbor:"2,keyasint,omitempty"` // one in this many is kept: a power of two; 0 means 1
	Max    time.Duration `cbor:"3,keyasint,omitempty"` // the longest of all durations, exact
	Values []uint16      `cbor:"4,keyasint,omitempty"` // milliseconds, in chronological order; capped at 65535
}

func (s *Sample) add(d time.Duration) {
	s.Max, s.Every = max(s.Max, d), max(s.Every, 1)
	if s.N++; (s.N-1)%s.Every != 0 {
		return
	}
	s.Values = append(s.Values, uint16(min(max(d.Milliseconds(), 0), math.MaxUint16)))
	if len(s.Values) < sampleMax {
		return
	}
	for i := range sampleMax / 2 {
		s.Values[i] = s.Values[2*i]
	}
	s.Values, s.Every = s.Values[:sampleMax/2], s.Every*2
}

// Quantile returns the duration that the given share, 0 to 1, of the durations does not exceed. ok is false if there
// are no durations.
func (s *Sample) Quantile(share float64) (d time.Duration, ok bool) {
	if len(s.Values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(s.Values))
	i := min(max(int(math.Ceil(share*float64(len(sorted))))-1, 0), len(sorted)-1)
	return time.Duration(sorted[i]) * time.Millisecond, true
}
