package registry

import "slices"

// maxCallName bounds an id, in bytes. maxCallNames bounds the ids of a call.
const (
	maxCallName  = 256
	maxCallNames = 32
)

// names holds the additional ids with one rank. The registry's lock guards it.
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

// Rank says who wrote an additional id of a call. If several calls have an id, Named returns only those for which it
// has the highest rank.
type Rank int

// The ranks, the highest first.
const (
	Given   Rank = iota // written by us in our INVITE, or by the platform
	Written             // written by a caller, or from a configured header
	ranks
)

// Name adds an additional id to a live call.
func (r *Registry[C, L]) Name(id string, c C, another string, rank Rank) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[id] == c {
		r.names[rank].add(another, c)
	}
}

// Named returns the call whose own id this is, or else the calls that have this additional id at the highest rank.
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
