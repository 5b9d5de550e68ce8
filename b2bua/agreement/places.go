package agreement

import "sync"

// Places counts the calls of this node that use something scarce, like a codec of ours, and limits them. A call takes
// at most one place, from the time when it is offered to a target that needs one. Half of the places are reserved for
// the trunks in equal parts, so that one trunk, or its calls that only ring, can't take all.
type Places struct {
	most   int        // calls
	trunks func() int // how many trunks there are now

	mu      sync.Mutex // guards the fields below
	used    int
	of      map[string]int // used, by trunk
	refused uint64
}

// NewPlaces returns places for at most this many calls of a number of trunks, or nil for 0.
func NewPlaces(most int, trunks func() int) *Places {
	if most == 0 {
		return nil
	}
	return &Places{most: most, trunks: trunks, of: map[string]int{}}
}

// take takes a place for a trunk if one is free for it or must is set, and reports whether it did.
func (t *Places) take(trunk string, must bool) bool {
	trunks := max(1, t.trunks())
	t.mu.Lock()
	defer t.mu.Unlock()
	if !must && !t.hasRoom(trunk, trunks) {
		t.refused++
		return false
	}
	t.used++
	t.of[trunk]++
	return true
}

// isFree reports whether take would take a place.
func (t *Places) isFree(trunk string) bool {
	trunks := max(1, t.trunks())
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hasRoom(trunk, trunks)
}

// hasRoom reports whether a place is free that is not kept for one of the other trunks. t.mu is held.
func (t *Places) hasRoom(trunk string, trunks int) bool {
	reserved := t.most / 2 / trunks
	kept := (trunks - 1) * reserved // for the others, unless they use it
	for name, used := range t.of {
		if name != trunk {
			kept -= min(used, reserved)
		}
	}
	return t.used+max(0, kept) < t.most
}

// free gives a trunk's place back.
func (t *Places) free(trunk string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used--
	if t.of[trunk]--; t.of[trunk] == 0 {
		delete(t.of, trunk)
	}
}

// Figures returns how many calls have a place, how many may have one, and how often a call was refused one.
func (t *Places) Figures() (used, most int, refused uint64) {
	if t == nil {
		return 0, 0, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used, t.most, t.refused
}

// Place is a call's place among them. The zero value can never get one.
type Place struct {
	of    *Places
	trunk string
	has   bool
}

// PlaceAt returns a place for a call of a trunk that is not taken yet. If t is nil it can never be.
func PlaceAt(t *Places, trunk string) Place { return Place{of: t, trunk: trunk} }

// Possible reports whether the call may ask for the place.
func (p *Place) Possible() bool { return p.of != nil }

// Free reports whether Claim would give the call the place now.
func (p *Place) Free() bool { return p.of != nil && p.of.isFree(p.trunk) }

// Has reports whether the call has the place.
func (p *Place) Has() bool { return p.has }

// Claim takes the place unless the call has it, and reports whether the call has it then. must ignores the limit: a
// call of another process keeps its place.
func (p *Place) Claim(must bool) bool {
	p.has = p.has || p.of != nil && p.of.take(p.trunk, must)
	return p.has
}

// Release gives the place back if the call has it.
func (p *Place) Release() {
	if p.has {
		p.of.free(p.trunk)
		p.has = false
	}
}
