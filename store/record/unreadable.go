package record

import (
	"maps"
	"slices"
	"sync"
)

// Unreadable are the records that a reader could not read: its lists leave them out, and it names them.
type Unreadable struct {
	mu  sync.Mutex // guards what follows
	ids map[string]bool
}

// maxUnreadable bounds what is remembered.
const maxUnreadable = 1000

// IDs returns the ids in order, 1,000 at most.
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
