package main

import (
	"errors"
	"fmt"
	"time"
)

// limit95 is the set-up delay that 19 of 20 calls must not exceed. A rate with longer delays does not count as
// capacity.
const limit95 = 200.0 // ms

const (
	first   = 100   // calls a second at which a search starts
	lowest  = 10    // lowest rate tried
	highest = 20000 // highest rate tried
	apart   = 1.05  // a search ends when the clean and the dirty rate differ by at most this factor
)

var errNoCapacity = errors.New("not even the lowest rate is clean")

// capacity finds the highest rate at which no call is refused, failed or lost, and the delay stays under the limit. A
// rate counts if two of at most three tries are clean, because other programs also use the processors.
func (b *bench) capacity(s *system) (int, error) {
	fmt.Fprintf(b.out, "capacity: %d s at each rate; clean is nothing refused, failed or lost, p95 under %.0f ms\n%s\n",
		b.seconds, limit95, heading)
	return search(func(rate int) (bool, error) { return b.twice(s, rate) })
}

// search finds the highest clean rate.
func search(try func(rate int) (clean bool, err error)) (int, error) {
	clean, dirty := 0, 0
	for rate := first; rate < highest; {
		ok, err := try(rate)
		if err != nil {
			return 0, err
		}
		if ok {
			clean = rate
		} else {
			dirty = rate
		}
		switch {
		case dirty == 0:
			rate *= 2
		case clean == 0 && rate/2 < lowest:
			return 0, fmt.Errorf("%w: %d calls a second", errNoCapacity, rate)
		case clean == 0:
			rate /= 2
		case dirty-clean <= 1 || float64(dirty) <= float64(clean)*apart:
			return clean, nil
		default:
			rate = (clean + dirty) / 2
		}
	}
	return clean, nil
}

func (b *bench) twice(s *system, rate int) (bool, error) {
	for good, bad := 0, 0; ; {
		f, err := b.round(s, rate, time.Duration(b.seconds)*time.Second)
		if err != nil {
			return false, err
		}
		fmt.Fprintln(b.out, f.row())
		if f.clean() {
			good++
		} else {
			bad++
		}
		if good == 2 || bad == 2 {
			return good == 2, nil
		}
	}
}

func (f *figures) clean() bool { return f.Good == f.Calls && f.P95 < limit95 }
