package prepare

import (
	"crypto/sha256"
	"sync"
	"time"
)

// An id serves one INVITE, within about a minute (the documents name no time). It is remembered for five to ten
// minutes. If there are very many ids, only the latest are remembered.
const (
	recentFor = 5 * time.Minute
	maxRecent = 1 << 15 // ids of a generation
)

type sum [16]byte

// GivenIDs remembers which call each id of an API was given to. It has two generations, and drops the older one as a
// whole. Its entries have a fixed size, whatever the length of the ids. It may be used by many goroutines.
type GivenIDs struct {
	mu    sync.Mutex
	since time.Time // start of the younger generation
	young map[sum]sum
	old   map[sum]sum
}

func sumOf(s string) sum {
	var room [64]byte
	h := sha256.Sum256(append(room[:0], s...))
	return sum(h[:16])
}

// owner says which call an id was given to.
type owner int

const (
	ownerNew       owner = iota // only this call's
	ownerOther                  // another call's
	ownerEverybody              // every call: the API has given no other id, so it is a stub
)

// taken stores that an id was given to a call, and returns which call it belongs to. A call without a name counts as a
// new call each time.
func (r *GivenIDs) taken(id, call string, now time.Time) owner {
	key, name := sumOf(id), sumOf(call)
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now.Sub(r.since); age >= recentFor || len(r.young) >= maxRecent {
		r.old, r.young = r.young, map[sum]sum{}
		if age >= 2*recentFor {
			r.old = nil
		}
		r.since = now
	}
	before, known := r.young[key]
	if !known {
		before, known = r.old[key]
	}
	switch {
	case !known:
		r.young[key] = name
		return ownerNew
	case call != "" && before == name:
		return ownerNew
	case len(r.young)+len(r.old) == 1:
		return ownerEverybody
	}
	return ownerOther
}
