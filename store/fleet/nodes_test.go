package fleet

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
)

// shares is an admission that stores its place.
type shares struct {
	mu   sync.Mutex
	p    Place
	idle bool
	// least is the smallest cap so far.
	least int
}

func (s *shares) Busy() bool { return !s.idle }

func (s *shares) Share(place, nodes int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p = Place{place, nodes}
	return s.least
}

func (s *shares) at() Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.p
}

func (s *shares) is(place, nodes int) bool { return s.at() == Place{place, nodes} }

// die ends a node like a kill: it announces nothing.
func (n *node) die() {
	n.t.Helper()
	n.fleet.stop()
	n.fleet.running.Wait()
	n.fleet.pool.Close()
	n.fleet.Reader.Close()
}

// unjoined prepares a node whose heartbeats are made by the test.
func (n *node) unjoined(url string, a Admission) {
	n.t.Helper()
	f, err := Open(n.t.Context(), n.options(url))
	must(n.t, err)
	f.admission, n.fleet, f.beatWithin = a, f, patience
	f.take(f.census.place)
	n.t.Cleanup(func() { f.Close() })
}

// beat makes heartbeats until the database has answered one.
func (n *node) beat() {
	n.t.Helper()
	eventually(n.t, "a heartbeat", func() bool {
		n.fleet.beatOnce(n.t.Context())
		return n.fleet.Status().BeatError == nil
	})
}

