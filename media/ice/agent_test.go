package ice

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"pgregory.net/rapid"
)

var nowhere netip.AddrPort

// Each check is answered as its row says. What is refused gets no answer, except for a role conflict.
func TestCheck(t *testing.T) {
	valid := check(t, controlling, priority)
	changed := func(change func(b []byte)) []byte {
		b := slices.Clone(valid)
		change(b)
		return b
	}
	noIntegrity := build(t, stun.TransactionID, stun.BindingRequest, stun.NewUsername("ours:their"), controlling,
		stun.Fingerprint)
	noPrint := build(t, stun.TransactionID, stun.BindingRequest, stun.NewUsername("ours:their"), controlling,
		stun.NewShortTermIntegrity(own.Password))
	optional := stun.RawAttribute{Type: 0xc057, Value: []byte("\x00\x01\x02\x03")}
	indication := stun.NewType(stun.MethodBinding, stun.ClassIndication)
	for name, tt := range map[string]struct {
		datagram []byte
		want     Verdict
		class    stun.MessageClass // of the answer
	}{
		"valid":               {valid, Checked, stun.ClassSuccessResponse},
		"without a role":      {check(t, priority), Checked, stun.ClassSuccessResponse},
		"nominates":           {check(t, controlling, nominates), Nominated, stun.ClassSuccessResponse},
		"optional attribute":  {check(t, controlling, optional), Checked, stun.ClassSuccessResponse},
		"controlled":          {check(t, controlled), Refused, stun.ClassErrorResponse},
		"wrong password":      {checkAs(t, "ours:their", "another-password-another", controlling), Refused, 0},
		"wrong ufrag":         {checkAs(t, "zz:their", own.Password, controlling), Refused, 0},
		"wrong peer":          {checkAs(t, "ours:other", own.Password, controlling), Refused, 0},
		"without integrity":   {noIntegrity, Refused, 0},
		"without fingerprint": {noPrint, Refused, 0},
		"unknown attribute":   {check(t, controlling, stun.RawAttribute{Type: 0x0031, Value: []byte("x")}), Refused, 0},
		"changed":             {changed(func(b []byte) { b[9] ^= 1 }), Refused, 0},
		"longer":              {append(slices.Clone(valid), 0, 0, 0, 0), Refused, 0},
		"cut":                 {valid[:40], Refused, 0},
		"empty":               {nil, Refused, 0},
		"another method":      {changed(func(b []byte) { b[1] = 3 }), Refused, 0},
		"garbage":             {bytes.Repeat([]byte{0}, 20), Refused, 0},
		"a response":          {build(t, stun.TransactionID, stun.BindingSuccess, stun.Fingerprint), Refused, 0},
		"an indication":       {build(t, stun.TransactionID, indication), Refused, 0},
	} {
		before := slices.Clone(tt.datagram)
		a := newAgent()
		answer, v := a.Take(home, nowhere, false, tt.datagram, make([]byte, 0, 600), start)
		if v != tt.want || (answer != nil) != (tt.class != 0) {
			t.Errorf("%s: verdict %d, answer % x", name, v, answer)
		}
		if !bytes.Equal(before, tt.datagram) {
			t.Errorf("%s: the datagram was changed", name)
		}
		if a.Admits(home) != (v == Checked || v == Nominated) {
			t.Errorf("%s: admitted %v", name, a.Admits(home))
		}
		if answer == nil {
			continue
		}
		m := parsed(t, answer, own.Password)
		if m.Type.Class != tt.class || !bytes.Equal(m.TransactionID[:], tt.datagram[8:20]) {
			t.Errorf("%s: %v", name, m)
		}
		var code stun.ErrorCodeAttribute
		if code.GetFrom(m) == nil && code.Code != stun.CodeRoleConflict {
			t.Errorf("%s: %v", name, code)
		}
	}
}

// An answer says where the check came from, in both address families.
func TestMappedAddress(t *testing.T) {
	for _, src := range []netip.AddrPort{home, netip.MustParseAddrPort("[2001:db8::7]:50001")} {
		answer, _ := newAgent().Take(src, nowhere, false, check(t, controlling), nil, start)
		var mapped stun.XORMappedAddress
		if err := mapped.GetFrom(parsed(t, answer, own.Password)); err != nil || mapped.String() != src.String() {
			t.Errorf("%v: %v, %v", src, mapped, err)
		}
	}
}

