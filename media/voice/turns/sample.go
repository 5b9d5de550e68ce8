package turns

import (
	"slices"
	"time"
)

// sampleMax is how many values a sample keeps.
const sampleMax = 256

// Sample holds durations for percentiles, in bounded memory: all up to 256, then every second, fourth and so on.
type Sample struct {
	N      uint32        `cbor:"1,keyasint,omitempty"`
	Every  uint32        `cbor:"2,keyasint,omitempty"`
	Max    time.Duration `cbor:"3,keyasint,omitempty"`
	Values []uint16      `cbor:"4,keyasint,omitempty"` // milliseconds
}

func (s *Sample) add(d time.Duration) {
	s.Max = max(s.Max, d)
	s.Every = max(s.Every, 1)
	if s.N++; (s.N-1)%s.Every != 0 {
		return
	}
	s.Values = append(s.Values, uint16(min(max(d.Milliseconds(), 0), 65535)))
	if len(s.Values) < sampleMax {
		return
	}
	for i := range sampleMax / 2 {
		s.Values[i] = s.Values[2*i]
	}
	s.Values, s.Every = s.Values[:sampleMax/2], s.Every*2
}

// Quantile returns the value that a share of the durations do not exceed.
func (s *Sample) Quantile(share float64) time.Duration {
	if len(s.Values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Values))
	return time.Duration(sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]) * time.Millisecond
}
