package standin

import (
	"slices"
	"sync"

	"flowbridge/sim"
)

const maxHistory = 4096 // calls remembered

// Table holds objects by id, in the order of their addition. The owner locks it.
type Table[T any] struct {
	byID  map[string]T
	order []string
}

// Put adds or replaces an object.
func (t *Table[T]) Put(id string, object T) {
	if t.byID == nil {
		t.byID = map[string]T{}
	}
	if _, there := t.byID[id]; !there {
		t.order = append(t.order, id)
	}
	t.byID[id] = object
}

// Get returns an object, or the zero value.
func (t *Table[T]) Get(id string) T { return t.byID[id] }

// Remove removes an object.
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

// Call is a call at a platform: its SIP side and what the platform keeps of it.
type Call[Seen any] struct {
	In *sim.Incoming

	mu   sync.Mutex // guards what follows
	seen Seen
}

// Update changes what the platform keeps.
func (c *Call[Seen]) Update(f func(*Seen)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

// Seen is what the platform keeps at present.
func (c *Call[Seen]) Seen() Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// History is the latest calls of a stand-in.
type History[C any] struct {
	mu    sync.Mutex
	calls []C
}

// Add adds a call.
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
