package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"
)

// memberAt returns a member with a name and the age of its last heartbeat.
func memberAt(name string, age time.Duration) Member {
	return Member{ID: "id-" + name, Name: name, Age: age}
}

// names returns the members' names.
func names(all []Member) string {
	var list []string
	for _, m := range all {
		list = append(list, m.Name)
	}
	return strings.Join(list, " ")
}

// Places follow the order of names, and of ids among equal names.
func TestCensusOrder(t *testing.T) {
	all := []Member{memberAt("c", 0), memberAt("a", liveFor), {ID: "z", Name: "b"}, {ID: "y", Name: "b"}, memberAt("B", liveFor+1)}
	for id, want := range map[string]Place{"id-a": {0, 4}, "y": {1, 4}, "z": {2, 4}, "id-c": {3, 4}} {
		var c census
		if c.take(id, all, true, time.Time{}); c.place != want {
			t.Errorf("%s: %+v; want %+v", id, c.place, want)
		}
	}
}

// Each change is reported once: a node vanishes, stays away, is replaced by one with the same name, comes back, leaves.
func TestCensusChanges(t *testing.T) {
	c, now := census{}, time.Unix(0, 0)
	for i, step := range []struct {
		b, other       Member
		vanished, back string
		missing        int
		nodes          int
	}{
		{b: memberAt("b", 0), nodes: 2},
		{b: memberAt("b", liveFor), nodes: 2},
		{b: memberAt("b", liveFor+1), vanished: "b", missing: 1, nodes: 1},
		{b: memberAt("b", time.Hour), missing: 1, nodes: 1},
		{b: memberAt("b", 0), back: "b", nodes: 2},
		{b: memberAt("b", 2*liveFor), vanished: "b", missing: 1, nodes: 1},
		{b: memberAt("b", 3*liveFor), other: Member{ID: "new", Name: "b"}, nodes: 2},
		{other: Member{ID: "new", Name: "b"}, nodes: 2},
		{nodes: 1},
	} {
		members := []Member{memberAt("a", 0)}
		for _, m := range []Member{step.b, step.other} {
			if m.ID != "" {
				members = append(members, m)
			}
		}
		vanished, back := c.take("id-a", members, true, now.Add(time.Duration(i)*beatEvery))
		if names(vanished) != step.vanished || names(back) != step.back || len(c.missing) != step.missing || c.place.Nodes != step.nodes {
			t.Errorf("step %d: vanished %q, back %q, %d missing, %+v; want %+v", i, names(vanished), names(back), len(c.missing), c.place, step)
		}
	}
}

// A database with many rows that vanish does not fill the log.
func TestRowsLogLittle(t *testing.T) {
	var log strings.Builder
	f := &Fleet{rows: ofRows(zerolog.New(&log)), member: member{id: "id-a", standby: true}}
	for _, age := range []time.Duration{0, 2 * liveFor, 0} {
		members := []Member{memberAt("a", 0)}
		for i := range 1000 {
			members = append(members, memberAt(fmt.Sprint("forged", i), age))
		}
		f.count(t.Context(), members, true)
	}
	if gone, back := strings.Count(log.String(), "has vanished"), strings.Count(log.String(), "is back"); gone != 20 || back != 20 {
		t.Errorf("%d nodes have vanished and %d are back in the log; want 20", gone, back)
	}
}

// After an outage of the database, a standby node that has no heartbeat yet is late, but has not vanished.
func TestCensusAfterAnOutage(t *testing.T) {
	c, now := census{}, time.Unix(0, 0)
	standby := func(age time.Duration) []Member {
		return []Member{memberAt("a", 0), {ID: "id-b", Name: "b", Standby: true, Age: age}}
	}
	c.take("id-a", standby(0), true, now)
	for _, step := range []struct {
		after, age time.Duration
		steady     bool
		vanished   string
	}{
		{10 * time.Second, 10 * time.Second, false, ""},
		{12 * time.Second, 12 * time.Second, true, ""},
		{17 * time.Second, 17 * time.Second, true, "b"},
	} {
		if vanished, _ := c.take("id-a", standby(step.age), step.steady, now.Add(step.after)); names(vanished) != step.vanished {
			t.Errorf("after %v: vanished %q; want %q", step.after, names(vanished), step.vanished)
		}
	}
}

