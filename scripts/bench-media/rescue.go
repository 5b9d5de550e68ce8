package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"flowbridge/scripts/internal/report"
)

// rescue holds the outcome of calls whose agents' legs all died at once.
type rescue struct {
	System string  `json:"system"`
	Calls  int     `json:"calls"`
	Kept   int     `json:"kept"`       // calls in which, at the end, the caller hears an agent again and is heard
	P50MS  float64 `json:"gap_p50_ms"` // time in which the caller heard no agent
	P99MS  float64 `json:"gap_p99_ms"`
	MaxMS  float64 `json:"gap_max_ms"`
	LastMS float64 `json:"last_ms"` // from the death until the last successor got its ACK
}

// rescue makes all agents hang up with the reason of a failure, after a third of the time, and answers the calls as
// their successors.
func (b *bench) rescue() error {
	fmt.Fprintf(b.out, "%-10s %6s %6s %10s %10s %10s %12s\n",
		"engine", "calls", "kept", "gap p50 ms", "gap p99 ms", "gap max ms", "last back ms")
	return eachEngine(b, b.rescued)
}

func (r rescue) row() string {
	return fmt.Sprintf("%-10s %6d %6d %10.0f %10.0f %10.0f %12.0f",
		r.System, r.Calls, r.Kept, r.P50MS, r.P99MS, r.MaxMS, r.LastMS)
}

func (b *bench) rescued(name string, calls int) (r rescue, err error) {
	r = rescue{System: name, Calls: calls}
	took := time.Duration(0)
	l, err := b.during(name, calls, func(s *system, l *load) (err error) {
		took, err = s.ends.die(calls, l.side[1].At)
		return err
	})
	if err != nil {
		return r, err
	}
	r.LastMS = float64(took.Milliseconds())
	gaps := slices.Sorted(slices.Values(l.side[0].gaps))
	at := func(part float64) float64 { return float64(report.At(gaps, part)) / 1e6 }
	r.P50MS, r.P99MS, r.MaxMS = at(0.5), at(0.99), at(1)
	for call := range calls {
		if l.hears(0, call) && l.hears(1, call) {
			r.Kept++
		}
	}
	return r, nil
}

// hears reports whether a call's packets came to a side until the end of the measurement.
func (l *load) hears(side, call int) bool {
	heard := l.side[side].heard
	return slices.Max(heard)-heard[call] < int64(time.Second)
}

var errNotTaken = errors.New("not every caller was given to a successor")
