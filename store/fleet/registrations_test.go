package fleet

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// phoneAt returns the binding of a phone from the nth REGISTER of its Call-ID.
func phoneAt(contact string, n uint32) record.Binding {
	now := time.Now()
	return record.Binding{
		Contact: contact, CallID: "one", CSeq: n, Transport: "udp", Received: netip.MustParseAddrPort("203.0.113.7:5060"),
		Path: []string{"<sip:edge.example;lr>"}, Registered: now, Expires: now.Add(time.Minute),
	}
}

// finds returns the Contacts that a node finds at other nodes, each with its node.
func (n *node) finds(holder string) string {
	n.t.Helper()
	all, err := n.fleet.Bindings(n.t.Context(), holder)
	must(n.t, err)
	var found []string
	for _, b := range all {
		found = append(found, b.Contact+" at "+b.Node)
	}
	return strings.Join(found, ", ")
}

// Nodes without a seat find each other's bindings, from the newest list of each holder. No node finds its own.
func TestBindingsOfOtherNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := newNode(t, "a"), newNode(t, "b")
	a.join(url, nil)
	b.join(url, nil)
	kept := phoneAt("sip:one@h", 1)
	a.fleet.KeepBindings("trunk phone", []record.Binding{phoneAt("sip:old@h", 1)})
	a.fleet.KeepBindings("trunk phone", []record.Binding{kept, phoneAt("sip:two@h", 2)})
	a.fleet.KeepBindings("trunk other", []record.Binding{phoneAt("sip:other@h", 1)})
	eventually(t, "b finds both", func() bool { return b.finds("trunk phone") == "sip:one@h at a.db, sip:two@h at a.db" })
	if got := a.finds("trunk phone") + a.finds("trunk other") + b.finds("trunk nobody"); got != "" {
		t.Errorf("found, too: %s", got)
	}
	all, err := b.fleet.Bindings(t.Context(), "trunk phone")
	must(t, err)
	got := all[0]
	if d := got.Expires.Sub(kept.Expires).Abs(); d > time.Millisecond || got.Received != kept.Received || got.Path[0] != kept.Path[0] ||
		got.CallID != kept.CallID || got.CSeq != kept.CSeq || got.Transport != kept.Transport {
		t.Errorf("kept as %+v, %v off", got, d)
	}
	a.fleet.KeepBindings("trunk phone", nil)
	eventually(t, "they are gone", func() bool { return b.finds("trunk phone") == "" })
	pgtest.Exec(t, url, `UPDATE flowbridge_registrations SET written_at = written_at - interval '20 minutes' WHERE holder = 'trunk phone'`)
	eventually(t, "the row is deleted, and no other", func() bool {
		return pgtest.One[string](t, url, `SELECT string_agg(holder, ' ') FROM flowbridge_registrations`) == "trunk other"
	})
	must(t, a.fleet.Close()) // it does not remove its bindings
	if got := b.finds("trunk other"); got != "sip:other@h at a.db" {
		t.Errorf("after the end of a: %q", got)
	}
}

// While the database is away, registrations do not wait for it. Afterwards it has them in their newest state.
func TestBindingsWait(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	url := pg.Database()
	a, b := newNode(t, "a"), newNode(t, "b")
	a.join(url, nil)
	b.join(url, nil)
	a.fleet.KeepBindings("trunk phone", []record.Binding{phoneAt("sip:one@h", 1)})
	eventually(t, "b finds it", func() bool { return b.finds("trunk phone") != "" })
	pg.Kill()
	a.fleet.KeepBindings("trunk phone", []record.Binding{phoneAt("sip:two@h", 2)})
	for _, n := range []*node{a, b} {
		eventually(t, "the outage is noticed", func() bool { return n.fleet.Status().BeatError != nil })
	}
	if all, err := b.fleet.Bindings(t.Context(), "trunk phone"); len(all) > 0 || err == nil || !strings.Contains(err.Error(), "not reached") {
		t.Errorf("%+v, %v", all, err)
	}
	if err := a.fleet.share(t.Context()); err == nil {
		t.Error("written without a database")
	}
	a.fleet.KeepBindings("trunk phone", []record.Binding{phoneAt("sip:three@h", 3)})
	pg.Run()
	for _, n := range []*node{a, b} {
		eventually(t, "the database is reached", func() bool { return n.fleet.Status().BeatError == nil })
	}
	eventually(t, "b finds the newest", func() bool { return b.finds("trunk phone") == "sip:three@h at a.db" })
}

