package peers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/circuit"
	"flowbridge/config"
)

// queueing is an Admission that records when a waiting call is told to try for its place.
type queueing struct {
	*Admission
	t *testing.T
	n int

	mu     sync.Mutex // guards called, because several goroutines append to it
	called []string
}

// tells returns the function that records this id when the waiting call is told.
func (a *queueing) tells(id string) func() {
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.called = append(a.called, id)
	}
}

func newQueueing(t *testing.T, targets string) *queueing {
	t.Helper()
	return &queueing{Admission: NewAdmission(queueConfig(t, targets), nil), t: t}
}

// queueConfig returns a configuration with these targets and a trunk that can be called.
func queueConfig(t *testing.T, targets string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(`
trunks: [{name: carrier, sources: [192.0.2.1], uri: "sip:{{.To.Number}}@192.0.2.1", max_calls: 3, limits: {per_destination_calls: 1}}]
targets: [`+targets+`]
routes: [{trunk: carrier, targets: [a], queue: {limit: 5}}]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (a *queueing) targets(names ...string) (all []*Target) {
	p := a.Peers.Load()
	for _, name := range names {
		all = append(all, p.CalleeNamed(name))
	}
	return all
}

// arrives makes a call enter the queue and wait for these targets.
func (a *queueing) arrives(to string, names ...string) (*Waiter, Limit) {
	a.t.Helper()
	p := a.Peers.Load()
	a.n++
	w := &Waiter{ID: fmt.Sprintf("%03d", a.n), Trunk: p.Trunks[0], Mark: p.Marks[0], Parties: Parties{To: to}}
	w.Called = a.tells(w.ID)
	a.setups.add(&w.Trunk.setups, 1)
	return w, a.Wait(w, a.targets(names...), 5, false)
}

// takes occupies n places at a target without waiting, or returns the limit that prevents it.
func (a *queueing) takes(name string, n int) (why Limit) {
	for range n {
		if _, why = a.Occupy(a.targets(name)[0], Parties{}); why != LimitNone {
			return why
		}
	}
	return LimitNone
}

// wants checks which waiting calls were told since the last check.
func (a *queueing) wants(ids ...string) {
	a.t.Helper()
	synctest.Wait()
	if !slices.Equal(a.called, ids) {
		a.t.Errorf("called %v; want %v", a.called, ids)
	}
	a.called = nil
}

const oneEach = `{name: a, kind: sip, uri: "sip:a@192.0.2.9", max_calls: 1}, {name: b, kind: sip, uri: "sip:b@192.0.2.9", max_calls: 1}`

// Each place goes to the call that has waited longest for its target, even if a new call comes at that moment, if the
// call that was told leaves, or if several places become free at once.
func TestQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newQueueing(t, oneEach)
		a.takes("a", 1)
		a.takes("b", 1)
		first, _ := a.arrives("", "a", "b")
		second, _ := a.arrives("", "b")
		third, _ := a.arrives("", "a", "b")
		for i, w := range []*Waiter{first, second, third} {
			if got := a.Position(w); got != i+1 {
				t.Errorf("position %d; want %d", got, i+1)
			}
		}
		a.Vacate(a.targets("b")[0], Parties{})
		a.wants("001")
		if got := a.takes("b", 1); got != LimitCap {
			t.Errorf("a new call gets the place: %d", got)
		}
		a.StopWaiting(first) // at the moment at which it is told
		a.StopWaiting(first)
		a.wants("002")
		a.Vacate(a.targets("a")[0], Parties{})
		a.wants("003")
		if p, ok := a.Place(third); !ok || p.Target.Dial.Name != "a" || p.Why != LimitNone {
			t.Errorf("place %+v, %t", p, ok)
		}
		if _, ok := a.Place(third); ok {
			t.Error("a place is given twice")
		}
		if p, ok := a.Place(second); !ok || p.Target.Dial.Name != "b" || p.Why != LimitNone {
			t.Errorf("place %+v, %t", p, ok)
		}
		a.StopWaiting(second) // it keeps the place that it has taken
		late, _ := a.arrives("", "a")
		again := &Waiter{ID: "000", Trunk: late.Trunk, Mark: late.Mark, Called: a.tells("000")}
		a.setups.add(&late.Trunk.setups, 1)
		a.Wait(again, a.targets("a"), 0, true) // it has waited before, so it keeps its place in the queue
		a.StopWaiting(third)                   // this call leaves the queue
		a.wants()
		a.Vacate(a.targets("a")[0], Parties{})
		a.wants("000")
		a.StopWaiting(late)
		a.StopWaiting(again)
		if open := a.Open(); open.Setups != 5 || open.Targets["a"] != 0 || open.Targets["b"] != 1 || len(a.queue.all)+len(a.queue.routes) != 0 {
			t.Errorf("left: %+v, %d wait", open, len(a.queue.all))
		}
	})
}

// If a place becomes free after a call was refused and before it waits, the call gets the place.
func TestQueueWithRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newQueueing(t, oneEach)
		w, _ := a.arrives("", "a")
		a.wants("001")
		if p, ok := a.Place(w); !ok || p.Target.Dial.Name != "a" {
			t.Errorf("place %+v", p)
		}
	})
}

// No call may wait beyond the limit, for a target that is out of use, or when no more calls are accepted.
func TestQueueRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newQueueing(t, oneEach)
		a.takes("a", 1)
		for range 5 {
			a.arrives("", "a")
		}
		if _, why := a.arrives("", "a"); why != LimitCap {
			t.Errorf("one too many: %d", why)
		}
		a.Drain()
		a.wants("001", "002", "003", "004", "005")
		if _, why := a.arrives("", "a"); why != LimitClosed {
			t.Errorf("while draining: %d", why)
		}
	})
}

// A called trunk's limit for a number concerns only that number. A waiting call that would exceed the limit is told so,
// and the next call gets the place.
func TestQueueOfATrunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newQueueing(t, oneEach)
		carrier := a.targets("carrier")[0]
		for _, to := range []string{"1", "2", "3"} {
			a.Occupy(carrier, Parties{To: to})
		}
		same, _ := a.arrives("1", "carrier")
		a.arrives("4", "carrier")
		a.Vacate(carrier, Parties{To: "2"})
		a.wants("001", "002")
		if p, ok := a.Place(same); !ok || p.Why != LimitDestination {
			t.Errorf("told %+v", p)
		}
		// When a call from the trunk ends, a call to the trunk gets the place, because the limit covers both directions.
		a.arrives("5", "carrier")
		a.wants()
		a.Leave(a.Peers.Load().Trunks[0], false)
		a.wants("003")
	})
}

// In a fleet, each node's queue is for the node's part of the places. When a node leaves, its part goes to calls that
// wait at other nodes.
func TestQueueOfAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newQueueing(t, `{name: a, kind: sip, uri: "sip:a@192.0.2.9", max_calls: 8}`)
		a.Share(0, 4)
		a.takes("a", 2)
		a.arrives("", "a")
		a.arrives("", "a")
		a.arrives("", "a")
		a.wants()
		a.Vacate(a.targets("a")[0], Parties{})
		a.wants("001")
		a.Share(1, 3) // the first two nodes get one place more than the third
		a.wants("002")
		a.Share(2, 3)
		a.Vacate(a.targets("a")[0], Parties{})
		a.wants() // two calls are up, so no place is free
		a.Share(0, 1)
		a.wants("003")
	})
}

// In this model, calls come, wait, give up, get places and leave at random, circuits open, and limits change. A place
// that a call waits for must never stay free, no call may be overtaken, and in the end all counts must be 0.
func TestQueueModel(t *testing.T) {
	var configs []*config.Config // parsed only once, because parsing takes longest
	for i := range 6 {
		configs = append(configs, queueConfig(t, fmt.Sprintf(`{name: a, kind: sip, uri: "sip:a@192.0.2.9", max_calls: %d}, {name: b, kind: sip, uri: "sip:b@192.0.2.9", max_cps: %d}`, 1+i/2, 1+i%2)))
	}
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			a := &queueing{Admission: NewAdmission(configs[0], nil), t: t}
			waiting, up := map[string]*Waiter{}, []*Target{}
			for range 200 {
				switch random.IntN(9) {
				case 0, 1, 2:
					names := [][]string{{"a"}, {"b"}, {"a", "b"}}[random.IntN(3)]
					if w, why := a.arrives("", names...); why == LimitNone {
						waiting[w.ID] = w
					}
				case 3, 4:
					if len(up) > 0 {
						i := random.IntN(len(up))
						a.Vacate(up[i], Parties{})
						up = slices.Delete(up, i, i+1)
					}
				case 5:
					for id, w := range waiting { // any waiting call, even one that has just been told
						a.StopWaiting(w)
						delete(waiting, id)
						break
					}
				case 6:
					a.Reload(configs[random.IntN(len(configs))], nil)
				case 7:
					b := a.targets("b")[0].SIP
					for b.Status().State != circuit.Open && random.IntN(2) == 0 {
						try, _ := b.Begin(time.Now())
						time.Sleep(600 * time.Millisecond)
						b.End(time.Now(), &try, circuit.Failed)
					}
				case 8:
					nodes := 1 + random.IntN(3)
					a.Share(random.IntN(nodes), nodes)
				}
				synctest.Wait()
				if random.IntN(3) > 0 {
					continue // some calls react slowly
				}
				for _, id := range a.called {
					if w := waiting[id]; w != nil {
						if random.IntN(4) == 0 {
							a.StopWaiting(w) // before it takes the place
						} else if p, ok := a.Place(w); !ok {
							t.Fatalf("seed %d: %s has lost its place", seed, w.ID)
						} else if p.Why == LimitNone {
							p.Target.SIP.End(time.Now(), &p.Try, circuit.Succeeded)
							up = append(up, p.Target)
						}
						delete(waiting, id)
					}
				}
				a.called = nil
				for _, w := range a.queue.all {
					for _, target := range w.targets {
						if target.SIP.Status().State == circuit.Closed && a.hasRoom(target.usage, time.Now()) {
							t.Fatalf("seed %d: %s waits for %s, which has room", seed, w.ID, target.Dial.Name)
						}
					}
				}
			}
			for _, w := range waiting {
				a.StopWaiting(w)
			}
			for _, target := range up {
				a.Vacate(target, Parties{})
			}
			synctest.Wait()
			if open := a.Open(); open.Targets["a"]+open.Targets["b"] != 0 || len(a.queue.all)+len(a.queue.routes) != 0 || a.queues.Load() != 0 {
				t.Errorf("seed %d: left %+v, %d wait", seed, open, len(a.queue.all))
			}
		})
	}
}
