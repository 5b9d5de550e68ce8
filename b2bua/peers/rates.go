package peers

import (
	"hash/maphash"
	"sync"
	"time"
)

// Rates limits the rate of events for each of many keys, such as addresses. It uses a fixed amount
// of memory, however many keys there are. If there are more keys than fit, the key that has been
// quiet for longest is forgotten, which can only allow it more events, never fewer. Allow may be
// called from any goroutine, and allocates nothing.
type Rates struct {
	seed maphash.Seed // random, so that strangers can't choose keys that displace other keys
	born time.Time

	mu   sync.Mutex // guards the fields below
	sets [][rateWays]rateSlot
}

// rateSlot is the state of a key in the generic cell rate algorithm (ITU-T I.371).
type rateSlot struct {
	key   uint64 // hash of the key; a collision is as unlikely as guessing a tag
	whole time.Duration
}

const (
	rateSets = 512
	rateWays = 8
)

// NewRates returns an empty Rates.
func NewRates() *Rates {
	return &Rates{seed: maphash.MakeSeed(), born: time.Now(), sets: make([][rateWays]rateSlot, rateSets)}
}

// Allow counts an event of a key, and reports whether it is within n per second, all of which may
// come at once. An event that is not allowed does not count. An n of 0 means no limit.
func (r *Rates) Allow(key []byte, n int, now time.Time) bool {
	if n <= 0 {
		return true
	}
	hash, at := maphash.Bytes(r.seed, key), now.Sub(r.born)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slot(hash)
	whole := max(s.whole, at) + time.Second/time.Duration(n)
	if whole-at > time.Second {
		return false
	}
	s.whole = whole
	return true
}

// slot returns the state of a key. If it has none, it replaces the state of the key in its set that
// has been quiet for longest.
func (r *Rates) slot(hash uint64) *rateSlot {
	set := &r.sets[hash%rateSets]
	quiet := &set[0]
	for i := range set {
		s := &set[i]
		if s.key == hash {
			return s
		}
		if s.whole < quiet.whole {
			quiet = s
		}
	}
	*quiet = rateSlot{key: hash}
	return quiet
}
