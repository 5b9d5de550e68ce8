package fleet

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"flowbridge/internal/pgtest"
)

// opened returns a node's fleet whose looks are the test's own. secret is that of its seat; "" for none.
func (n *node) opened(url, secret string, change func(*Options)) *Fleet {
	n.t.Helper()
	o := n.options(url)
	if secret != "" {
		o.Seat = &SeatOptions{Name: n.path, Secret: secret}
	}
	if change != nil {
		change(&o)
	}
	f, err := Open(n.t.Context(), o)
	must(n.t, err)
	n.t.Cleanup(func() { f.Close() })
	must(n.t, f.ready(n.t.Context()))
	n.fleet = f
	n.erasing()
	return f
}

// passwordKey returns the key made of the database's password.
func passwordKey(t *testing.T, f *Fleet) []byte {
	t.Helper()
	key, err := f.keys.stretch(t.Context(), f)
	must(t, err)
	return key
}

// has reports whether the node has a record.
func (n *node) has(id string) bool {
	n.t.Helper()
	_, is, err := n.store.Get(n.t.Context(), id)
	must(n.t, err)
	return is
}

// Nodes with a key_file and nodes without one understand each other, and no row lets its reader try out passwords
// cheaply.
func TestErasuresOfBothKinds(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	const digits = "4930123456"
	secret, another := strings.Repeat("k", 32), strings.Repeat("o", 32)
	all := map[string]*node{}
	for name, key := range map[string]string{"with": secret, "same": secret, "another": another, "without": ""} {
		all[name] = newNode(t, name)
		all[name].opened(url, key, nil).eraseOthers(t.Context())
	}
	s := Subject{Is: func(d string) bool { return d == digits }}
	for by, want := range map[string]int{"with": 2, "another": 1, "without": 1} {
		for _, n := range all {
			r := finished(by)
			r.From = "+" + digits
			must(t, n.store.Put(t.Context(), r))
		}
		f := all[by].fleet
		_, alone, err := f.Erase(t.Context(), s, digits, nil, false)
		if rows := pgtest.One[int](t, url, "SELECT count(*) FROM flowbridge_erasures"); rows != want || err != nil || alone != nil {
			t.Errorf("by %s: %d rows, %v, not told: %v", by, rows, err, alone)
		}
		for name, n := range all {
			if name == by {
				_, err := n.store.Erase(t.Context(), []string{by})
				must(t, err)
				continue
			}
			if n.fleet.eraseOthers(t.Context()); n.has(by) || n.log.Count("not erased") > 0 {
				t.Errorf("%s has what %s erased: %v", name, by, n.log)
			}
		}
		if waits, err := f.Waits(t.Context()); err != nil || len(waits) > 0 {
			t.Errorf("waits for %v, %v", waits, err)
		}
		f.eraseOthers(t.Context()) // deletes the rows
	}

	// A node without any key in common is named, also for calls: nothing would prove the order there.
	f := all["with"].fleet
	f.keys.password = ""
	for _, s := range []Subject{s, {Calls: []string{"x"}}} {
		for _, dry := range []bool{true, false} {
			if _, alone, err := f.Erase(t.Context(), s, digits, nil, dry); err != nil || !slices.Equal(alone, []string{"another.db", "without.db"}) {
				t.Errorf("not told: %v, %v", alone, err)
			}
		}
	}
	all["without"].fleet.keys.password = ""
	must(t, all["without"].store.Put(t.Context(), finished("x")))
	e := erasure{ID: uuid.New(), Calls: []string{"x"}, Salt: make([]byte, 32)}
	e.waitFor(t, url, all["without"].fleet, nil, "now()")
	if all["without"].fleet.eraseOthers(t.Context()); !all["without"].has("x") {
		t.Error("a node without a key has erased what anybody may have ordered")
	}
}

