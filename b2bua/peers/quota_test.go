package peers

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/config"
)

// fleetConfig has a trunk and a target with limits.
func fleetConfig(t *testing.T, limits string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(`
trunks: [{name: carrier, sources: [192.0.2.1]`+limits+`}]
targets: [{name: agent, kind: sip, uri: "sip:a@192.0.2.9", max_calls: 8, max_cps: 6}]
routes: [{trunk: carrier, targets: [agent]}]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// enterAll enters calls of the trunk until one is refused, at most 100. It returns their number.
func (a *Admission) enterAll() (n int) {
	t := a.Peers.Load().Trunks[0]
	for ; n < 100 && a.Enter(t) == CapacityFree; n++ {
	}
	return n
}

// Without a fleet, a node has the whole of each limit; in a fleet, only its part. Calls that are up stay, even above
// the part.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(fleetConfig(t, ", max_calls: 20"), nil)
		if got := a.enterAll(); got != 20 {
			t.Errorf("%d calls without a fleet; want 20", got)
		}
		leave := func(n int) {
			for range n {
				a.Leave(a.Peers.Load().Trunks[0], true)
			}
		}
		a.Share(1, 3)
		if got := a.enterAll(); got != 0 {
			t.Errorf("%d more calls than the part", got)
		}
		leave(20)
		if got := a.enterAll(); got != 7 {
			t.Errorf("%d calls of 20 for the second of three; want 7", got)
		}
		a.Share(2, 3)
		leave(7)
		if got := a.enterAll(); got != 6 {
			t.Errorf("%d calls of 20 for the last of three; want 6", got)
		}
		a.Share(0, 1)
		if got := a.enterAll(); got != 14 {
			t.Errorf("%d more calls of the only node; want 14", got)
		}
	})
}

// The parts of all nodes add up to the limit. If the limit is below the number of nodes, each node may have one call.
// Without a limit there are no parts.
func TestShareIsExact(t *testing.T) {
	for nodes := 1; nodes <= 7; nodes++ {
		for limit := 1; limit <= 40; limit++ {
			sum, first, last := 0, 0, 0
			for place := range nodes {
				a := &Admission{place: place, nodes: nodes}
				part := a.part(limit)
				if place == 0 {
					first = part
				}
				sum, last = sum+part, part
				if a.part(0) != capOf(0) {
					t.Errorf("node %d of %d: no limit became %d", place, nodes, a.part(0))
				}
			}
			if sum != max(limit, nodes) || first-last > 1 || last < 1 {
				t.Errorf("%d nodes have %d of %d, the first %d, the last %d", nodes, sum, limit, first, last)
			}
		}
	}
	a := NewAdmission(fleetConfig(t, ", max_calls: 2, max_cps: 2"), nil)
	if least := a.Share(0, 3); least != 2 {
		t.Errorf("the smallest cap is %d", least)
	}
	if got := [2]int{a.Part(0), a.Part(2)}; got != [2]int{0, 1} {
		t.Errorf("shown as limits: %v", got)
	}
	a.Share(2, 3)
	if got := a.enterAll(); got != 1 {
		t.Errorf("the third node of three has %d calls of 2; want 1", got)
	}
}

// A node counts as busy while it has calls, for some minutes after each call began, and for some minutes after the node
// started.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(fleetConfig(t, ", max_calls: 2"), nil)
		is := func(want bool) {
			t.Helper()
			if a.Busy() != want {
				t.Errorf("after %v busy is %t", time.Since(a.began), !want)
			}
		}
		trunk := a.Peers.Load().Trunks[0]
		is(true)
		time.Sleep(busyFor)
		is(false)
		a.Enter(trunk)
		time.Sleep(time.Hour)
		is(true)
		a.Leave(trunk, true)
		is(false)
		a.Enter(trunk)
		a.Leave(trunk, true)
		is(true)
		time.Sleep(busyFor)
		is(false)
	})
}

// If a reload changes a limit or adds one, the node's part of it applies at once.
func TestShareReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(fleetConfig(t, ", max_calls: 20"), nil)
		a.Share(0, 2)
		a.Reload(fleetConfig(t, ", max_calls: 12, max_cps: 8"), nil)
		if got := a.enterAll(); got != 4 { // half of 8 calls a second
			t.Errorf("%d calls; want 4", got)
		}
		time.Sleep(time.Minute)
		if got := a.enterAll(); got != 2 {
			t.Errorf("%d more calls; want 2", got)
		}
	})
}

// A part of a rate works like any rate. If it is lowered, no burst follows later.
func TestShareRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(fleetConfig(t, ", max_cps: 10"), nil)
		a.Share(2, 3)
		if got := a.enterAll(); got != 3 {
			t.Errorf("%d calls at once; want 3", got)
		}
		a.Share(0, 1)
		if got := a.enterAll(); got != 0 {
			t.Errorf("%d calls of a second that was used", got)
		}
		time.Sleep(500 * time.Millisecond)
		if got := a.enterAll(); got != 5 {
			t.Errorf("%d calls in half a second; want 5", got)
		}
		a.Share(10, 11)
		time.Sleep(time.Minute)
		if got := a.enterAll(); got != 1 {
			t.Errorf("%d calls of the least part; want 1", got)
		}
		a.Share(0, 2)
		time.Sleep(time.Second)
		if got := a.enterAll(); got != 5 {
			t.Errorf("%d calls of half the rate; want 5", got)
		}
		a.Reload(fleetConfig(t, ", max_cps: 10"), nil)
		if got := a.enterAll(); got != 0 {
			t.Errorf("a reload without a change gave %d calls", got)
		}
	})
}

// Admitting a call allocates nothing for the fleet.
func TestShareAllocates(t *testing.T) {
	a := NewAdmission(fleetConfig(t, ", max_calls: 20, max_cps: 1000"), nil)
	a.Share(0, 2)
	trunk := a.Peers.Load().Trunks[0]
	if n := testing.AllocsPerRun(100, func() {
		if a.Enter(trunk) == CapacityFree {
			a.Leave(trunk, true)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
