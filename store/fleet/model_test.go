package fleet

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Nodes, calls and a database at random, on one clock that the test moves: what the leases promise has to hold after
// every step.

// worldCap is the one cap of the model.
var worldCap = Cap{Name: "carrier"}

// world is nodes and their database.
type world struct {
	limit int
	now   time.Time
	nodes []*modelNode
	away  bool // the database
	rows  map[string]*modelRow
	noted []int // the number of nodes that each node has noted

	lapsedCalls bool // there were calls without a lease: a node that is cut off looks like one that has crashed
}

// modelRow is a member in the database, with its lease.
type modelRow struct {
	seen, expires   time.Time
	leased          bool
	permits, wanted int
}

// modelNode is a node, with an admission as simple as can be.
type modelNode struct {
	id     string
	up     bool
	cut    bool // from the database
	used   int
	asked  int
	p      *permits
	quotas Quotas

	// A renewal under way: begun, then committed, then known.
	x         *exchange
	committed bool
}

func newWorld(limit, nodes int) *world {
	w := &world{limit: limit, now: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), rows: map[string]*modelRow{}}
	for i := range nodes {
		w.nodes = append(w.nodes, &modelNode{id: fmt.Sprint("node", i)})
		w.noted = append(w.noted, 1)
	}
	return w
}

func (w *world) reaches(n *modelNode) bool { return n.up && !n.cut && !w.away }

// start starts a node, which waits for its first lease if it can have one.
func (w *world) start(i int) {
	n := w.nodes[i]
	n.up, n.used, n.asked, n.x, n.committed = true, 0, 0, nil, false
	n.p = newPermits(w.noted[i])
	n.quotas = Quotas{Nodes: n.p.nodes}
	if w.reaches(n) {
		delete(w.rows, n.id)
		w.renew(i)
	}
}

func (w *world) crash(i int) {
	n := w.nodes[i]
	n.up, n.used, n.x = false, 0, nil
}

// part is what the node may use; leased is false for its share.
func (n *modelNode) part(limit int, now time.Time) (part int, leased bool) {
	if got, ok := n.quotas.Parts[worldCap]; ok && now.Before(n.quotas.Until) {
		return min(got, limit), true
	}
	return max(1, limit/n.quotas.Nodes), false
}

func (w *world) call(i int) bool {
	n := w.nodes[i]
	if !n.up {
		return false
	}
	n.asked++
	part, leased := n.part(w.limit, w.now)
	if n.used >= part {
		return false
	}
	n.used++
	w.lapsedCalls = w.lapsedCalls || !leased
	return true
}

func (w *world) hangUp(i int) {
	if n := w.nodes[i]; n.used > 0 {
		n.used--
	}
}

// begin, commit and acknowledge are the steps of a renewal. It may end after each of them.
func (w *world) begin(i int) {
	n := w.nodes[i]
	if !n.up {
		return
	}
	n.x = n.p.begin([]Demand{{Cap: worldCap, Limit: w.limit, Used: n.used, Asked: n.asked}}, w.now)
	n.asked, n.committed = 0, false
}

func (w *world) commit(i int) {
	n := w.nodes[i]
	if n.x == nil || n.committed || !w.reaches(n) || w.now.Sub(n.x.began) > renewTimeout {
		return
	}
	row := w.rows[n.id]
	if row == nil {
		row = &modelRow{}
		w.rows[n.id] = row
	}
	row.seen, row.expires = w.now, w.now.Add(leaseFor)
	var others []lease
	there := 0
	for id, r := range w.rows {
		if r.expires.After(w.now) {
			there++
			if id != n.id && r.leased {
				others = append(others, lease{worldCap, id, r.permits, r.wanted})
			}
		}
	}
	o := n.x.decide(n.id, others, there, len(w.rows))[0]
	row.leased, row.permits, row.wanted = true, o.permits, o.wanted
	n.committed = true
}

func (w *world) acknowledge(i int) {
	n := w.nodes[i]
	if n.x == nil || !n.committed || w.now.Sub(n.x.began) > renewTimeout {
		return
	}
	n.quotas, _ = n.x.finish(w.now)
	w.noted[i] = n.quotas.Nodes
	n.x = nil
}

func (w *world) renew(i int) {
	w.begin(i)
	w.commit(i)
	w.acknowledge(i)
}

// pass lets time go by, in which every node that reaches the database renews as often as it should.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(min(renewEvery, end.Sub(w.now)))
		for i, n := range w.nodes {
			if w.reaches(n) {
				w.renew(i)
			}
		}
	}
}

// calls is how many there are on all nodes.
func (w *world) calls() (n int) {
	for _, node := range w.nodes {
		n += node.used
	}
	return n
}

func (w *world) check(t *rapid.T) {
	t.Helper()
	leased := 0
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		if part, ok := n.part(w.limit, w.now); ok {
			leased += part
		} else if n.used > 0 {
			w.lapsedCalls = true
		}
	}
	if leased > w.limit {
		t.Fatalf("%d permits are leased of %d", leased, w.limit)
	}
	if got := w.calls(); got > w.limit && !w.lapsedCalls {
		t.Fatalf("%d calls; the limit is %d", got, w.limit)
	}
}

