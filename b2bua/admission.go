package b2bua

import (
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/time/rate"

	"flowbridge/config"
)

// admission says who may call and how much. Its lock is held for a count at a
// time.
type admission struct {
	trunks   []*trunk
	targets  map[string]*target
	sources  []trunkSource // longest prefix first
	mu       sync.Mutex
	draining bool
}

// trunk is a configured trunk with what it has open now.
type trunk struct {
	cfg   *config.Trunk
	calls int // guarded by admission.mu
	rate  *rate.Limiter
}

// target is a configured target with what it has open now.
type target struct {
	cfg      *config.Target
	preparer Preparer
	calls    int // guarded by admission.mu
	rate     *rate.Limiter
}

type trunkSource struct {
	prefix netip.Prefix
	trunk  *trunk
}

func newAdmission(cfg *config.Config, preparers map[string]Preparer) *admission {
	a := &admission{targets: map[string]*target{}}
	for i := range cfg.Trunks {
		t := &trunk{cfg: &cfg.Trunks[i], rate: limiter(cfg.Trunks[i].MaxCPS)}
		a.trunks = append(a.trunks, t)
		for _, p := range t.cfg.Sources {
			a.sources = append(a.sources, trunkSource{p, t})
		}
	}
	slices.SortStableFunc(a.sources, func(x, y trunkSource) int { return y.prefix.Bits() - x.prefix.Bits() })
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		a.targets[t.Name] = &target{cfg: t, preparer: preparers[t.Name], rate: limiter(t.MaxCPS)}
	}
	return a
}

// limiter allows n events a second, and n at once; nil for 0: no limit.
func limiter(n int) *rate.Limiter {
	if n <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(n), n)
}

// trunkOf finds the trunk by source address: the longest prefix wins.
func (a *admission) trunkOf(addr netip.Addr) *trunk {
	for _, s := range a.sources {
		if s.prefix.Contains(addr) {
			return s.trunk
		}
	}
	return nil
}

func (a *admission) knows(addr netip.Addr) bool { return a.trunkOf(addr) != nil }

// full says whether a new call from addr would be refused now. It takes
// nothing.
func (a *admission) full(addr netip.Addr) bool {
	t := a.trunkOf(addr)
	if t == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining || (t.cfg.MaxCalls > 0 && t.calls >= t.cfg.MaxCalls) || (t.rate != nil && t.rate.Tokens() < 1)
}

// enter takes a place for a call of the trunk; leave gives it back.
func (a *admission) enter(t *trunk) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining || (t.cfg.MaxCalls > 0 && t.calls >= t.cfg.MaxCalls) || (t.rate != nil && !t.rate.Allow()) {
		return false
	}
	t.calls++
	return true
}

func (a *admission) leave(t *trunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.calls--
}

// occupy takes a place for a call to the target; vacate gives it back.
func (a *admission) occupy(t *target) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if (t.cfg.MaxCalls > 0 && t.calls >= t.cfg.MaxCalls) || (t.rate != nil && !t.rate.Allow()) {
		return false
	}
	t.calls++
	return true
}

func (a *admission) vacate(t *target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.calls--
}

func (a *admission) drain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = true
}

func (a *admission) isDraining() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}
