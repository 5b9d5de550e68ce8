package latch

import (
	"net/netip"
	"time"
)

// State says which source is locked, and for which description.
type State struct {
	Named    netip.AddrPort `cbor:"1,keyasint,omitzero"`
	Mode     Mode           `cbor:"2,keyasint,omitempty"`
	Source   netip.AddrPort `cbor:"3,keyasint,omitzero"`
	SSRC     uint32         `cbor:"4,keyasint,omitempty"`
	Relocked bool           `cbor:"5,keyasint,omitempty"`
	LockedAt time.Duration  `cbor:"6,keyasint,omitempty"`
	Heard    time.Duration  `cbor:"7,keyasint,omitempty"`
	StreamAt time.Duration  `cbor:"8,keyasint,omitempty"`
	LearnTil time.Duration  `cbor:"9,keyasint,omitempty"`
	Recent   netip.AddrPort `cbor:"10,keyasint,omitzero"`

	// The former source, and the stream that was replaced by another.
	Former      netip.AddrPort `cbor:"11,keyasint,omitzero"`
	FormerName  netip.AddrPort `cbor:"12,keyasint,omitzero"`
	FormerUntil time.Duration  `cbor:"13,keyasint,omitempty"`
	Before      netip.AddrPort `cbor:"14,keyasint,omitzero"`
	BeforeSSRC  uint32         `cbor:"15,keyasint,omitempty"`
	BeforeLived time.Duration  `cbor:"16,keyasint,omitempty"`
}

// State returns the state for Resume. at converts a time to another clock.
func (l *Latch) State(at func(time.Duration) time.Duration) State {
	st := State{
		Named: l.named, Mode: l.mode, Source: l.source, SSRC: l.ssrc, Relocked: l.relocked, LockedAt: at(l.lockedAt),
		Heard: at(l.heard), StreamAt: at(l.streamAt), LearnTil: at(l.learnTil), Recent: l.recent,
	}
	if f := l.former; f != nil {
		st.Former, st.FormerName, st.FormerUntil = f.source, f.name, at(f.until)
	}
	if b := l.before; b != nil {
		st.Before, st.BeforeSSRC, st.BeforeLived = b.source, b.ssrc, b.lived
	}
	return st
}

// Resume returns a latch that is locked as the state says. until converts a time to this process's clock, and
// limits the result to later after now.
func Resume(st *State, believed, listed []netip.Prefix, until func(t, later time.Duration) time.Duration) Latch {
	l := Latch{
		mode: st.Mode, named: st.Named, believed: believed, listed: listed, learnTil: until(st.LearnTil, LearnWindow),
		source: st.Source, ssrc: st.SSRC, relocked: st.Relocked, lockedAt: until(st.LockedAt, 0), heard: until(st.Heard, 0),
		streamAt: until(st.StreamAt, 0), recent: st.Recent,
	}
	if st.Former.IsValid() {
		l.former = &former{source: st.Former, name: st.FormerName, until: until(st.FormerUntil, LateWindow)}
	}
	if st.Before.IsValid() {
		l.before = &replaced{source: st.Before, ssrc: st.BeforeSSRC, lived: st.BeforeLived}
	}
	return l
}