// TestModel: the leases in force never exceed the limit, whatever crashes, is cut off or lost on the way. Nor do the
// calls, as long as each had a lease.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.IntRange(1, 40).Draw(t, "limit"), rapid.IntRange(1, 5).Draw(t, "nodes"))
		node := rapid.IntRange(0, len(w.nodes)-1)
		outages := rapid.Bool().Draw(t, "outages")
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			i := node.Draw(t, "node")
			switch act := rapid.IntRange(0, 15).Draw(t, "act"); act {
			case 0, 1, 2, 3:
				for range rapid.IntRange(1, 10).Draw(t, "calls") {
					w.call(i)
				}
			case 4, 5:
				w.hangUp(i)
			case 6:
				w.begin(i)
			case 7:
				w.commit(i)
			case 8:
				w.acknowledge(i)
			case 9:
				w.renew(i)
			case 10:
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			case 11, 12:
				w.pass(time.Duration(rapid.IntRange(1, 40).Draw(t, "s")) * time.Second)
			case 13:
				if w.nodes[i].up {
					w.crash(i)
				} else {
					w.start(i)
				}
			case 14:
				w.nodes[i].cut = outages && !w.nodes[i].cut
			case 15:
				w.away = outages && !w.away
			}
			if !w.nodes[i].up && rapid.IntRange(0, 3).Draw(t, "start") == 0 {
				w.start(i)
			}
			w.check(t)
		}
	})
}

// TestModelOutage: where the nodes keep to their shares while the database is away, its return brings no more calls
// than the limit either.
func TestModelOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 5).Draw(t, "nodes")
		w := newWorld(rapid.IntRange(nodes, 40).Draw(t, "limit"), nodes)
		for i := range w.nodes {
			w.start(i)
		}
		w.pass(leaseFor)
		share := w.limit / nodes
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, nodes-1).Draw(t, "node")
			switch rapid.IntRange(0, 5).Draw(t, "act") {
			case 0, 1, 2:
				for range rapid.IntRange(1, 10).Draw(t, "calls") {
					if _, leased := w.nodes[i].part(w.limit, w.now); w.nodes[i].used < share || leased && !w.away && !w.lapsedCalls {
						w.call(i)
					}
				}
			case 3:
				w.hangUp(i)
			case 4:
				w.pass(time.Duration(rapid.IntRange(1, 20).Draw(t, "s")) * time.Second)
			case 5:
				if !w.away { // those above their shares are no matter of this test
					for _, n := range w.nodes {
						n.used = min(n.used, share)
					}
				}
				w.away = !w.away
			}
			if got := w.calls(); got > w.limit {
				t.Fatalf("%d calls; the limit is %d", got, w.limit)
			}
		}
	})
}

// The permits go where the calls are, and come back.
func TestPermitsFollowCalls(t *testing.T) {
	w := newWorld(100, 5)
	for i := range w.nodes {
		w.start(i)
	}
	w.pass(time.Minute)
	for _, n := range w.nodes {
		if part, _ := n.part(100, w.now); part != 20 {
			t.Errorf("%s has %d permits of an idle fleet; want 20", n.id, part)
		}
	}
	fill := func(i int) int {
		for range 30 {
			for range 20 {
				w.call(i)
			}
			w.pass(renewEvery)
		}
		return w.nodes[i].used
	}
	if got := fill(0); got != 100 {
		t.Errorf("one node with all calls has %d; want 100", got)
	}
	for range 60 {
		w.hangUp(0)
	}
	if got := fill(1); got != 60 {
		t.Errorf("another node has %d calls; want 60", got)
	}
	w.crash(0)
	w.pass(2 * leaseFor)
	if got := fill(1); got != 100 {
		t.Errorf("after the crash the other node has %d calls; want 100", got)
	}
	w.nodes[1].cut = true
	w.pass(leaseFor)
	if part, leased := w.nodes[1].part(100, w.now); leased || part != 25 || w.nodes[1].used != 100 {
		t.Errorf("cut off: %d permits, leased %v, %d calls; want a share of 25, and every call", part, leased, w.nodes[1].used)
	}
}

// TestAllot: nothing is lost or invented, nobody gets less than an equal part against his will, and what is wanted is
// given before the rest.
func TestAllot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 50).Draw(t, "limit")
		var claims []claim
		wanted := 0
		for i := range rapid.IntRange(1, 6).Draw(t, "nodes") {
			c := claim{fmt.Sprint(i), rapid.IntRange(0, 50).Draw(t, "want")}
			claims = append(claims, c)
			wanted += c.want
		}
		got := allot(limit, claims)
		sum := 0
		for _, c := range claims {
			sum += got[c.node]
			if got[c.node] < min(c.want, limit/len(claims)) {
				t.Fatalf("%s wants %d of %d and gets %d", c.node, c.want, limit, got[c.node])
			}
			if wanted <= limit && got[c.node] < c.want {
				t.Fatalf("%s wants %d and gets %d, though there is enough", c.node, c.want, got[c.node])
			}
		}
		if sum != limit {
			t.Fatalf("%d given of %d", sum, limit)
		}
	})
}
