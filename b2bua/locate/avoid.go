package locate

import (
	"slices"
	"time"
)

// A failed address is avoided for half a minute, or less if its Retry-After says so. It is never longer, because all
// calls avoid an address that has refused one call.
const (
	avoidFor      = 30 * time.Second
	keepsFoundFor = time.Hour // operators see where a call went for this long
	maxFound      = 256
)

// avoidance is the reason for avoiding an address.
type avoidance struct {
	until time.Time
	cause string
}

// found holds the addresses for the last call to an owner, such as a target.
type found struct {
	hops []Hop
	at   time.Time
}

// Failed makes calls avoid an address that sent 503, was silent, or could not be reached. after is its Retry-After, or
// 0.
func (r *Resolver) Failed(h Hop, cause string, after time.Duration) {
	if after <= 0 || after > avoidFor {
		after = avoidFor
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.avoided) >= maxEntries {
		clear(r.avoided)
	}
	r.avoided[h] = avoidance{now.Add(after), cause}
}

// Worked ends the avoidance of an address.
func (r *Resolver) Worked(h Hop) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.avoided, h)
}

// usableFirst moves the avoided addresses behind the others, and stores the list for its owner.
func (r *Resolver) usableFirst(of string, hops []Hop) []Hop {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if of != "" {
		r.noteFound(now, of, hops)
	}
	if len(r.avoided) == 0 {
		return hops
	}
	slices.SortStableFunc(hops, func(a, b Hop) int {
		x, y := now.Before(r.avoided[a].until), now.Before(r.avoided[b].until)
		switch {
		case x == y:
			return 0
		case x:
			return 1
		}
		return -1
	})
	return hops
}

// noteFound stores the addresses for a call to an owner. If there is no room, it drops the owner whose last call is
// oldest, because a reload may have removed that one. The lock is held.
func (r *Resolver) noteFound(now time.Time, of string, hops []Hop) {
	f, known := r.found[of]
	switch {
	case known && now.Sub(f.at) <= time.Second: // often enough for humans
		return
	case !known && len(r.found) >= maxFound:
		oldest := of
		for name, f := range r.found {
			if oldest == of || f.at.Before(r.found[oldest].at) {
				oldest = name
			}
		}
		delete(r.found, oldest)
	}
	r.found[of] = found{slices.Clone(hops), now}
}

// State is the state of an address.
type State struct {
	Hop
	Until time.Time // end of its avoidance; zero if it is not avoided
	Cause string
}

// States returns the addresses for calls to an owner within the last hour. It sends no query.
func (r *Resolver) States(of string) (all []State) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	f, known := r.found[of]
	if !known || now.Sub(f.at) > keepsFoundFor {
		delete(r.found, of)
		return nil
	}
	for _, h := range f.hops {
		s := State{Hop: h}
		if a := r.avoided[h]; now.Before(a.until) {
			s.Until, s.Cause = a.until, a.cause
		}
		all = append(all, s)
	}
	return all
}
