package standin

import (
	"flowbridge/sim"
	"slices"
	"sync"
)

const maxHistory = 4096 // calls remembered

// Table holds objects by id, in the order in which they were added. Its owner
// has a lock.
type Table[T any] struct {
	byID  map[string]T
	order []string
}

// Put adds an object, or puts another in its place.
func (t *Table[T]) Put(id string, object T) {
	if t.byID == nil {
		t.byID = map[string]T{}
	}
	if _, there := t.byID[id]; !there {
		t.order = append(t.order, id)
	}
	t.byID[id] = object
}

// Get returns an object; the zero one if there is none.
func (t *Table[T]) Get(id string) T { return t.byID[id] }

// Remove takes an object out.
func (t *Table[T]) Remove(id string) {
	delete(t.byID, id)
	t.order = slices.DeleteFunc(t.order, func(other string) bool { return other == id })
}

// Len is the number of objects.
func (t *Table[T]) Len() int { return len(t.order) }

// All lists the objects.
func (t *Table[T]) All() []T {
	all := make([]T, 0, len(t.order))
	for _, id := range t.order {
		all = append(all, t.byID[id])
	}
	return all
}

// Call is one call at a platform, with what the platform has seen of it.
type Call[Seen any] struct {
	In *sim.Incoming

	mu   sync.Mutex // guards what follows
	seen Seen
}

// Update changes what the platform has seen.
func (c *Call[Seen]) Update(f func(*Seen)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

// Seen is what the platform has seen so far.
func (c *Call[Seen]) Seen() Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// History is the calls of a stand-in; of very many only the latest.
type History[C any] struct {
	mu    sync.Mutex
	calls []C
}

// Add remembers a call.
func (h *History[C]) Add(c C) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
	if len(h.calls) > maxHistory {
		h.calls = h.calls[1:]
	}
}

// All lists the calls, oldest first.
func (h *History[C]) All() []C {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}
