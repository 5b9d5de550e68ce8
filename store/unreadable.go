package store

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"modernc.org/sqlite"
)

// Unreadable are the records that a reader could not read: its lists leave them out, and it names them.
type Unreadable struct {
	mu  sync.Mutex // guards what follows
	ids map[string]bool
}

// maxUnreadable bounds what is remembered.
const maxUnreadable = 1000

// Unreadable are the ids of records that could not be read, and were left out of lists, in order; 1,000 at most.
func (r *Reader) Unreadable() []string { return r.unreadable.IDs() }

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

// passOver notes a row that can't be read, and gives its id and, where it is known, when the call began. An error means that it is not the row,
// but the file.
func (r *Reader) passOver(from row, why error) (rec Record, err error) {
	if _, file := errors.AsType[*sqlite.Error](why); file {
		return Record{}, why
	}
	values := make([]any, selected)
	into := make([]any, selected)
	for i := range values {
		into[i] = &values[i]
	}
	if err := from.Scan(into...); err != nil {
		return Record{}, err
	}
	started, _ := values[startedColumn].(string)
	rec.ID, _ = values[0].(string)
	_ = rec.StartedAt.parse(started) // zero: not known
	r.unreadable.Add(rec.ID)
	return rec, nil
}
