package message

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/sim/siptest"
)

func TestNonce(t *testing.T) {
	m := NewMinter([32]byte{1})
	now := m.begun.Add(1_800_000_123 * time.Millisecond)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	n := m.Challenge(a, nil, now)
	d, ok := m.ReadNonce(n[:])
	if !ok || !d.made.Equal(now) || d.holder != m.holderOf(a) || d.holder == m.holderOf(b) {
		t.Errorf("%s says %+v, %v", n, d, ok)
	}
	if other := m.Challenge(a, nil, now); other == n {
		t.Error("the same nonce twice")
	}
	for i := range n {
		bad := n
		if bad[i]++; bad[i] > 'f' || (bad[i] > '9' && bad[i] < 'a') {
			bad[i] = '0'
		}
		if _, ok := m.ReadNonce(bad[:]); ok {
			t.Errorf("%s is taken for ours", bad)
		}
	}
	for _, bad := range []string{"", "x", strings.Repeat("0", challengeLen), string(n[:]) + "0", m.Tag()} {
		if _, ok := m.ReadNonce([]byte(bad)); ok {
			t.Errorf("%q is taken for ours", bad)
		}
	}
	if _, ok := NewMinter([32]byte{2}).ReadNonce(n[:]); ok {
		t.Error("the nonce of another key is taken")
	}
	site := m.holderOf(netip.MustParseAddr("2001:db8:1:2::1"))
	if site != m.holderOf(netip.MustParseAddr("2001:db8:1:2:ffff::9")) || site == m.holderOf(netip.MustParseAddr("2001:db8:1:3::1")) {
		t.Error("an IPv6 site is not its /64")
	}
	if m.holderOf(a) != m.holderOf(netip.MustParseAddr("::ffff:192.0.2.1")) {
		t.Error("an address in its IPv6 form is another one")
	}
}

// The age of a nonce is measured by the time that has passed, even if the machine's clock
// is changed.
func TestNonceWhenTheClockIsSet(t *testing.T) {
	for name, by := range map[string]time.Duration{"back": time.Hour, "ahead": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			m := NewMinter([32]byte{1})
			r := NewReplays(start)
			at := func(d time.Duration, set bool) time.Time {
				if set {
					return siptest.SetBack(t, start.Add(d), by)
				}
				return start.Add(d)
			}
			made := func(at time.Time) ReceivedNonce {
				n := m.Challenge(siptest.Carrier.Addr(), nil, at)
				d, _ := m.ReadNonce(n[:])
				return d
			}
			before, after := made(at(time.Second, false)), made(at(3*time.Second, true))
			for name, n := range map[string]ReceivedNonce{"before": before, "after": after} {
				if now := at(4*time.Second, true); !r.Fresh(n, now) || !r.Use(n, 1, now) || r.Use(n, 1, now) {
					t.Errorf("a nonce from %s the clock was set is not good for one request", name)
				}
				if r.Fresh(n, at(time.Second+nonceTTL+4*time.Second, true)) {
					t.Errorf("a nonce from %s the clock was set stays fresh", name)
				}
			}
		})
	}
}

// After a restart, a nonce of the old process is recognised, but counts as too old, because
// the counts of its uses are forgotten.
func TestNonceOfAnEarlierProcess(t *testing.T) {
	was, is := NewMinter([32]byte{1}), NewMinter([32]byte{1})
	now := time.Now()
	r := NewReplays(now.Add(-time.Minute))
	for range 2 {
		n := was.Challenge(siptest.Carrier.Addr(), nil, now)
		d, ok := is.ReadNonce(n[:])
		if !ok || d.holder != is.holderOf(siptest.Carrier.Addr()) {
			t.Errorf("not known as ours: %+v, %v", d, ok)
		}
		if r.Fresh(d, now) || r.Use(d, 1, now) {
			t.Error("taken")
		}
	}
}

func TestReplays(t *testing.T) {
	m := NewMinter([32]byte{1})
	now := m.begun.Add(time.Minute)
	made := func(at time.Time) ReceivedNonce {
		n := m.Challenge(siptest.Carrier.Addr(), nil, at)
		d, _ := m.ReadNonce(n[:])
		return d
	}
	r := NewReplays(now)
	d := made(now)
	for i, tt := range []struct {
		nc   uint32
		want bool
	}{
		{0, false},
		{1, true},
		{1, false},
		{2, true},
		{5, true},
		{4, true},
		{4, false},
		{3, true},
		{2, false},
		{68, true},
		{6, true},
		{5, false},
		{4, false},
		{1000, true},
		{936, false},
		{937, true},
		{1<<32 - 1, true},
		{1<<32 - 1, false},
		{1000, false},
	} {
		if got := r.Use(d, tt.nc, now); got != tt.want {
			t.Errorf("use %d, nc %d: %v; want %v", i, tt.nc, got, tt.want)
		}
	}
	if old := made(now.Add(-time.Second)); r.Fresh(old, now) || r.Use(old, 1, now) {
		t.Error("a nonce from before the start is taken: it may have been used")
	}
	if later := made(now.Add(time.Second)); r.Fresh(later, now) {
		t.Error("a nonce from the future is taken")
	}
	if !r.Fresh(d, now.Add(nonceTTL-time.Second)) || r.Fresh(d, now.Add(nonceTTL+time.Second)) {
		t.Error("a nonce is not good for just its time")
	}
}