// A keyed side is not moved by a check, which anybody can repeat from elsewhere. It moves with an authentic packet, or
// with its check when no valid check or packet has come from its address for longer than a side takes between two
// checks.
func TestNominationOfKeyedSide(t *testing.T) {
	a, use := newAgent(), check(t, controlling, nominates)
	take := func(src netip.AddrPort, keyed bool, now time.Duration) Verdict {
		_, v := a.Take(src, home, keyed, use, nil, now)
		return v
	}
	if v := take(home, false, start); v != Nominated {
		t.Errorf("before the keys: %d", v)
	}
	if v := take(away, true, start+wishAfter-1); v != Checked || !a.Wishes(away) {
		t.Errorf("after the keys: %d, wished %v", v, a.Wishes(away))
	}
	a.Hear(start + 1)
	if v := take(away, true, start+wishAfter); v != Checked {
		t.Errorf("while it is heard: %d", v)
	}
	if v := take(away, true, start+1+wishAfter); v != Nominated || a.Wishes(away) {
		t.Errorf("when it is silent: %d", v)
	}
}

// Whatever a stranger sends, repeats of the side's checks included, a keyed side whose own packets arrive stays where
// it is, and each of its own checks is answered.
func TestForeignDatagrams(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, now := newAgent(), start
		heard := [][]byte{check(t, controlling, nominates), check(t, controlling)}
		if _, v := a.Take(home, nowhere, false, slices.Clone(heard[0]), nil, now); v != Nominated {
			rt.Fatal(v)
		}
		foreign := append(heard, checkAs(t, "ours:their", "another-password-another", controlling, nominates),
			checkAs(t, "zz:their", own.Password, controlling, nominates), check(t, controlled),
			build(t, stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication)))
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			now += time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(rt, "step"))
			if rapid.IntRange(0, 3).Draw(rt, "own") == 0 || now-a.alive > 5*time.Second {
				answer, _ := a.Take(home, home, true, check(t, controlling), nil, now)
				if answer == nil && a.answers < answersMost {
					rt.Fatal("its own check is not answered")
				}
				continue
			}
			src := netip.AddrPortFrom(away.Addr(), uint16(rapid.IntRange(1, 9).Draw(rt, "port")))
			pkt := slices.Clone(foreign[rapid.IntRange(0, len(foreign)-1).Draw(rt, "datagram")])
			if rapid.Bool().Draw(rt, "changed") {
				pkt[rapid.IntRange(0, len(pkt)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
			}
			if _, v := a.Take(src, home, true, pkt, nil, now); v == Nominated {
				rt.Fatalf("moved by % x", pkt)
			}
		}
		if gone, _ := a.Gone(now); gone {
			rt.Error("it is gone")
		}
	})
}

// At most 50 checks a second are answered. Wrong ones do not count, so that a stranger can't use them up.
func TestAnswersAreBounded(t *testing.T) {
	a, wrong := newAgent(), checkAs(t, "ours:their", "another-password-another", controlling)
	answered := 0
	for range 1000 {
		_, _ = a.Take(away, home, true, slices.Clone(wrong), nil, start)
		if answer, _ := a.Take(home, home, true, check(t, controlling), nil, start); answer != nil {
			answered++
		}
	}
	if answered != answersMost {
		t.Errorf("%d answered; want %d", answered, answersMost)
	}
	if answer, _ := a.Take(home, home, true, check(t, controlling), nil, start+time.Second); answer == nil {
		t.Error("no answer in the next second")
	}
}

// A valid check that somebody repeats from elsewhere takes neither the answers nor the wish of the side.
func TestRepeatedChecks(t *testing.T) {
	a := newAgent()
	_, _ = a.Take(home, netip.AddrPort{}, false, check(t, controlling, nominates), nil, start)
	moved := netip.MustParseAddrPort("203.0.113.5:4000")
	if _, v := a.Take(moved, home, true, check(t, controlling, nominates), nil, start); v != Checked || !a.Wishes(moved) {
		t.Errorf("%d, wished %v", v, a.Wishes(moved))
	}
	repeated := check(t, controlling, nominates)
	answered := 0
	for range 1000 {
		if answer, _ := a.Take(away, home, true, slices.Clone(repeated), nil, start); answer != nil {
			answered++
		}
	}
	if answered >= answersMost || !a.Wishes(moved) {
		t.Errorf("%d answered, wished %v", answered, a.Wishes(moved))
	}
	if answer, _ := a.Take(home, home, true, check(t, controlling), nil, start); answer == nil {
		t.Error("the side has no answer")
	}
	if next := Resume(&a.setup, a.State(), start); !next.Wishes(moved) || !next.Wishes(away) || next.Wishes(home) {
		t.Error("other wishes after a restart")
	}
	if a.Moved(); a.Wishes(moved) || a.Wishes(away) {
		t.Error("wishes are left")
	}
}