// The nodes have places in the order of their names. A node that leaves frees its place at once, and causes no warning.
func TestPlaces(t *testing.T) {
	t.Parallel()
	url := stopped(t, pgtest.Shared(t))
	var all [3]shares
	b, c, a := newNode(t, "b"), newNode(t, "c"), newNode(t, "a")
	b.join(url, &all[1])
	eventually(t, "the only one", func() bool { return all[1].is(0, 1) })
	c.join(url, &all[2])
	a.join(url, &all[0])
	eventually(t, "three places", func() bool { return all[0].is(0, 3) && all[1].is(1, 3) && all[2].is(2, 3) })
	if members, err := a.fleet.Members(t.Context()); err != nil || names(members) != "a.db b.db c.db" || members[0].Version != "test" {
		t.Errorf("%+v, %v", members, err)
	}
	b.fleet.Close()
	eventually(t, "two places", func() bool { return all[0].is(0, 2) && all[2].is(1, 2) })
	if got := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_nodes`); got != 2 {
		t.Errorf("%d nodes; want 2", got)
	}
	if s := a.fleet.Status(); s.Nodes != 2 || s.Missing != 0 {
		t.Errorf("status %+v", s)
	}
	if a.log.String()+b.log.String()+c.log.String() != "" {
		t.Errorf("log:\n%s%s%s", a.log, b.log, c.log)
	}
}

// Each of the other nodes reports a killed node once, when the database has not seen it for 6 s. They then share its
// part of the caps. It is back with its next heartbeat.
func TestVanished(t *testing.T) {
	t.Parallel()
	url := stopped(t, pgtest.Shared(t))
	var one, two shares
	a, b := newNode(t, "a"), newNode(t, "b")
	a.join(url, &one)
	b.unjoined(url, &two)
	b.beat()
	eventually(t, "two places", func() bool { return one.is(0, 2) && two.is(1, 2) })
	for range int(liveFor / beatEvery) {
		pass(t, url, beatEvery)
		a.beat()
	}
	if !one.is(0, 2) {
		t.Errorf("%+v after %v; want 2 nodes", one.at(), liveFor)
	}
	pass(t, url, time.Millisecond)
	eventually(t, "its part is the other's", func() bool { return one.is(0, 1) })
	if s := a.fleet.Status(); s.Nodes != 1 || s.Missing != 1 {
		t.Errorf("status %+v", s)
	}
	if a.log.Count("has vanished") != 1 || a.log.Count(`"node":"b.db"`) != 1 {
		t.Errorf("log:\n%s", a.log)
	}
	b.beat()
	eventually(t, "two places again", func() bool { return one.is(0, 2) && two.is(1, 2) })
	eventually(t, "said so", func() bool { return a.log.Count("is back") > 0 && a.fleet.Status().Missing == 0 })
}

// Rows of the database can't starve a node: a heartbeat in the future, or from an absurd clock, is ignored and removed.
// A node that was removed from the list adds itself again.
func TestImplausibleRows(t *testing.T) {
	t.Parallel()
	url := stopped(t, pgtest.Shared(t))
	var one shares
	a := newNode(t, "a")
	a.unjoined(url, &one)
	a.beat()
	for i, at := range []string{"infinity", "-infinity", "9999-01-01", "0001-01-01 BC", "now() + interval '7 seconds'", "now() - interval '25 hours'"} {
		if !strings.HasPrefix(at, "now") {
			at = "'" + at + "'"
		}
		pgtest.Exec(t, url, `INSERT INTO flowbridge_nodes (id, process, name, version, seen_at) VALUES ($1, '', $1, '', `+at+`)`, string(rune('p'+i)))
		a.beat()
		if !one.is(0, 1) {
			t.Errorf("%s: %+v", at, one.at())
		}
	}
	if got := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_nodes`); got != 1 {
		t.Errorf("%d rows; want 1", got)
	}
	pgtest.Exec(t, url, `UPDATE flowbridge_nodes SET seen_at = 'infinity'`) // its own row
	a.beat()
	pgtest.Exec(t, url, `DELETE FROM flowbridge_nodes`)
	a.beat()
	if got := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_nodes WHERE seen_at <= now()`); got != 1 || !one.is(0, 1) {
		t.Errorf("%d rows, %+v", got, one.at())
	}
	if a.log.String() != "" {
		t.Error(a.log)
	}
}

// A database clock that jumps forward by an hour looks like an outage of an hour. No node vanishes, because the others
// could not make heartbeats either. The same holds for a clock that jumps back.
func TestDatabaseClock(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"-1 hour", "1 hour"} {
		url := pgtest.Shared(t).Database()
		var one, two shares
		a, b := newNode(t, "a"), newNode(t, "b")
		a.unjoined(url, &one)
		b.unjoined(url, &two)
		meet := func() {
			eventually(t, "both are there", func() bool {
				a.beat()
				b.beat()
				return one.is(0, 2) && two.is(1, 2)
			})
		}
		meet()
		said := a.log.String()
		pgtest.Exec(t, url, `UPDATE flowbridge_nodes SET seen_at = seen_at + $1::interval`, by)
		a.beat()
		if !one.is(0, 2) || a.log.String() != said {
			t.Errorf("%s: %+v, log:\n%s", by, one.at(), a.log)
		}
		meet()
	}
}

// A node without the database keeps its last place, even after a restart.
func TestAway(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	url := stopped(t, pg)
	var one, two, again shares
	a, b := newNode(t, "a"), newNode(t, "b")
	a.join(url, &one)
	b.join(url, &two)
	eventually(t, "two places", func() bool { return one.is(0, 2) && two.is(1, 2) })
	pg.Stop()
	eventually(t, "noticed", func() bool { return a.fleet.Status().BeatError != nil && b.fleet.Status().BeatError != nil })
	if !one.is(0, 2) || !two.is(1, 2) {
		t.Errorf("without the database: %+v, %+v", one.at(), two.at())
	}
	b.fleet.Close()
	b.join(url, &again)
	if !again.is(1, 2) {
		t.Errorf("after the restart: %+v", again.at())
	}
	pg.Run()
	eventually(t, "reached again", func() bool {
		return a.fleet.Status().BeatError == nil && b.fleet.Status().BeatError == nil && one.is(0, 2) && again.is(1, 2)
	})
	if a.log.Count("goes on with its part") != 1 || a.log.Count("reached again") != 1 {
		t.Errorf("log:\n%s", a.log)
	}
}

// Two nodes with one name are noticed, and so is a copy of a node's database. Each has its own place.
func TestTwins(t *testing.T) {
	t.Parallel()
	url := stopped(t, pgtest.Shared(t))
	a, b := newNode(t, "same"), newNode(t, "same")
	var one, two, three shares
	a.join(url, &one)
	b.join(url, &two)
	eventually(t, "noticed", func() bool {
		return a.log.Count("has this node's name") > 0 && b.log.Count("has this node's name") > 0
	})

	c := newNode(t, "copy")
	must(t, c.store.Close())
	copyStore(t, a.path, c.path)
	c.open()
	c.join(url, &three)
	eventually(t, "noticed", func() bool {
		return a.log.Count("copy of this node's database")+c.log.Count("copy of this node's database") > 0
	})
	eventually(t, "three places", func() bool {
		places := 0
		for _, s := range []*shares{&one, &two, &three} {
			for i := range 3 {
				if s.is(i, 3) {
					places |= 1 << i
				}
			}
		}
		return places == 7
	})
}

// copyStore copies a database file that is in use.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		src, err := os.Open(filepath.Clean(from + suffix))
		must(t, err)
		dst, err := os.Create(to + suffix)
		must(t, err)
		_, err = io.Copy(dst, src)
		if src.Close(); err != nil || dst.Close() != nil {
			t.Fatal(err)
		}
	}
}

// Check succeeds on a working database. The error of a faulty one does not contain the password.
func TestCheck(t *testing.T) {
	t.Parallel()
	pg := pgtest.Shared(t)
	url := pg.Database()
	check := func(url, want string) {
		t.Helper()
		got, err := Check(t.Context(), url)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || strings.Contains(got, pgtest.Password) {
			t.Errorf("got %q; want %q", got, want)
		}
	}
	known := fmt.Sprint("schema ", newestSchema())
	check(url, fmt.Sprint("schema 0: the first node that starts makes it ", newestSchema()))
	newNode(t, "one").join(url, nil)
	eventually(t, "the node's heartbeat is not late", func() bool {
		got, err := Check(t.Context(), url)
		return err == nil && strings.Contains(got, known+", 1 nodes there")
	})
	check(pg.SocketURL(nameOf(url)), known+", ")
	check(strings.Replace(url, pgtest.Password, "wrong"+pgtest.Password, 1), "check user and password")
	check(strings.Replace(url, pg.Addr(), "127.0.0.1:1", 1), "connection refused")
	check(strings.Replace(url, nameOf(url), "nothing", 1), "create the database")
	check("postgres://u:"+pgtest.Password+"@127.0.0.1/x?sslmode=what", "is not one of a PostgreSQL database")
	check(strings.Replace(url, "sslmode=disable", "sslmode=require", 1), "TLS")
	pgtest.Exec(t, url, `INSERT INTO flowbridge_version (version_id, is_applied) VALUES (99, true)`)
	check(url, fmt.Sprint("has schema 99, and this version knows ", newestSchema()))
}

// A forged row gets no token, even with a name, an address and the proof of another row. Nodes that share a secret
// prove their addresses to each other, whatever their seats are. The addresses of other nodes must be listed.
func TestAddressesAreProven(t *testing.T) {
	t.Parallel()
	url := stopped(t, pgtest.Shared(t))
	listed := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.9:8080")}
	nodes := map[string]*Fleet{}
	for _, o := range []struct{ name, seat, secret string }{
		{"a", "east", "0123456789abcdef0123456789abcdef"},
		{"b", "west", "0123456789abcdef0123456789abcdef"},
		{"c", "west", "another secret of 32 characters."},
		{"d", "", ""},
	} {
		n := newNode(t, o.name)
		options := n.options(url)
		options.Node, options.API = o.name, "http://192.0.2."+o.name+":8080"
		if o.seat != "" {
			options.Seat = &SeatOptions{Name: o.seat, Secret: o.secret}
		}
		f, err := Open(t.Context(), options)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		nodes[o.name] = f
		f.beatWithin = patience
		f.beatOnce(t.Context())
	}
	find := func(asks, name, api string, proven bool) {
		t.Helper()
		m, ok, err := nodes[asks].Find(t.Context(), name, listed)
		if m.API != api || ok != proven || err != nil {
			t.Errorf("%s finds %s at %q, %t, %v; want %q, %t", asks, name, m.API, ok, err, api, proven)
		}
	}
	find("a", "b", "http://192.0.2.b:8080", true)
	find("a", "c", "http://192.0.2.c:8080", false)
	find("d", "a", "http://192.0.2.a:8080", false)
	find("a", "e", "", false)
	for name, set := range map[string]string{
		"b": `api = 'http://203.0.113.9:8080'`, "c": `api = 'http://192.0.2.9:8080'`,
		"d": `process = (SELECT process FROM flowbridge_nodes WHERE name = 'b')`,
	} {
		pgtest.Exec(t, url, `UPDATE flowbridge_nodes SET `+set+` WHERE name = $1`, name)
	}
	find("a", "b", "http://203.0.113.9:8080", false)
	find("a", "c", "http://192.0.2.9:8080", true)
	find("a", "d", "http://192.0.2.d:8080", false)
	nodes["b"].beatOnce(t.Context()) // the node restores its own row
	find("a", "b", "http://192.0.2.b:8080", true)
}

// Rows of nodes without calls take no part of a cap from nodes with calls. Such rows are forged or belong to idle
// nodes. The owner of a seat always counts. An idle node has the part that it would have if all idle nodes had calls.
func TestRowsWithoutCalls(t *testing.T) {
	t.Parallel()
	url := stopped(t, pgtest.Shared(t))
	var one, two shares
	a, b := newNode(t, "a"), newNode(t, "b")
	a.unjoined(url, &one)
	b.unjoined(url, &two)
	a.beat()
	meet := func(first, second Place) {
		t.Helper()
		a.beat()
		b.beat()
		a.beat()
		if one.at() != first || two.at() != second {
			t.Errorf("%+v, %+v; want %+v, %+v", one.at(), two.at(), first, second)
		}
	}
	pgtest.Exec(t, url, `INSERT INTO flowbridge_nodes (id, process, name, version, seen_at)
		SELECT 'x' || i, '', '0' || i, '', clock_timestamp() + interval '5 seconds' FROM generate_series(1, 1000) AS i`)
	meet(Place{0, 2}, Place{1, 2})
	two.idle = true
	meet(Place{0, 1}, Place{1, 2})
	one.idle = true
	meet(Place{0, 2}, Place{1, 2})
	pgtest.Exec(t, url, `INSERT INTO flowbridge_seats (seat, owner, node, epoch, since, renewed_at) SELECT 'east', id, name, 1, now(), now()
		FROM flowbridge_nodes WHERE name = 'b.db'`)
	meet(Place{0, 2}, Place{0, 1})
	one.idle, two.least = false, 1
	meet(Place{0, 2}, Place{1, 2})
	if n := b.log.Count(`"places":1,"nodes":2,"message":"a cap has fewer`); n != 1 {
		t.Errorf("told %d times that one place is for two nodes", n)
	}
}