// However many nonces are used, memory is bounded and no nonce count is accepted twice.
func TestReplaysAreBounded(t *testing.T) {
	m, start := NewMinter([32]byte{1}), time.Now()
	r := NewReplays(start)
	r.max = 10
	used := map[ReceivedNonce]bool{}
	for i := range 1000 {
		now := start.Add(time.Duration(i) * time.Second)
		n := m.Challenge(siptest.Carrier.Addr(), nil, now)
		d, _ := m.ReadNonce(n[:])
		if !r.Use(d, 1, now.Add(time.Second)) {
			t.Fatalf("nonce %d is not taken", i)
		}
		used[d] = true
		if len(r.recent)+len(r.older) > 2*r.max+1 {
			t.Fatalf("%d nonces are remembered", len(r.recent)+len(r.older))
		}
		for d := range used {
			if r.Use(d, 1, now.Add(time.Second)) {
				t.Fatalf("nonce %v is taken twice", d)
			}
		}
	}
}

func TestThrottle(t *testing.T) {
	now := time.Now()
	th, h := NewThrottle(), ReceivedNonce{holder: holder{1}}
	for i := range failuresFree {
		if th.Fail(h, now); th.Blocked(h, now) {
			t.Fatalf("blocked after %d failures", i+1)
		}
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300} {
		th.Fail(h, now)
		until := now.Add(want * time.Second)
		if !th.Blocked(h, until.Add(-time.Millisecond)) || th.Blocked(h, until) {
			t.Errorf("failure %d does not block for %v s", failuresFree+i+1, int(want))
		}
	}
	if th.Blocked(ReceivedNonce{holder: holder{2}}, now) {
		t.Error("another one is blocked too")
	}
	now = now.Add(time.Hour)
	if th.Fail(h, now); th.Blocked(h, now) {
		t.Error("a failure of an hour ago counts still")
	}
}

func TestThrottleIsBounded(t *testing.T) {
	th, now := NewThrottle(), time.Now()
	th.max = 100
	for i := range 10_000 {
		th.Fail(ReceivedNonce{holder: holder{byte(i), byte(i >> 8)}}, now)
		if len(th.holders) > th.max {
			t.Fatalf("%d are remembered", len(th.holders))
		}
	}
	th.Fail(ReceivedNonce{holder: holder{9, 9, 9}}, now.Add(time.Hour))
	if n := len(th.holders); n != 1 {
		t.Errorf("%d are remembered after an hour", n)
	}
}

// The algorithms toward targets are those that docs/configuration.md promises.
func TestAlgorithmsAreThoseOfTheDocs(t *testing.T) {
	if got := slices.Sorted(maps.Keys(hashes)); !slices.Equal(got, []string{"", "MD5", "SHA-256", "SHA-512-256"}) {
		t.Errorf("algorithms %q", got)
	}
}

// FuzzNonce checks that only nonces of this server are accepted, and each only in one
// spelling.
func FuzzNonce(f *testing.F) {
	m := NewMinter([32]byte{1})
	made := m.Challenge(netip.MustParseAddr("192.0.2.10"), nil, m.begun.Add(1_800_000_123*time.Millisecond))
	ours := string(made[:])
	f.Add(ours)
	f.Add(strings.ToUpper(ours))
	f.Add(ours[1:])
	f.Add(ours + "0")
	f.Add("g" + ours[1:])
	f.Add(fmt.Sprintf("%0*d", challengeLen, 0))
	f.Fuzz(func(t *testing.T, nonce string) {
		if _, ok := m.ReadNonce([]byte(nonce)); !ok {
			return
		}
		for i := range len(nonce) { // a nonce with this key: no other text may be accepted as the same nonce
			changed := []byte(nonce)
			if changed[i]++; changed[i] > 'z' {
				changed[i] = 'A'
			}
			if d, ok := m.ReadNonce(changed); ok {
				t.Errorf("%q is read as %+v, beside %q", changed, d, nonce)
			}
		}
	})
}
