// Package registry holds the live calls by id, and their legs by our tags. It remembers ended legs for a while, because
// their peers may repeat messages. Its lock is held only for one access to a map.
//
// # Decisions
//
// Hooks identify a call by ids that are not ours: Call-IDs, the platform's id, ids in headers. Ids rank by how hard
// they are to forge: our own ids, then ids in our INVITEs and from platforms, then ids that callers write. If two calls
// have an id at the same rank, both are found, so a hook gets neither. Such ids are stored only if a hook is
// configured. TestNamesAreBounded here, and TestFindNamed and TestNoNamesWithoutHooks in calltest, check this.
package registry

import (
	"maps"
	"slices"
	"sync"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
)

// Keys holds the keys by which a leg is found.
type Keys struct {
	Tag    string // our tag
	Branch string // branch of the INVITE that created a UAS leg
	Merged string // a key that this INVITE and its copies have in common; see peers.Trunk.MergeKey
}

// Known returns the keys.
func (k *Keys) Known() *Keys { return k }

// Leg is a leg of a call of type C.
type Leg[C any] interface {
	comparable
	Known() *Keys
	Call() C
}

// Registry has calls of type C and their legs of type L.
type Registry[C comparable, L Leg[C]] struct {
	mu     sync.RWMutex
	legs   map[string]L    // by our tag
	merged map[string]L    // by Keys.Merged
	calls  map[string]C    // by our id
	gone   *leg.EndedLegs  // tags of ended legs
	names  [ranks]names[C] // additional ids of calls
	none   L               // no leg
	noCall C
}

// New makes an empty registry.
func New[C comparable, L Leg[C]]() *Registry[C, L] {
	return &Registry[C, L]{
		legs: map[string]L{}, merged: map[string]L{}, calls: map[string]C{},
		names: [ranks]names[C]{newNames[C](), newNames[C]()},
		gone:  leg.NewEndedLegs(),
	}
}

// AddCall adds a call and its first leg. It returns false if their INVITE, or a copy of it, has already created a call.
func (r *Registry[C, L]) AddCall(id string, c C, l L) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := l.Known()
	if r.isLeg(k.Tag) || r.merged[k.Merged] != r.none {
		return false
	}
	r.legs[k.Tag], r.merged[k.Merged], r.calls[id] = l, l, c
	return true
}

// Resume adds the legs of a call that is restored or placed, and the call itself if live is set.
func (r *Registry[C, L]) Resume(id string, c C, legs []L, live bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range legs {
		k := l.Known()
		r.legs[k.Tag] = l
		if k.Merged != "" {
			r.merged[k.Merged] = l
		}
	}
	if live {
		r.calls[id] = c
	}
}

// MergedWith returns the leg that another copy of an INVITE has created, or nil.
func (r *Registry[C, L]) MergedWith(key string) L {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.merged[key]
}

// AddLeg adds another leg of a call.
func (r *Registry[C, L]) AddLeg(l L) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.legs[l.Known().Tag] = l
}

// RemoveLeg removes an ended leg. bye is the branch of the BYE that ended it, or "" if none did.
func (r *Registry[C, L]) RemoveLeg(l L, bye string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := l.Known()
	delete(r.legs, k.Tag)
	delete(r.merged, k.Merged)
	r.gone.Add(k.Tag, k.Branch, bye)
}

// ByeAnswered reports whether the BYE with this branch has ended the leg with this tag. Then the BYE is a
// retransmission, because our answer was lost.
func (r *Registry[C, L]) ByeAnswered(tag, branch string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gone.EndedBy(tag, branch)
}

// isLeg reports whether there is a leg with this tag.
func (r *Registry[C, L]) isLeg(tag string) bool { return r.legs[tag] != r.none }

// KnowsTag reports whether there is a leg with this tag, or was one within the last
// 64*T1. It allocates nothing.
func (r *Registry[C, L]) KnowsTag(tag []byte) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.isLeg(string(tag)) || r.gone.Has(tag)
}

// IsYoung reports whether the server started less than 64*T1 ago. Until then, responses to an earlier process may
// arrive.
func (r *Registry[C, L]) IsYoung() bool { return r.gone.IsYoung() }

// IsGone reports whether the leg with this tag, made by the INVITE with this branch,
// ended less than 64*T1 ago. Until then the INVITE may be retransmitted.
func (r *Registry[C, L]) IsGone(tag, branch string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gone.MadeBy(tag, branch)
}

// RemoveCall removes a call from the live calls. Its legs may remain.
func (r *Registry[C, L]) RemoveCall(id string, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, id)
	for i := range r.names {
		r.names[i].forget(c)
	}
}

// Leg returns the leg with this tag, or nil.
func (r *Registry[C, L]) Leg(tag string) L {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.legs[tag]
}

// Has reports whether there is a leg with this tag.
func (r *Registry[C, L]) Has(tag message.Minted) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.isLeg(string(tag[:]))
}

// Call returns the live call with this id, or nil.
func (r *Registry[C, L]) Call(id string) C {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.calls[id]
}

// Search returns the calls with this id, of any origin, or with a leg for which fits is true.
func (r *Registry[C, L]) Search(id string, fits func(L) bool) []C {
	all := r.Named(id)
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, l := range r.legs {
		if fits(l) && !slices.Contains(all, l.Call()) {
			all = append(all, l.Call())
		}
	}
	return all
}

// All returns the live calls, in no particular order.
func (r *Registry[C, L]) All() []C {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.calls))
}

// Open returns each call that is live or has a live leg.
func (r *Registry[C, L]) Open() (all []C) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	open := make(map[C]bool, len(r.calls))
	for _, c := range r.calls {
		open[c] = true
	}
	for _, l := range r.legs {
		open[l.Call()] = true
	}
	return slices.Collect(maps.Keys(open))
}

// Counts returns the numbers of live calls and of all legs.
func (r *Registry[C, L]) Counts() (calls, lines int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.calls), len(r.legs)
}
