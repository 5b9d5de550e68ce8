package peers

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/config"
)

// fleetConfig has a trunk and a target with caps.
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

// enter takes as many places as the trunk gives, up to 100.
func (a *Admission) enterAll() (n int) {
	t := a.Peers.Load().Trunks[0]
	for ; n < 100 && a.Enter(t) == CapacityFree; n++ {
	}
	return n
}

// Without a fleet the whole of a limit is the node's own. With one, its part is; when that has run out, its share.
func TestQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(fleetConfig(t, ", max_calls: 20"), nil)
		calls := Cap{Name: "carrier"}
		if got := a.enterAll(); got != 20 {
			t.Errorf("%d calls without a fleet; want 20", got)
		}
		leave := func(n int) {
			for range n {
				a.Leave(a.Peers.Load().Trunks[0], true)
			}
		}
		leave(20)
		a.Demands()
		a.Allot(Quotas{Until: time.Now().Add(12 * time.Second), Parts: map[Cap]int{calls: 7}, Nodes: 5})
		if got := a.enterAll(); got != 7 {
			t.Errorf("%d calls within the part; want 7", got)
		}
		select {
		case <-a.Short():
		default:
			t.Error("nobody is told that there was no room")
		}
		if got := a.Demands(); len(got) != 4 || got[0] != (Demand{Cap: calls, Limit: 20, Used: 7, Asked: 8}) {
			t.Errorf("demands %+v", got)
		}
		time.Sleep(12 * time.Second)
		if got := a.enterAll(); got != 0 { // 7 are more than the share of 4: they stay
			t.Errorf("%d more calls after the lease; want none", got)
		}
		leave(4)
		if got := a.enterAll(); got != 1 {
			t.Errorf("%d more calls within the share; want 1", got)
		}
		a.Allot(Quotas{Until: time.Now().Add(time.Second), Parts: map[Cap]int{calls: 0}, Nodes: 5})
		leave(4)
		if got := a.enterAll(); got != 0 {
			t.Errorf("%d calls of no part", got)
		}
		a.Allot(Quotas{Until: time.Now().Add(time.Second), Parts: map[Cap]int{calls: 90}, Nodes: 5})
		if got := a.enterAll(); got != 20 {
			t.Errorf("%d calls of a part that is larger than the limit; want 20", got)
		}
	})
}

// A limit that a reload changes, or brings, holds at once: the part of the old one is no more than the new one, and a
// new one's share is used until there is a part.
func TestQuotasReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(fleetConfig(t, ", max_calls: 20"), nil)
		a.Allot(Quotas{Until: time.Now().Add(time.Hour), Parts: map[Cap]int{{Name: "carrier"}: 10}, Nodes: 2})
		a.Reload(fleetConfig(t, ", max_calls: 6, max_cps: 8"), nil)
		if got := a.enterAll(); got != 4 { // of 8 calls a second
			t.Errorf("%d calls; want 4", got)
		}
		time.Sleep(time.Minute)
		if got := a.enterAll(); got != 2 {
			t.Errorf("%d more calls; want 2", got)
		}
	})
}

// A part of a rate is one, and what it gives up does not come back as a burst.
func TestQuotasRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(fleetConfig(t, ", max_cps: 10"), nil)
		allot := func(n int) {
			a.Allot(Quotas{Until: time.Now().Add(time.Hour), Parts: map[Cap]int{{Name: "carrier", Rate: true}: n}, Nodes: 2})
		}
		allot(3)
		if got := a.enterAll(); got != 3 {
			t.Errorf("%d calls at once; want 3", got)
		}
		allot(10)
		if got := a.enterAll(); got != 0 {
			t.Errorf("%d calls of a second that was used", got)
		}
		time.Sleep(500 * time.Millisecond)
		if got := a.enterAll(); got != 5 {
			t.Errorf("%d calls in half a second; want 5", got)
		}
		allot(0)
		time.Sleep(time.Minute)
		if got := a.enterAll(); got != 0 {
			t.Errorf("%d calls of no part", got)
		}
		time.Sleep(time.Hour) // the lease is over, which the next call finds
		a.enterAll()
		time.Sleep(time.Second)
		if got := a.enterAll(); got != 5 {
			t.Errorf("%d calls of the share; want 5", got)
		}
		a.Reload(fleetConfig(t, ", max_cps: 10"), nil)
		if got := a.enterAll(); got != 0 {
			t.Errorf("a reload without a change gave %d calls", got)
		}
	})
}

// A call's admission allocates nothing for the fleet.
func TestQuotasAllocate(t *testing.T) {
	a := NewAdmission(fleetConfig(t, ", max_calls: 20, max_cps: 1000"), nil)
	a.Allot(Quotas{Until: time.Now().Add(time.Hour), Parts: map[Cap]int{{Name: "carrier"}: 5, {Name: "carrier", Rate: true}: 500}, Nodes: 2})
	trunk := a.Peers.Load().Trunks[0]
	if n := testing.AllocsPerRun(100, func() {
		if a.Enter(trunk) == CapacityFree {
			a.Leave(trunk, true)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
