package record

import (
	"maps"
	"slices"
	"sync"
)

// Unreadable remembers the ids of records that a reader could not read and left out of lists.
type Unreadable struct {
	mu  sync.Mutex // guards the fields below
	ids map[string]bool
}

// maxUnreadable bounds the number of ids that are remembered.
const maxUnreadable = 1000

// IDs returns the ids in order, at most 1,000.
func (u *Unreadable) IDs() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.ids))
}

// Add notes the id of a record that can't be read.
func (u *Unreadable) Add(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids == nil {
		u.ids = map[string]bool{}
	}
	if len(u.ids) < maxUnreadable {
		u.ids[id] = true
	}
}
