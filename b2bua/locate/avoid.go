package locate

import (
	"slices"
	"time"
)

// How long an address is avoided that has failed: half a minute, or less if its Retry-After says so. It is never
// longer, because all calls avoid an address that has refused one.
const (
	avoidFor      = 30 * time.Second
	keepsFoundFor = time.Hour // where calls went, for operators
	maxFound      = 256
)

// avoidance is why an address is avoided.
type avoidance struct {
	until time.Time
	cause string
}

// found is where somebody's calls went the last time.
type found struct {
	hops []Hop
	at   time.Time
}

// Failed has an address avoided: it said 503, or nothing, or could not be reached. after is its Retry-After, 0 for
// none.
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

// usableFirst puts the avoided addresses behind the others, and notes whose they are.
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

// noteFound notes where somebody's calls go. Where there is no room, the one whose calls were longest ago is forgotten:
// a reload may have taken it away. The lock is held.
func (r *Resolver) noteFound(now time.Time, of string, hops []Hop) {
	f, known := r.found[of]
	switch {
	case known && now.Sub(f.at) <= time.Second: // often enough for people
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

// State is how an address does.
type State struct {
	Hop
	Until time.Time // it is avoided until then; zero means it is not
	Cause string
}

// States returns the addresses that an owner's calls were to go to within the last hour. It sends no question.
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