// After a restart (RFC 8445 §9) the former credentials count until a check with the new ones nominates.
func TestRestart(t *testing.T) {
	a := newAgent()
	old := check(t, controlling)
	a.Set(&Setup{Own: own, Peer: their})
	if a.former != nil {
		t.Error("an unchanged description restarts")
	}
	next := Setup{Own: Credentials{"new1", "new-password-new-password"}, Peer: Credentials{"new2", "x"}}
	a.Set(&next)
	a = Resume(&next, a.State(), start)
	fresh := func(more ...stun.Setter) []byte { return checkAs(t, "new1:new2", next.Own.Password, more...) }
	for _, tt := range []struct {
		datagram []byte
		want     Verdict
	}{
		{slices.Clone(old), Checked},
		{fresh(controlling), Checked},
		{slices.Clone(old), Checked},
		{fresh(controlling, nominates), Nominated},
		{slices.Clone(old), Refused},
	} {
		if _, v := a.Take(home, home, true, tt.datagram, nil, start); v != tt.want {
			t.Errorf("verdict %d; want %d", v, tt.want)
		}
	}
}

// A side is gone after 30 s without a sign of life, once; or soon, if it has seemed to close and is silent then.
func TestGone(t *testing.T) {
	is := func(a *Agent, now time.Duration) [2]bool {
		gone, closed := a.Gone(now)
		return [2]bool{gone, closed}
	}
	a := newAgent()
	if got := is(a, start+time.Hour); got != [2]bool{} {
		t.Errorf("before the first check: %v", got)
	}
	_, _ = a.Take(home, home, true, check(t, controlling), nil, start)
	a.Miss(time.Second)
	for at, want := range []bool{false, true, false} {
		if got := is(a, start+time.Second+consentWithin-1+time.Duration(at)); got != [2]bool{want, false} {
			t.Errorf("%d: %v", at, got)
		}
	}
	for _, pauses := range []bool{false, true} {
		a, after := newAgent(), map[bool]time.Duration{false: closedAfter, true: wishAfter}[pauses]
		a.Hear(start)
		a.Closes(pauses, start)
		a.Hear(start + 1) // a forged record
		if got := is(a, start+after); got != [2]bool{} {
			t.Errorf("a side that is heard: %v", got)
		}
		a.Closes(pauses, start+2)
		if got, at := is(a, start+1+after), is(a, start+2+after); got != [2]bool{} || at != [2]bool{true, true} {
			t.Errorf("a side that is silent: %v, then %v", got, at)
		}
	}
}

// A Binding indication from the side's address is a sign of life (RFC 8445 §11). It has no answer.
func TestIndication(t *testing.T) {
	a, pkt := newAgent(), build(t, stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication))
	a.Hear(start)
	for _, src := range []netip.AddrPort{away, home} {
		answer, v := a.Take(src, home, true, pkt, nil, start+time.Second)
		if answer != nil || (v == Unproved) != (src == home) || (a.alive > start) != (src == home) {
			t.Errorf("from %v: verdict %d, alive %v", src, v, a.alive)
		}
	}
}

// Each field of an agent that another process needs is in its state.
func TestState(t *testing.T) {
	a := newAgent()
	_, _ = a.Take(home, home, true, check(t, controlling), nil, start)
	_, _ = a.Take(away, home, true, check(t, controlling, nominates), nil, start)
	next := Setup{Own: Credentials{"new1", "new-password-new-password"}, Peer: their}
	a.Set(&next)
	st := a.State()
	for i := range reflect.TypeFor[State]().NumField() {
		if reflect.ValueOf(*st).Field(i).IsZero() {
			t.Errorf("%s is not set", reflect.TypeFor[State]().Field(i).Name)
		}
	}
	b := Resume(&next, st, start)
	if !b.Admits(home) || !b.Wishes(away) || !reflect.DeepEqual(b.State(), st) {
		t.Errorf("%+v; want %+v", b.State(), st)
	}
	if b := Resume(&next, nil, start); b.Admits(home) || b.alive != start {
		t.Errorf("without a state: %+v", b.State())
	}
}
