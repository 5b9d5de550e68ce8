package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"flowbridge/internal/pgtest"
	"flowbridge/internal/testlog"
	"flowbridge/store"
	"flowbridge/store/record"
)

// patience ends a test that hangs. It is not an expected duration.
const patience = 2 * time.Minute

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// node is a node of a test: a store and its membership of a fleet.
type node struct {
	t     *testing.T
	path  string
	store *store.Store
	fleet *Fleet
	log   *testlog.Log
}

// newNode opens a node's store.
func newNode(t *testing.T, name string) *node {
	t.Helper()
	n := &node{t: t, path: filepath.Join(t.TempDir(), name+".db"), log: &testlog.Log{}}
	n.open()
	t.Cleanup(func() { n.store.Close() })
	return n
}

func (n *node) open() {
	n.t.Helper()
	s, err := store.Open(n.t.Context(), n.path)
	must(n.t, err)
	if _, err := s.SetConsumers(n.t.Context(), Consumer); err != nil {
		n.t.Fatal(err)
	}
	n.store = s
}

// options returns the options for the node's membership of a fleet.
func (n *node) options(url string) Options {
	return Options{
		URL: url, Node: filepath.Base(n.path), Version: "test", Key: n.store.Key(), Outbox: n.store,
		Log: zerolog.New(n.log),
	}
}

// join makes the node a member of a fleet until the end of the test. The database has so much time to answer that a
// slow machine does not look like an outage.
func (n *node) join(url string, a Admission) { n.joinWithin(patience, url, a) }

// joinWithin is join with the time limit of heartbeats and small writes.
func (n *node) joinWithin(limit time.Duration, url string, a Admission) {
	n.t.Helper()
	f, err := Open(n.t.Context(), n.options(url))
	must(n.t, err)
	f.beatWithin = limit
	f.Join(a)
	n.t.Cleanup(func() { f.Close() })
	n.fleet = f
}

// stopped returns the URL of a new database whose clock stands still, so that no heartbeat is ever late, even on a slow
// machine. Only pass moves the clock.
func stopped(t *testing.T, pg *pgtest.Server) string {
	t.Helper()
	url := pg.Database() + "&search_path=public,pg_catalog" // the functions below hide PostgreSQL's own
	pgtest.Exec(t, url, `CREATE TABLE clock AS SELECT pg_catalog.now() AS at`)
	for _, name := range []string{"clock_timestamp", "now"} {
		pgtest.Exec(t, url, `CREATE FUNCTION public.`+name+`() RETURNS timestamptz LANGUAGE sql AS 'SELECT at FROM public.clock'`)
	}
	return url
}

// pass moves the clock of a stopped database.
func pass(t *testing.T, url string, by time.Duration) {
	t.Helper()
	pgtest.Exec(t, url, `UPDATE clock SET at = at + $1::interval`, by)
}

// put stores finished calls with these ids.
func (n *node) put(ids ...string) {
	n.t.Helper()
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			if err := n.store.Put(n.t.Context(), finished(id)); err != nil {
				n.t.Error(err)
			}
		})
	}
	all.Wait()
}

// waiting returns the number of items in the outbox.
func (n *node) waiting() int64 {
	n.t.Helper()
	sizes, err := n.store.OutboxSize(n.t.Context())
	must(n.t, err)
	return sizes[Consumer]
}

var began = time.Date(2026, 11, 21, 2, 13, 0, 123e6, time.UTC)

// finished returns the record of a finished call.
func finished(id string) record.Record {
	at := func(s int) record.Time { return record.TimeOf(began.Add(time.Duration(s) * time.Second)) }
	return record.Record{
		ID: id, Node: "n", Trunk: "carrier", Route: "r", Target: "agent", Direction: "inbound", From: "+15075550100", To: "+15075785607",
		SIPCallID: "sip-" + id, TargetSIPCallID: "b-" + id, StartedAt: at(0), AnsweredAt: at(2), EndedAt: at(62), SetupMS: 2000, DurationMS: 60000,
		Disposition: record.DispositionAnswered, SIPStatus: 200, Q850: 16, Cause: "caller_hangup", EndedBy: "caller", Codec: "PCMU",
		Attempts: []record.Attempt{{Target: "agent", SIPStatus: 200, MS: 2000}},
	}
}

func ids(prefix string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s-%05d", prefix, i))
	}
	return all
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func compare(want, got record.Record) string { return cmp.Diff(want, got) }

func count(t *testing.T, url string) int {
	t.Helper()
	return pgtest.One[int](t, url, "SELECT count(*) FROM flowbridge_calls")
}

func compareAll(want, got []record.Record) string { return cmp.Diff(want, got) }

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
