package fleet

import (
	"strings"
	"testing"

	"flowbridge/internal/pgtest"
)

// seatedAt returns a node that stands by for a seat and has a secret.
func seatedAt(t *testing.T, url, name, seat, secret string) *node {
	t.Helper()
	n := newNode(t, name)
	o := n.options(url)
	o.Seat = &SeatOptions{Name: seat, Secret: strings.Repeat(secret, 32), Patience: patience}
	f, err := Open(t.Context(), o)
	must(t, err)
	f.beatWithin, f.within = patience, patience // even on a slow machine
	n.fleet = f
	t.Cleanup(func() { f.Close() })
	return n
}

// A node reads the states of all seats with its secret, and counts the others. It skips the states of its own seat,
// which it already has, and of calls that are over.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := seatedAt(t, url, "a", "east", "k"), seatedAt(t, url, "b", "west", "k")
	other, standby := seatedAt(t, url, "o", "north", "x"), seatedAt(t, url, "s", "east", "k")
	without := newNode(t, "without")
	without.join(url, nil)
	for _, n := range []*node{a, b, other} {
		n.take(false)
		n.keep("of-"+n.fleet.Node(), "state of "+n.fleet.Node())
	}
	b.keep("over", "state")
	b.put("over")
	eventually(t, "the call is over", func() bool { return count(t, url) == 1 })
	for _, tt := range []struct {
		of     *node
		reads  string // seat, node and id of each
		hidden int
	}{
		{a, "west b.db of-b.db", 1},
		{b, "east a.db of-a.db", 1},
		{other, "", 2},
		{without, "", 3},
		{standby, "east a.db of-a.db, west b.db of-b.db", 1},
	} {
		calls, hidden, err := tt.of.fleet.Elsewhere(t.Context())
		must(t, err)
		found := map[string]bool{}
		for _, c := range calls {
			found[c.Seat+" "+c.Node+" "+c.ID] = string(c.Text) == "state of "+c.Node
		}
		for want := range strings.SplitSeq(tt.reads, ", ") {
			if want != "" && !found[want] {
				t.Errorf("%s does not read %s: %v", tt.of.fleet.Node(), want, found)
			}
			delete(found, want)
		}
		if len(found) > 0 || hidden != tt.hidden {
			t.Errorf("%s reads %v, too, and hides %d; want %d", tt.of.fleet.Node(), found, hidden, tt.hidden)
		}
	}
	for _, tt := range []struct {
		of *node
		id string
		ok bool
	}{{a, "of-b.db", true}, {a, "of-a.db", false}, {a, "of-o.db", false}, {without, "of-a.db", false}, {a, "x\x00\xff", false}} {
		got, ok, err := tt.of.fleet.FindElsewhere(t.Context(), tt.id)
		if err != nil || ok != tt.ok || ok && (got.ID != tt.id || got.Node != "b.db" || got.Seat != "west") {
			t.Errorf("%s finds %q: %+v %v %v", tt.of.fleet.Node(), tt.id, got, ok, err)
		}
	}
	pgtest.Exec(t, url, `UPDATE flowbridge_states SET state = '\x00' WHERE seat = 'west'`)
	if calls, hidden, err := a.fleet.Elsewhere(t.Context()); err != nil || len(calls) != 0 || hidden != 2 {
		t.Errorf("damaged: %v, %d hidden, %v", calls, hidden, err)
	}
}
