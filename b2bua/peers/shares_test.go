package peers

import (
	"fmt"
	"net/netip"
	"testing"

	"flowbridge/config"
)

// trunksOf returns a configuration with trunks with these limits, with a limit for set-ups,
// and with ports for this many calls.
func trunksOf(setups, calls int, caps ...int) *config.Config {
	cfg := &config.Config{}
	cfg.SIP.Limits.Setups = setups
	cfg.Media.PortLow, cfg.Media.PortHigh = 10000, uint16(10000+4*calls-1)
	for i, most := range caps {
		cfg.Trunks = append(cfg.Trunks, config.Trunk{Name: fmt.Sprint(i), MaxCalls: most})
	}
	return cfg
}

// fill enters calls of a trunk until one is refused. It returns their number and the reason
// for the refusal.
func fill(a *Admission, trunk int) (n int, why Capacity) {
	for ; ; n++ {
		if why = a.Enter(a.Peers.Load().Trunks[trunk]); why != CapacityFree {
			return n, why
		}
	}
}

// Half of the places are reserved, in equal parts for the trunks. The other half is open to
// all trunks.
func TestShares(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  *config.Config
		want []int // places that each trunk gets if it takes as many as it can, one trunk after the other
		why  Capacity
	}{
		{"a trunk alone", trunksOf(100, 200, 0), []int{100}, CapacitySetups},
		{"two", trunksOf(100, 200, 0, 0), []int{75, 25}, CapacitySetups},
		{"three", trunksOf(100, 200, 0, 0, 0), []int{68, 16, 16}, CapacitySetups},
		{"ports", trunksOf(100, 40, 0, 0), []int{30, 10}, CapacityPorts},
		{"a cap below the share keeps no more than that", trunksOf(100, 200, 0, 5), []int{95, 5}, CapacitySetups},
		{"more trunks than places", trunksOf(2, 2, 0, 0, 0), []int{2, 0, 0}, CapacitySetups},
		{"no ports", trunksOf(2, 0, 0), []int{0}, CapacityPorts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := NewAdmission(tt.cfg, nil)
			for i, want := range tt.want {
				got, why := fill(a, i)
				if got != want || (i == 0 && why != tt.why) {
					t.Errorf("trunk %d: %d calls, then %d; want %d, then %d", i, got, why, want, tt.why)
				}
			}
		})
	}
}

// A place that was given back can be taken again. Its own trunk can take it even if others
// wait.
func TestSharesComeBack(t *testing.T) {
	a := NewAdmission(trunksOf(100, 100, 0, 0), nil)
	first, second := a.Peers.Load().Trunks[0], a.Peers.Load().Trunks[1]
	fill(a, 0)
	fill(a, 1)
	for range 25 {
		a.Answered(second)
		a.Leave(second, false)
	}
	if n, _ := fill(a, 0); n != 0 {
		t.Errorf("the first trunk took %d places of the second", n)
	}
	if n, _ := fill(a, 1); n != 25 {
		t.Errorf("the second trunk took %d; want 25", n)
	}
	for range 75 {
		a.Leave(first, true)
	}
	if n, _ := fill(a, 1); n != 50 {
		t.Errorf("the second trunk took %d more; want 50", n)
	}
	if a.setups.used != 75 || a.setups.kept != 25 || a.ports.used != 75 || a.ports.kept != 25 {
		t.Errorf("set-ups %+v, ports %+v", a.setups, a.ports)
	}
}

// A reload recalculates the shares. A removed trunk keeps its calls, but has no share.
func TestReloadShares(t *testing.T) {
	a := NewAdmission(trunksOf(100, 100, 0, 0), nil)
	gone := a.Peers.Load().Trunks[1]
	fill(a, 1)
	a.Reload(trunksOf(100, 100, 0), nil)
	if n, _ := fill(a, 0); n != 25 {
		t.Errorf("%d calls beside 75 of the trunk that is gone; want 25", n)
	}
	for range 75 {
		a.Leave(gone, true)
	}
	if n, _ := fill(a, 0); n != 75 {
		t.Errorf("%d further calls; want 75", n)
	}
	a.Reload(trunksOf(100, 100, 0, 0, 0, 0), nil)
	if setups, calls := a.Reserved(a.Peers.Load().Trunks[3]); setups != 12 || calls != 12 {
		t.Errorf("%d set-ups and %d calls are kept for one of four", setups, calls)
	}
}

// In an overload, a trunk with fewer set-ups than the average of the trunks that have any
// is spared. A sender that may belong to several trunks is not.
func TestSpared(t *testing.T) {
	cfg := trunksOf(100, 100, 0, 0, 0, 0)
	source := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	for i := range cfg.Trunks[:3] { // the fourth trunk may send from any address
		cfg.Trunks[i].Sources = []config.Source{{Prefix: netip.PrefixFrom(source(i), 32)}}
	}
	a := NewAdmission(cfg, nil)
	spared := func(from netip.Addr) bool { return a.Spared(Sender{Addr: netip.AddrPortFrom(from, 5060)}) }
	want := func(when string, wanted ...bool) {
		t.Helper()
		for i, w := range wanted {
			if got := spared(source(i)); got != w {
				t.Errorf("%s, trunk %d: spared %v; want %v", when, i, got, w)
			}
		}
	}
	trunks := a.Peers.Load().Trunks
	enter := func(trunk, n int) {
		for range n {
			if a.Enter(trunks[trunk]) != CapacityFree {
				t.Fatal("no room")
			}
		}
	}
	want("without calls", false, false, false, false)
	enter(0, 10)
	want("one trunk has calls", false, true, true, true)
	enter(1, 4)
	want("two have", false, true, true, true)
	enter(3, 7)
	want("so has the one that may be anywhere", false, false, false, false)
	enter(0, 20)
	want("it has fewer again", false, true, true, true)
}
