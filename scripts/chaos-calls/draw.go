package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// step is one fault after a pause; of a list, some at once, too.
type step struct {
	pause  time.Duration
	faults []string
	seed   uint64 // of what the faults draw themselves
}

func (s step) String() string { return strings.Join(s.faults, "+") }

const (
	shortestPause = time.Second
	longestPause  = 4 * time.Second
)

// draw draws steps that last for a time together: the same for the same seed. Each fault comes once before one comes
// again. One fault at a time is what the product promises to serve.
func draw(seed uint64, length time.Duration, lasts map[string]time.Duration) (all []step) {
	r := rand.New(rand.NewPCG(seed, 0))
	names := make([]string, 0, len(lasts))
	for name := range lasts {
		names = append(names, name)
	}
	slices.Sort(names)
	var deck []string
	next := func() (name string) {
		if len(deck) == 0 {
			deck = slices.Clone(names)
			r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		name, deck = deck[0], deck[1:]
		return name
	}
	for at := time.Duration(0); ; {
		s := drawn(r)
		s.faults = []string{next()}
		at += s.pause + s.length(lasts)
		if at > length && len(all) > 0 {
			return all
		}
		all = append(all, s)
	}
}

func drawn(r *rand.Rand) step {
	return step{
		pause: shortestPause + time.Duration(r.Int64N(int64(longestPause-shortestPause))).Round(time.Millisecond),
		seed:  r.Uint64(),
	}
}

// length is how long the faults of a step last.
func (s step) length(lasts map[string]time.Duration) (longest time.Duration) {
	for _, name := range s.faults {
		longest = max(longest, lasts[name])
	}
	return longest
}

var errNoFault = errors.New("there is no such fault")

// replay is the steps of a list, "kill,stop+disk-full", with pauses by the seed.
func replay(seed uint64, list string, lasts map[string]time.Duration) (all []step, err error) {
	r := rand.New(rand.NewPCG(seed, 0))
	for text := range strings.SplitSeq(list, ",") {
		s := drawn(r)
		s.faults = strings.Split(strings.TrimSpace(text), "+")
		for _, name := range s.faults {
			if _, ok := lasts[name]; !ok {
				return nil, fmt.Errorf("%w: %q", errNoFault, name)
			}
		}
		all = append(all, s)
	}
	return all, nil
}
