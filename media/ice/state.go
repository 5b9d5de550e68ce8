package ice

import (
	"net/netip"
	"slices"
	"time"
)

// State is what another process needs to continue an agent, beside its Setup.
type State struct {
	Checked []netip.AddrPort `cbor:"1,keyasint,omitempty"`
	Wished  []netip.AddrPort `cbor:"2,keyasint,omitempty"` // the addresses in Checked that the side wants to be at

	// Former holds our credentials before a restart, and the user name of checks with them.
	Former Credentials `cbor:"3,keyasint,omitzero"`
	User   string      `cbor:"4,keyasint,omitempty"`
}

// State returns the state for Resume.
func (a *Agent) State() *State {
	s := &State{}
	for _, from := range a.checked {
		if from.at.IsValid() {
			s.Checked = append(s.Checked, from.at)
		}
		if from.wished {
			s.Wished = append(s.Wished, from.at)
		}
	}
	if a.former != nil {
		s.Former, s.User = a.former.own, a.former.user
	}
	return s
}

// Resume returns an agent with a saved state, which may be nil. It counts as alive now, so that the time in which no
// process answered does not end the side.
func Resume(setup *Setup, s *State, now time.Duration) *Agent {
	a := New(setup)
	a.Hear(now)
	if s == nil {
		return a
	}
	for _, at := range s.Checked[:min(len(s.Checked), remembered)] {
		a.addSource(at).wished = slices.Contains(s.Wished, at)
	}
	if s.User != "" {
		a.former = &former{key: newKey(s.Former.Password), user: s.User, own: s.Former}
	}
	return a
}