// The next owner of a seat has its bindings. Nodes with other seats find them if they have the secret. The previous
// owner can no longer write.
func TestBindingsOfSeats(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, standby := seatedAt(t, url, "a", "east", "k"), seatedAt(t, url, "s", "east", "k")
	b, other := seatedAt(t, url, "b", "west", "k"), seatedAt(t, url, "o", "north", "x")
	without := newNode(t, "without")
	without.join(url, nil)
	for _, n := range []*node{a, b, other} {
		n.fleet.Seat.lease = patience
		n.take(false)
	}
	a.fleet.KeepBindings("trunk phone", []record.Binding{phoneAt("sip:one@h", 1)})
	without.fleet.KeepBindings("trunk phone", []record.Binding{phoneAt("sip:two@h", 1)})
	must(t, a.fleet.Seat.Flush(t.Context()))
	eventually(t, "both are there", func() bool {
		return pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_registrations`) == 2
	})
	for n, want := range map[*node]string{b: "sip:one@h at a.db", a: "", other: "", without: ""} {
		if got := n.finds("trunk phone"); got != want {
			t.Errorf("%s finds %q; want %q", n.fleet.Node(), got, want)
		}
	}
	if sealed := pgtest.One[[]byte](t, url, `SELECT bindings FROM flowbridge_registrations WHERE place = 'east'`); strings.Contains(string(sealed), "sip") {
		t.Errorf("not sealed: %s", sealed)
	}
	pgtest.Exec(t, url, `INSERT INTO flowbridge_registrations SELECT 'trunk copy', place, node, bindings, written_at FROM flowbridge_registrations`)
	if got := b.finds("trunk copy"); got != "" {
		t.Errorf("the bindings of another holder count: %s", got)
	}
	a.fleet.beating.Lock() // stops the node's heartbeats
	eventually(t, "the seat is taken", func() bool {
		lapse(t, url)
		got, _, err := standby.fleet.Seat.Take(t.Context(), false)
		return err == nil && got.Epoch == 2
	})
	a.fleet.KeepBindings("trunk phone", []record.Binding{phoneAt("sip:late@h", 2)})
	a.fleet.beating.Unlock()
	must(t, a.fleet.share(t.Context()))
	all, err := standby.fleet.Seat.Bindings(t.Context())
	must(t, err)
	if len(all["trunk copy"]) > 0 || len(all["trunk phone"]) != 1 || all["trunk phone"][0].Contact != "sip:one@h" || all["trunk phone"][0].Node != "" {
		t.Errorf("the new owner has %+v", all)
	}
}

// FuzzBindings parses any text as bindings, sealed and unsealed.
func FuzzBindings(f *testing.F) {
	s, err := newSeat(&Fleet{}, &SeatOptions{Name: "east", Secret: "0123456789abcdef0123456789abcdef"})
	must(f, err)
	seal, err := s.sealFor("")
	must(f, err)
	text, err := json.Marshal([]record.Binding{phoneAt("sip:one@h", 1), {Contact: "*"}})
	must(f, err)
	f.Add(text)
	f.Add([]byte(`[{"expires_at":"9999-12-31T23:59:59Z"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		now := time.Now()
		plain := bindingsOf(nil, "east", "trunk phone", "a", text, now)
		if got := bindingsOf(seal, "east", "trunk phone", "a", text, now); got != nil {
			t.Errorf("what is not sealed is read: %+v", got)
		}
		sealed := seal.Seal(nil, nil, text, bound("east", "trunk phone"))
		if got := bindingsOf(seal, "east", "trunk phone", "a", sealed, now); len(got) != len(plain) {
			t.Errorf("%d bindings; want %d", len(got), len(plain))
		}
		if got := bindingsOf(seal, "west", "trunk phone", "a", sealed, now); got != nil {
			t.Errorf("those of another place: %+v", got)
		}
		for _, b := range plain {
			if b.Node != "a" {
				t.Errorf("%+v", b)
			}
		}
	})
}
