package synthflow

import (
	"crypto/sha256"
	"sync"
	"time"
)

// An id serves one INVITE, within about a minute (the stand-in's and our own reading of the documents, which name no
// time). It is remembered for five to ten, and of very many only the latest.
const (
	recentFor = 5 * time.Minute
	maxRecent = 1 << 15 // ids of a generation
)

type sum [16]byte

// recentIDs knows which call an id was given to, in two generations of which the older one is dropped as a whole. What
// it holds is of fixed size, whatever the API calls its ids.
type recentIDs struct {
	mu    sync.Mutex
	since time.Time // of the young generation
	young map[sum]sum
	old   map[sum]sum
}

func sumOf(s string) sum {
	h := sha256.Sum256([]byte(s))
	return sum(h[:16])
}

// taken notes that an id was given to a call, and says whether it was given to another one before. A call without a name
// is another one each time.
func (r *recentIDs) taken(id, call string, now time.Time) bool {
	key, owner := sumOf(id), sumOf(call)
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
	if known {
		return call == "" || before != owner
	}
	r.young[key] = owner
	return false
}
