package peers

import (
	"encoding/binary"
	"testing"
	"time"
)

// Each key may have n events at once and then n per second, independently of other keys.
func TestRates(t *testing.T) {
	r, now := NewRates(), time.Now()
	count := func(key string, n int) (allowed int) {
		for range 100 {
			if r.Allow([]byte(key), n, now) {
				allowed++
			}
		}
		return allowed
	}
	for _, tt := range []struct {
		key   string
		n     int
		later time.Duration
		want  int
	}{
		{"a", 10, 0, 10},
		{"a", 10, 0, 0},
		{"b", 3, 0, 3},
		{"a", 10, 350 * time.Millisecond, 3},
		{"b", 3, 0, 1},
		{"a", 10, time.Hour, 10},
		{"b", 0, 0, 100}, // no limit
		{"c", 1, 0, 1},
		{"c", 1, 999 * time.Millisecond, 0},
		{"c", 1, time.Millisecond, 1},
		{"c", 20, time.Millisecond, 0}, // after a reload raised the rate
		{"c", 20, time.Second, 20},
	} {
		now = now.Add(tt.later)
		if got := count(tt.key, tt.n); got != tt.want {
			t.Errorf("%s after %v: %d of 100; want %d", tt.key, tt.later, got, tt.want)
		}
	}
}

// However many keys there are, memory is bounded, and no key is refused because of another.
func TestRatesAreBounded(t *testing.T) {
	r, now := NewRates(), time.Now()
	var key [8]byte
	for i := range uint64(200_000) {
		binary.LittleEndian.PutUint64(key[:], i)
		if !r.Allow(key[:], 1, now) {
			t.Fatalf("key %d was refused at its first event", i)
		}
	}
	if n := len(r.sets) * rateWays; n != rateSets*rateWays {
		t.Errorf("room for %d keys; want %d", n, rateSets*rateWays)
	}
	if n := testing.AllocsPerRun(1000, func() { r.Allow(key[:], 1000, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRates(b *testing.B) {
	r, now := NewRates(), time.Now()
	var key [16]byte
	for i := uint64(0); b.Loop(); i++ {
		binary.LittleEndian.PutUint64(key[:], i%5000)
		r.Allow(key[:], 1000, now)
	}
}
