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

// Name gives the live call with an id another one.
func (r *Registry[C, L]) Name(id string, c C, another string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[id] == c {
		r.names.add(another, c)
	}
}

// Named returns the calls with an id of any origin.
func (r *Registry[C, L]) Named(id string) []C {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := slices.Clone(r.names.calls[id])
	if c := r.calls[id]; c != r.noCall && !slices.Contains(all, c) {
		all = append(all, c)
	}
	return all
}
