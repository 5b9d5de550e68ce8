package standin

import (
	"slices"
	"sync"
	"time"

	"flowbridge/sim"
)

const (
	maxHistory = 4096    // calls remembered
	maxIDs     = 100_000 // ids of announced calls remembered
)

// Table holds objects by id, in the order in which they were added. Its owner must lock it.
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

// Len returns the number of objects.
func (t *Table[T]) Len() int { return len(t.order) }

// All lists the objects.
func (t *Table[T]) All() []T {
	all := make([]T, 0, len(t.order))
	for _, id := range t.order {
		all = append(all, t.byID[id])
	}
	return all
}

// IDs holds the ids of announced calls. Each is valid for one INVITE.
type IDs[T any] struct {
	mu    sync.Mutex
	ids   map[string]*announced[T]
	order []string // oldest first
}

// announced is a call that the API has announced.
type announced[T any] struct {
	about      T
	at, expire time.Time
	used       bool
}

// Add keeps an id for its lifetime, and then for another lifetime, in which it counts as expired.
func (t *IDs[T]) Add(id string, about T, now time.Time, lifetime time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil {
		t.ids = map[string]*announced[T]{}
	}
	for len(t.order) > 0 && (len(t.order) >= maxIDs || now.After(t.ids[t.order[0]].expire.Add(lifetime))) {
		delete(t.ids, t.order[0])
		t.order = t.order[1:]
	}
	t.ids[id] = &announced[T]{about: about, at: now, expire: now.Add(lifetime)}
	t.order = append(t.order, id)
}

// Find returns the data that was announced under an id, and when.
func (t *IDs[T]) Find(id string) (about T, at time.Time, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.ids[id]; a != nil {
		return a.about, a.at, true
	}
	return about, at, false
}

// Use spends an id on an INVITE. If the id is valid, the reason is empty.
func (t *IDs[T]) Use(id string, now time.Time) (about T, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.ids[id]
	switch {
	case a == nil:
		return about, "is no id that was given"
	case a.used:
		return about, "was used before"
	case !now.Before(a.expire):
		return about, "has expired"
	}
	a.used = true
	return a.about, ""
}

// Call is a call at a platform: its SIP side and the platform's data about it.
type Call[Seen any] struct {
	In *sim.Incoming

	mu   sync.Mutex // guards the fields below
	seen Seen
}

// Update changes the platform's data.
func (c *Call[Seen]) Update(f func(*Seen)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

// Seen returns the platform's current data.
func (c *Call[Seen]) Seen() Seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// Snapshotter is a call that can return its data.
type Snapshotter[Seen any] interface{ Snapshot() Seen }

// History holds the latest calls of a stand-in.
type History[C Snapshotter[Seen], Seen any] struct {
	mu    sync.Mutex
	calls []C
}

// Add adds a call.
func (h *History[C, Seen]) Add(c C) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
	if len(h.calls) > maxHistory {
		h.calls = h.calls[1:]
	}
}

// All lists the calls, oldest first.
func (h *History[C, Seen]) All() []C {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// Calls returns the latest INVITEs, oldest first. It includes refused ones, but not dropped or challenged ones.
func (h *History[C, Seen]) Calls() (all []Seen) {
	for _, c := range h.All() {
		all = append(all, c.Snapshot())
	}
	return all
}
