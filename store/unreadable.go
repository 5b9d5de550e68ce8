package store

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"modernc.org/sqlite"
)

// unreadable are records of which the disk has changed something: a list goes on without them, and names them.
type unreadable struct {
	mu  sync.Mutex // guards what follows
	ids map[string]bool
}

// maxUnreadable bounds what is remembered.
const maxUnreadable = 1000

// Unreadable are the ids of records that could not be read, and were left out of lists, in order; 1,000 at most.
func (r *Reader) Unreadable() []string {
	r.unreadable.mu.Lock()
	defer r.unreadable.mu.Unlock()
	return slices.Sorted(maps.Keys(r.unreadable.ids))
}

func (u *unreadable) add(id string) {
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
	r.unreadable.add(rec.ID)
	return rec, nil
}
