package fleet

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
)

// calls is an admission that takes calls as long as it may.
type calls struct {
	caps []Demand

	mu     sync.Mutex
	used   map[Cap]int
	asked  map[Cap]int
	quotas Quotas
	short  chan struct{}
}

func newCalls(caps ...Demand) *calls {
	return &calls{caps: caps, used: map[Cap]int{}, asked: map[Cap]int{}, short: make(chan struct{}, 1)}
}

func (c *calls) Demands() []Demand {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Demand
	for _, d := range c.caps {
		d.Used, d.Asked = c.used[d.Cap], c.asked[d.Cap]
		c.asked[d.Cap] = 0
		all = append(all, d)
	}
	return all
}

func (c *calls) Allot(q Quotas) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quotas = q
}

func (c *calls) Short() <-chan struct{} { return c.short }

// take takes as many calls of the first cap as there is room for, up to n, and returns how many it has.
func (c *calls) take(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.caps[0]
	part, ok := c.quotas.Parts[d.Cap]
	if !ok || !time.Now().Before(c.quotas.Until) {
		part = max(1, d.Limit/max(1, c.quotas.Nodes))
	}
	c.asked[d.Cap] += n
	for range n {
		if c.used[d.Cap] >= part {
			select {
			case c.short <- struct{}{}:
			default:
			}
			break
		}
		c.used[d.Cap]++
	}
	return c.used[d.Cap]
}

// release ends all calls.
func (c *calls) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = map[Cap]int{}
}

var tenCalls = Demand{Cap: Cap{Name: "carrier"}, Limit: 10}

// The permits in the database never exceed the limit; the last one free is found, and those of a node that leaves.
func TestLeases(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	one, two := newCalls(tenCalls), newCalls(tenCalls)
	a, b := newNode(t, "a"), newNode(t, "b")
	a.join(url, one)
	b.join(url, two)
	sum := func() int {
		return pgtest.One[int](t, url, `SELECT coalesce(sum(permits), 0) FROM flowbridge_leases WHERE expires_at > clock_timestamp()`)
	}
	eventually(t, "all permits are used", func() bool {
		got := one.take(1) + two.take(1)
		if got > 10 || sum() > 10 {
			t.Fatalf("%d calls, %d permits of 10", got, sum())
		}
		return got == 10
	})
	two.release()
	a.fleet.Close()
	eventually(t, "the other has them all", func() bool { return two.take(1) == 10 })
	if got := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_nodes`); got != 1 {
		t.Errorf("%d nodes; want 1", got)
	}
	if s := b.fleet.Status(); s.Nodes != 1 || !s.Leased {
		t.Errorf("status %+v", s)
	}
	if a.log.String()+b.log.String() != "" {
		t.Errorf("log:\n%s%s", a.log, b.log)
	}
}

// A node whose database is away has its share of the limit, by the number of nodes that there were, also after its
// restart.
func TestLeasesAway(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	url := pg.Database()
	one, two := newCalls(tenCalls), newCalls(tenCalls)
	a, b := newNode(t, "a"), newNode(t, "b")
	a.join(url, one)
	b.join(url, two)
	eventually(t, "both know of each other", func() bool { return a.fleet.Status().Nodes == 2 && b.fleet.Status().Nodes == 2 })
	pg.Kill()
	eventually(t, "the lease has run out", func() bool { return !a.fleet.Status().Leased })
	if got := one.take(100); got != 5 {
		t.Errorf("%d calls within the share; want 5", got)
	}
	a.fleet.Close()
	again := newCalls(tenCalls)
	a.join(url, again)
	if got := again.take(100); got != 5 {
		t.Errorf("%d calls after the restart; want 5", got)
	}
	pg.Run()
	eventually(t, "leased again", func() bool { return a.fleet.Status().Leased && b.fleet.Status().Leased })
	if a.log.count("reached again") != 1 {
		t.Errorf("log:\n%s", a.log)
	}
}

// Two nodes of one name are noticed, and so is a copy of a node's database. The limit holds for both.
func TestTwins(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := newNode(t, "same"), newNode(t, "same")
	one, two := newCalls(tenCalls), newCalls(tenCalls)
	a.join(url, one)
	b.join(url, two)
	eventually(t, "noticed", func() bool {
		return a.log.count("has this node's name") > 0 && b.log.count("has this node's name") > 0
	})

	c := newNode(t, "copy")
	must(t, c.store.Close())
	copyStore(t, a.path, c.path)
	c.open()
	three := newCalls(tenCalls)
	c.join(url, three)
	eventually(t, "noticed", func() bool {
		return a.log.count("copy of this node's database")+c.log.count("copy of this node's database") > 0
	})
	eventually(t, "three nodes", func() bool { return a.fleet.Status().Nodes == 3 && c.fleet.Status().Nodes == 3 })
	eventually(t, "all permits are used", func() bool {
		got := one.take(1) + two.take(1) + three.take(1)
		if got > 10 {
			t.Fatalf("%d calls of 10", got)
		}
		return got == 10
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

// A database that is there answers Check, and what is wrong with one is said without the password.
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
	check(url, "schema 0: the first node that starts makes it 2")
	newNode(t, "one").join(url, nil)
	check(url, "schema 2, 1 nodes there")
	check(pg.SocketURL(nameOf(url)), "schema 2, 1 nodes there")
	check(strings.Replace(url, pgtest.Password, "wrong"+pgtest.Password, 1), "check user and password")
	check(strings.Replace(url, pg.Addr(), "127.0.0.1:1", 1), "connection refused")
	check(strings.Replace(url, nameOf(url), "nothing", 1), "create the database")
	check("postgres://u:"+pgtest.Password+"@127.0.0.1/x?sslmode=what", "is not one of a PostgreSQL database")
	check(strings.Replace(url, "sslmode=disable", "sslmode=require", 1), "TLS")
	pgtest.Exec(t, url, `INSERT INTO flowbridge_version (version_id, is_applied) VALUES (7, true)`)
	check(url, "has schema 7, and this version knows 2")
}