// A row of the database lets its reader try out passwords only by scrypt, and where all nodes have one key_file not at all.
func TestErasureIsNoOracle(t *testing.T) {
	t.Parallel()
	const digits = "4930123456"
	for _, secret := range []string{"", strings.Repeat("k", 32)} {
		url := pgtest.Shared(t).Database()
		a, b := newNode(t, "a"), newNode(t, "b")
		a.opened(url, secret, nil)
		b.opened(url, secret, nil).eraseOthers(t.Context())
		_, _, err := a.fleet.Erase(t.Context(), Subject{Is: func(string) bool { return false }}, digits, nil, false)
		must(t, err)
		one := func(column string) []byte {
			return pgtest.One[[]byte](t, url, `SELECT `+column+` FROM flowbridge_erasures`) // fails unless there is one row
		}
		salt, number := one("salt"), one("number")
		stretched := passwordKey(t, a.fleet)
		if slices.Equal(number, hashWith([]byte(pgtest.Password), salt, digits)) {
			t.Error("the number's hash tells the password to who tries them all")
		}
		if by := slices.Equal(number, hashWith(stretched, salt, digits)); by != (secret == "") {
			t.Errorf("with %q the number is hashed with the password: %v", secret, by)
		}
		if len(stretched) != 32 || !slices.Equal(stretched, passwordKey(t, b.fleet)) {
			t.Error("the nodes have different keys of one password")
		}
	}
}

// Nodes that never wrote to flowbridge_members are asked, too: those of heartbeats, of records, and of fleet.nodes.
func TestErasureAsksAllNodes(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := newNode(t, "a")
	self, known, silent := netip.MustParseAddrPort("192.0.2.11:8080"), netip.MustParseAddrPort("192.0.2.12:8080"),
		netip.MustParseAddrPort("192.0.2.13:8080")
	f := a.opened(url, "", func(o *Options) {
		o.API = "http://" + self.String()
		o.Peers = func() []netip.AddrPort { return []netip.AddrPort{self, known, silent} }
	})
	f.eraseOthers(t.Context())
	pgtest.Exec(t, url, `INSERT INTO flowbridge_nodes (id, process, name, version, seen_at, api, standby) VALUES
		('1', '', 'old', '1.0.0', now(), $1, false), ('2', '', 'stands by', '1.0.0', now(), '', true),
		('3', '', 'gone', '1.0.0', now() - interval '91 days', '', false)`, "http://"+known.String())
	record := func(id, node, age string) {
		r := finished(id)
		r.Node = node
		text, err := textOf(&r)
		must(t, err)
		must(t, write(t.Context(), f.pool, []staged{{id: id, text: text}}, nil))
		pgtest.Exec(t, url, `UPDATE flowbridge_calls SET started_at = now() - $2::interval WHERE id = $1`, id, age)
	}
	record("1", "a.db", "1 day")
	record("2", "stopped.db", "89 days")
	record("3", "long gone", "91 days")
	record("4", "another", "1 day")

	s := Subject{Is: func(string) bool { return false }}
	_, _, err := f.Erase(t.Context(), s, "123", nil, false)
	must(t, err)
	if waits, err := f.Waits(t.Context()); err != nil ||
		!slices.Equal(waits, []string{silent.String(), "another", "old", "stopped.db"}) {
		t.Errorf("waits for %q, %v", waits, err)
	}
	n, _, err := f.Erase(t.Context(), Subject{Calls: []string{"2"}}, "", nil, false)
	if asks := pgtest.One[string](t, url, `SELECT array_to_string(waits, ', ') FROM flowbridge_erasures WHERE calls IS NOT NULL`); err != nil ||
		n != 1 || asks != "at "+silent.String()+", name old, name stopped.db" {
		t.Errorf("of a call: asks %q, %d, %v", asks, n, err)
	}

	// It comes back with a version that erases, and listens on all addresses.
	b := newNode(t, "stopped")
	must(t, b.store.Put(t.Context(), finished("2")))
	b.opened(url, "", func(o *Options) { o.Addresses = func() []netip.AddrPort { return []netip.AddrPort{silent} } })
	b.fleet.eraseOthers(t.Context())
	if waits, err := f.Waits(t.Context()); err != nil || b.has("2") || !slices.Equal(waits, []string{"another", "old"}) {
		t.Errorf("waits for %q, %v", waits, err)
	}
}

// waitFor writes a row that waits for a node, with the proof of a key.
func (e *erasure) waitFor(t *testing.T, url string, f *Fleet, key []byte, at string) {
	t.Helper()
	e.Proof = e.proof(key)
	pgtest.Exec(t, url, `INSERT INTO flowbridge_erasures VALUES ($1, $2, $3, $4, NULL, ARRAY[$5], `+at+`)`,
		e.ID, e.Calls, e.Salt, e.Proof, f.own)
}

