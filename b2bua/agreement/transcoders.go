package agreement

import "sync/atomic"

// Transcoders counts the calls of this node that use a codec, and limits them. A call takes at most one place.
type Transcoders struct {
	most int // calls

	used    atomic.Int64
	refused atomic.Uint64
}

// NewTranscoders returns places for at most this many calls, or nil for 0.
func NewTranscoders(most int) *Transcoders {
	if most == 0 {
		return nil
	}
	return &Transcoders{most: most}
}

// take takes a place if one is free or must is set, and reports whether it did.
func (t *Transcoders) take(must bool) bool {
	if n := t.used.Add(1); n > int64(t.most) && !must {
		t.used.Add(-1)
		t.refused.Add(1)
		return false
	}
	return true
}

// Figures returns how many calls have a place, how many may have one, and how often a call was refused one.
func (t *Transcoders) Figures() (used, most int, refused uint64) {
	if t == nil {
		return 0, 0, 0
	}
	return int(t.used.Load()), t.most, t.refused.Load()
}

// Place is a call's place among the Transcoders. The zero value can never get one.
type Place struct {
	of  *Transcoders
	has bool
}

// PlaceAt returns a place that is not taken yet. If t is nil it can never be.
func PlaceAt(t *Transcoders) Place { return Place{of: t} }

// Possible reports whether the call may ask for the place.
func (p *Place) Possible() bool { return p.of != nil }

// Free reports whether Claim would give the call the place now.
func (p *Place) Free() bool { return p.of != nil && p.of.used.Load() < int64(p.of.most) }

// Has reports whether the call has the place.
func (p *Place) Has() bool { return p.has }

// Claim takes the place unless the call has it, and reports whether the call has it then. must ignores the limit: a
// call of another process keeps its place.
func (p *Place) Claim(must bool) bool {
	p.has = p.has || p.of != nil && p.of.take(must)
	return p.has
}

// Release gives the place back if the call has it.
func (p *Place) Release() {
	if p.has {
		p.of.used.Add(-1)
		p.has = false
	}
}