// world models nodes and their database. Each has its own clock, and the test moves time.
type world struct {
	now   time.Duration // true time
	clock time.Duration // offset of the database's clock
	away  bool          // whether the database is away
	rows  map[string]time.Duration
	nodes []*modelNode
}

type modelNode struct {
	id       string
	up, cut  bool
	clock    time.Duration // offset of its clock
	next     time.Duration // time of its next heartbeat
	census   census
	noted    Place
	vanished int // number of vanished nodes that it has reported
}

func newWorld(nodes int) *world {
	w := &world{rows: map[string]time.Duration{}}
	for i := range nodes {
		w.nodes = append(w.nodes, &modelNode{id: fmt.Sprint("node", i), noted: Place{0, 1}})
	}
	return w
}

// start starts a node, which reads the list of nodes at once.
func (w *world) start(n *modelNode) {
	n.up, n.census, n.next = true, census{place: n.noted}, w.now
	w.beat(n)
}

// beat does a heartbeat's work in the database and after it.
func (w *world) beat(n *modelNode) {
	n.next = w.now + beatEvery
	if w.away || n.cut {
		return
	}
	clock := w.now + w.clock
	for id, at := range w.rows {
		if clock-at > 24*time.Hour || at-clock > liveFor {
			delete(w.rows, id)
		}
	}
	last, there := w.rows[n.id]
	w.rows[n.id] = clock
	var members []Member
	for id, at := range w.rows {
		members = append(members, Member{ID: id, Name: id, Age: clock - at})
	}
	steady := there && clock >= last && clock-last <= steadyFor
	vanished, _ := n.census.take(n.id, members, steady, time.Unix(0, 0).Add(w.now+n.clock))
	n.noted = n.census.place
	n.vanished += len(vanished)
}

// pass lets time pass, in which the running nodes make their heartbeats.
func (w *world) pass(d time.Duration) {
	for end := w.now + d; w.now < end; w.now += 100 * time.Millisecond {
		for _, n := range w.nodes {
			if n.up && w.now >= n.next {
				w.beat(n)
			}
		}
	}
}

// parts returns the sum of the running nodes' parts of a cap, as each of them calculates it.
func (w *world) parts(limit int) (sum int) {
	for _, n := range w.nodes {
		if p := n.census.place; n.up {
			sum += limit / p.Nodes
			if p.Index < limit%p.Nodes {
				sum++
			}
		}
	}
	return sum
}

// After a node's death, the others get its part within 6 s and a heartbeat, at any moment and with any offsets of the
// nodes' clocks. Until then, no node has more than before.
func TestDeathFreesItsPart(t *testing.T) {
	for late := time.Duration(0); late < beatEvery; late += 100 * time.Millisecond {
		w := newWorld(3)
		for i, n := range w.nodes {
			n.clock = time.Duration(i-1) * 5 * time.Hour
			w.start(n)
			w.pass(700 * time.Millisecond)
		}
		w.pass(4*beatEvery + late)
		if got := w.parts(100); got != 100 {
			t.Fatalf("%d of 100", got)
		}
		w.nodes[1].up = false
		after := w.now
		for w.parts(100) != 100 && w.now-after < time.Minute {
			if got := w.parts(100); got != 67 && got != 67+17 && got != 67+16 { // neither or one of the two knows
				t.Fatalf("%d of 100", got)
			}
			w.pass(100 * time.Millisecond)
		}
		if w.now-after > liveFor+beatEvery {
			t.Errorf("its part was the others' after %v", w.now-after)
		}
		if w.nodes[0].vanished != 1 || w.nodes[2].vanished != 1 {
			t.Errorf("told %d and %d times", w.nodes[0].vanished, w.nodes[2].vanished)
		}
	}
}