// Whoever may write into the database can neither change the calls of an erasure that is there nor copy it, and can
// make no node read a large row.
func TestForgedErasures(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := newNode(t, "a")
	f := a.opened(url, "", nil)
	for _, id := range []string{"ordered", "forged", "copied", "huge"} {
		must(t, a.store.Put(t.Context(), finished(id)))
	}
	key := passwordKey(t, f)
	insert := func(e erasure) {
		pgtest.Exec(t, url, `INSERT INTO flowbridge_erasures VALUES ($1, $2, $3, $4, NULL, ARRAY[$5])`,
			e.ID, e.Calls, e.Salt, e.Proof, f.own)
	}
	e := erasure{ID: uuid.New(), Calls: []string{"ordered"}, Salt: make([]byte, 32)}
	for len(e.Calls) < MaxErased {
		e.Calls = append(e.Calls, uuid.NewString())
	}
	e.waitFor(t, url, f, key, "now()")
	forged := e
	forged.ID, forged.Calls = uuid.New(), []string{"forged"}
	insert(forged)
	copied := erasure{ID: uuid.New(), Calls: []string{"copied"}, Salt: make([]byte, 32)}
	copied.Proof = copied.proof(key)
	copied.ID = uuid.New()
	insert(copied)
	huge := erasure{ID: uuid.New(), Calls: []string{"huge", strings.Repeat("x", 2_000_000)}, Salt: make([]byte, 32)}
	huge.waitFor(t, url, f, key, "now()")
	f.eraseOthers(t.Context())
	for id, want := range map[string]bool{"ordered": false, "forged": true, "copied": true, "huge": true} {
		if a.has(id) != want {
			t.Errorf("%s is there: %v", id, !want)
		}
	}
	left := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_erasures WHERE waits <> '{}'`)
	if left != 2 || a.log.Count("somebody else has written") != 1 || a.log.Count("connection") > 0 {
		t.Errorf("%d erasures are left: %v", left, a.log)
	}
}

// 50,000 forged rows delay no right one that is newer, and one that is older by the looks that they take.
func TestManyForgedErasures(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := newNode(t, "a")
	f := a.opened(url, "", nil)
	key := passwordKey(t, f)
	const forged = 50_000
	pgtest.Exec(t, url, `INSERT INTO flowbridge_erasures (id, calls, salt, proof, waits, at)
		SELECT gen_random_uuid(), ARRAY['newer'], $1, $1, ARRAY[$2], now() - interval '1 hour' FROM generate_series(1, $3)`,
		make([]byte, 32), f.own, forged)
	for at, looks := range map[string]int{"now()": 1, "now() - interval '1 day'": 2 + forged/maxRefused} {
		t.Run(at, func(t *testing.T) {
			must(t, a.store.Put(t.Context(), finished("ordered")))
			e := erasure{ID: uuid.New(), Calls: []string{"ordered"}, Salt: make([]byte, 32)}
			e.waitFor(t, url, f, key, at)
			for n := 0; a.has("ordered"); n++ {
				if n == looks {
					t.Fatalf("not erased after %d looks", n)
				}
				f.eraseOthers(t.Context())
			}
		})
	}
	if a.log.Count("somebody else has written") != 1 {
		t.Errorf("the log: %v", a.log)
	}
}

// A node with another password can't read a number, says so, and does not confirm.
func TestEraseOtherPassword(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := newNode(t, "a"), newNode(t, "b")
	a.opened(url, "", nil)
	pgtest.Exec(t, url, "CREATE ROLE other SUPERUSER LOGIN PASSWORD 'other'")
	b.opened(strings.Replace(url, "postgres:"+pgtest.Password, "other:other", 1), "", nil).eraseOthers(t.Context())
	_, _, err := a.fleet.Erase(t.Context(), Subject{Is: func(string) bool { return false }}, "123", nil, false)
	must(t, err)
	b.fleet.eraseOthers(t.Context())
	if waits, err := a.fleet.Waits(t.Context()); err != nil || !slices.Contains(waits, "b.db") || b.log.Count("another password") != 1 {
		t.Errorf("waits for %v, %v: %v", waits, err, b.log)
	}
}

// An error of the node's own disk is told as it is.
func TestErasureFailsHere(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := newNode(t, "a")
	f := a.opened(url, "", nil)
	f.EraseWith(func(context.Context, Subject) ([]string, error) { return nil, context.Canceled })
	e := erasure{ID: uuid.New(), Calls: []string{"x"}, Salt: make([]byte, 32)}
	e.waitFor(t, url, f, passwordKey(t, f), "now()")
	if f.eraseOthers(t.Context()); a.log.Count("canceled") != 1 || a.log.Count("database") > 0 {
		t.Errorf("the log: %v", a.log)
	}
}
