package ice

import (
	"bytes"
	"slices"
	"testing"

	"github.com/pion/stun/v3"
)

// The reader and pion's agree about each message that both take, and ours takes no message that pion's refuses.
func FuzzRead(f *testing.F) {
	f.Add(check(f, controlling, priority, nominates))
	f.Add(check(f, controlled))
	f.Add(build(f, stun.TransactionID, stun.BindingError, stun.CodeRoleConflict, stun.Fingerprint))
	f.Add(checkAs(f, "ours:their", "another-password-another"))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		before := slices.Clone(pkt)
		m, ok := read(pkt)
		theirs := &stun.Message{Raw: slices.Clone(pkt)}
		if err := theirs.Decode(); err != nil {
			if ok {
				t.Fatalf("taken, and refused by pion: %v", err)
			}
			return
		}
		if !ok {
			return // ours is stricter about the forms of attributes and the order
		}
		var user stun.Username
		if err := user.GetFrom(theirs); err == nil && m.username != nil && string(m.username) != user.String() {
			t.Errorf("user name %q; want %q", m.username, user)
		}
		if !bytes.Equal(m.id(), theirs.TransactionID[:]) || uint16(m.kind) != theirs.Type.Value() {
			t.Errorf("%x of type %x; want %v", m.id(), m.kind, theirs)
		}
		if m.isPrinted() && stun.Fingerprint.Check(theirs) != nil {
			t.Error("the fingerprint is right for us only")
		}
		k := newKey(own.Password)
		if m.isSignedBy(k) && stun.NewShortTermIntegrity(own.Password).Check(theirs) != nil {
			t.Error("the integrity is right for us only")
		}
		if !bytes.Equal(pkt, before) {
			t.Error("the datagram was changed")
		}
	})
}

// A check does not allocate memory, whether it is right or wrong.
func TestAllocations(t *testing.T) {
	a, room := newAgent(), make([]byte, 0, 900)
	for name, pkt := range map[string][]byte{
		"right": check(t, controlling, nominates), "wrong password": checkAs(t, "ours:their", "another-password-another"),
		"wrong ufrag": checkAs(t, "zz:their", own.Password),
	} {
		now := start
		if n := testing.AllocsPerRun(100, func() {
			now += 1 << 30
			_, _ = a.Take(home, home, true, pkt, room, now)
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, pkt := range map[string][]byte{
		"answered":       check(b, controlling, priority),
		"wrong password": checkAs(b, "ours:their", "another-password-another", controlling),
		"wrong ufrag":    checkAs(b, "zz:their", own.Password, controlling),
	} {
		b.Run(name, func(b *testing.B) {
			a, room, now := newAgent(), make([]byte, 0, 900), start
			b.ReportAllocs()
			for b.Loop() {
				now += 1 << 30
				_, _ = a.Take(home, home, true, pkt, room, now)
			}
		})
	}
}
