// Package registry knows the calls that are live, by their ids, and their legs, by our tags. It knows for a while which
// legs there were: their peers may repeat what they have said. Its lock is held for an access to a map at a time.
//
// # Decisions
//
// Hooks ask for a call by foreign ids: Call-IDs, the platform's id, ids in headers. Ids rank by how hard they are to
// forge: our own ids, ids of our INVITEs and of platforms, ids that callers write. An id that two calls claim at one
// rank finds both, so a hook gets neither. They are kept only where a hook is configured. TestNamesAreBounded, and
// TestFindNamed and TestNoNamesWithoutHooks in calltest.
package registry

import (
	"maps"
	"slices"
	"sync"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
)

// Keys are what a leg is found by.
type Keys struct {
	Tag    string // ours
	Branch string // of the INVITE that made a UAS leg
	Merged string // what that INVITE shares with its copies: see peers.Trunk.MergeKey
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
	gone   *leg.EndedLegs  // tags of legs that are over
	names  [ranks]names[C] // further ids of calls
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

// AddCall enters a call and its first leg. It fails if their INVITE, or a copy of it, has
// made a call already.
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

// Resume enters the legs of a call that was taken up or is placed, and the call if it is live.
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

// MergedWith gives the leg that another copy of an INVITE has made; nil: none.
func (r *Registry[C, L]) MergedWith(key string) L {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.merged[key]
}

// AddLeg enters a further leg of a call.
func (r *Registry[C, L]) AddLeg(l L) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.legs[l.Known().Tag] = l
}

// RemoveLeg removes a leg that is over. bye is the branch of the BYE that has ended it; empty: none has.
func (r *Registry[C, L]) RemoveLeg(l L, bye string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := l.Known()
	delete(r.legs, k.Tag)
	delete(r.merged, k.Merged)
	r.gone.Add(k.Tag, k.Branch, bye)
}

// ByeAnswered says whether the BYE of this branch ended the leg with this tag. Then
// it is repeated, because our answer was lost.
func (r *Registry[C, L]) ByeAnswered(tag, branch string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gone.EndedBy(tag, branch)
}

// isLeg reports whether there is a leg with this tag.
func (r *Registry[C, L]) isLeg(tag string) bool { return r.legs[tag] != r.none }

// KnowsTag says whether there is a leg with this tag, or was one 64*T1 ago. It
// allocates nothing.
func (r *Registry[C, L]) KnowsTag(tag []byte) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.isLeg(string(tag)) || r.gone.Has(tag)
}

// IsYoung says whether the server began less than 64*T1 ago. So long there may be answers to a process before it.
func (r *Registry[C, L]) IsYoung() bool { return r.gone.IsYoung() }

// IsGone says whether the leg with this tag, made by the INVITE of this branch, ended
// less than 64*T1 ago. So long the INVITE may be retransmitted.
func (r *Registry[C, L]) IsGone(tag, branch string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gone.MadeBy(tag, branch)
}

// RemoveCall removes a call from the live ones. Its legs may stay.
func (r *Registry[C, L]) RemoveCall(id string, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, id)
	for i := range r.names {
		r.names[i].forget(c)
	}
}

// Leg returns the leg with this tag; nil: there is none.
func (r *Registry[C, L]) Leg(tag string) L {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.legs[tag]
}

// Has says whether there is a leg of this tag.
func (r *Registry[C, L]) Has(tag message.Minted) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.isLeg(string(tag[:]))
}

// Call returns the live call with this id; nil: there is none.
func (r *Registry[C, L]) Call(id string) C {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.calls[id]
}

// Search returns the calls with an id of any origin, or with a leg that fits.
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

// All returns the calls that are live, in no order.
func (r *Registry[C, L]) All() []C {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.calls))
}

// Open returns the calls that are live, or have a leg that is, each once.
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

// Counts counts the calls that are live, and all legs.
func (r *Registry[C, L]) Counts() (calls, lines int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.calls), len(r.legs)
}
