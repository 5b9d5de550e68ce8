package main

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// step is a fault after a pause.
type step struct {
	pause time.Duration
	fault string
	seed  uint64 // for the random choices of the fault
}

const (
	shortestPause = time.Second
	longestPause  = 4 * time.Second
)

// draw returns random steps that last for the given time in total. The same seed gives the same steps. Each fault
// comes once before any is repeated. The product promises to survive one fault at a time.
func draw(seed uint64, length time.Duration) (all []step) {
	r := rand.New(rand.NewPCG(seed, 0))
	var deck []string
	for at := time.Duration(0); ; {
		if len(deck) == 0 {
			deck = slices.Sorted(maps.Keys(faults))
			r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		s := drawn(r, deck[0])
		deck = deck[1:]
		at += s.pause + faults[s.fault].lasts
		if at > length && len(all) > 0 {
			return all
		}
		all = append(all, s)
	}
}

func drawn(r *rand.Rand, fault string) step {
	pause := shortestPause + time.Duration(r.Int64N(int64(longestPause-shortestPause))).Round(time.Millisecond)
	return step{pause, fault, r.Uint64()}
}

var errNoFault = errors.New("there is no such fault")

// replay returns the steps of a list, "kill,stop", with pauses by the seed.
func replay(seed uint64, list string) (all []step, err error) {
	r := rand.New(rand.NewPCG(seed, 0))
	for name := range strings.SplitSeq(list, ",") {
		s := drawn(r, strings.TrimSpace(name))
		if _, ok := faults[s.fault]; !ok {
			return nil, fmt.Errorf("%w: %q", errNoFault, s.fault)
		}
		all = append(all, s)
	}
	return all, nil
}