// An outage of the database or a jump of its clock makes no living node vanish. The parts always add up to the cap.
func TestOutageMakesNobodyVanish(t *testing.T) {
	for outage := time.Duration(0); outage < 20*time.Second; outage += 500 * time.Millisecond {
		for _, jump := range []time.Duration{0, time.Second, 4 * time.Second, time.Hour, -time.Second, -4 * time.Second, -time.Hour} {
			w := newWorld(4)
			for _, n := range w.nodes {
				w.start(n)
				w.pass(500 * time.Millisecond)
			}
			w.pass(4 * beatEvery)
			w.away = true
			w.pass(outage)
			w.away = false
			w.clock += jump
			for range 200 {
				w.pass(100 * time.Millisecond)
				if got := w.parts(10); got != 10 {
					t.Fatalf("outage of %v, jump of %v: %d of 10", outage, jump, got)
				}
			}
			for _, n := range w.nodes {
				if n.vanished != 0 {
					t.Errorf("outage of %v, jump of %v: %s has told of %d nodes", outage, jump, n.id, n.vanished)
				}
			}
		}
	}
}

// Nodes that are cut off from the database keep their parts, while the others share the whole cap. Once they are back,
// all nodes share it.
func TestCutOff(t *testing.T) {
	for k := 1; k < 5; k++ {
		w := newWorld(5)
		for _, n := range w.nodes {
			w.start(n)
		}
		w.pass(4 * beatEvery)
		for _, n := range w.nodes[:k] {
			n.cut = true
		}
		for range 600 {
			w.pass(100 * time.Millisecond)
			if got := w.parts(100); got < 100 || got > 100+20*k {
				t.Fatalf("%d cut off: %d of 100", k, got)
			}
		}
		if got := w.parts(100); got != 100+20*k {
			t.Errorf("%d cut off: %d of 100", k, got)
		}
		for _, n := range w.nodes {
			n.cut = false
		}
		w.pass(liveFor + 2*beatEvery)
		if got := w.parts(100); got != 100 {
			t.Errorf("%d back: %d of 100", k, got)
		}
	}
}

// Whatever happens, each running node has a place among the possible nodes, so none is starved. Once nothing changes
// any more, the nodes' parts add up to exactly the cap.
func TestCensusModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.IntRange(1, 5).Draw(t, "nodes"))
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		for _, n := range w.nodes {
			n.clock = time.Duration(rapid.IntRange(-48, 48).Draw(t, "clock")) * time.Hour
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n := w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")]
			switch rapid.IntRange(0, 6).Draw(t, "act") {
			case 0:
				w.start(n)
			case 1:
				n.up = false
			case 2:
				if n.up = false; !w.away && !n.cut {
					delete(w.rows, n.id) // it leaves
				}
			case 3:
				n.cut = !n.cut
			case 4:
				w.away = !w.away
			case 5:
				w.clock += time.Duration(rapid.IntRange(-7200, 7200).Draw(t, "jump")) * time.Second
			case 6:
				w.pass(time.Duration(rapid.IntRange(1, 200).Draw(t, "time")) * 100 * time.Millisecond)
			}
			for _, n := range w.nodes {
				if p := n.census.place; n.up && (p.Nodes < 1 || p.Nodes > len(w.nodes) || p.Index < 0 || p.Index >= p.Nodes) {
					t.Fatalf("%s has place %+v", n.id, p)
				}
			}
		}
		w.away = false
		up := 0
		for _, n := range w.nodes {
			if n.cut = false; n.up {
				up++
			}
		}
		// At another node's first heartbeat, a dead node's heartbeat is at most liveFor in the future; otherwise it is
		// removed there. It counts until it is older than liveFor, and the next heartbeat notices that. pass stops just
		// before its last moment.
		w.pass(2*liveFor + 2*beatEvery + 100*time.Millisecond)
		if got := w.parts(limit); up > 0 && got != limit {
			t.Fatalf("%d nodes have %d of %d", up, got, limit)
		}
	})
}
