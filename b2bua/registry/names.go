package registry

import "slices"

// maxCallName bounds an id, in bytes, and maxCallNames how many a call has.
const (
	maxCallName  = 256
	maxCallNames = 32
)

// names is guarded by the registry's lock.
type names[C comparable] struct {
	calls map[string][]C
	of    map[C][]string
}

func newNames[C comparable]() names[C] {
	return names[C]{calls: map[string][]C{}, of: map[C][]string{}}
}

func (n *names[C]) add(id string, c C) {
	if id == "" || len(id) > maxCallName || len(n.of[c]) >= maxCallNames || slices.Contains(n.of[c], id) {
		return
	}
	n.calls[id] = append(n.calls[id], c)
	n.of[c] = append(n.of[c], id)
}

func (n *names[C]) forget(c C) {
	for _, id := range n.of[c] {
		left := slices.DeleteFunc(n.calls[id], func(other C) bool { return other == c })
		if len(left) == 0 {
			delete(n.calls, id)
		} else {
			n.calls[id] = left
		}
	}
	delete(n.of, c)
}

// Rank says who wrote a further id of a call. If several calls have an id, the call with the higher rank is found.
type Rank int

// The ranks, the highest first.
const (
	Given   Rank = iota // by us in our INVITE, or by the platform
	Written             // by a caller, or by a configured header
	ranks
)

// Name gives the live call with an id another one.
func (r *Registry[C, L]) Name(id string, c C, another string, rank Rank) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[id] == c {
		r.names[rank].add(another, c)
	}
}

// Named returns the call whose own id it is, else the calls that have the id at the highest rank.
func (r *Registry[C, L]) Named(id string) []C {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if c := r.calls[id]; c != r.noCall {
		return []C{c}
	}
	for i := range r.names {
		if all := r.names[i].calls[id]; len(all) > 0 {
			return slices.Clone(all)
		}
	}
	return nil
}
