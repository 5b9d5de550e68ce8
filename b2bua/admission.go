package b2bua

import (
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"flowbridge/config"
)

// admission says how much may come in. What is counted outlives a reload; who
// may call at all is in peers. Its lock is held while counts are compared and
// taken, and while a reload goes through the tallies.
type admission struct {
	peers     atomic.Pointer[snapshot]
	maxSetups int // calls that are not answered yet

	mu       sync.Mutex
	draining bool
	setups   int
	trunks   map[string]*tally // by name
	targets  map[string]*tally // by name
	callers  map[string]*tally // of targets' own calls, by name
}

// tally is what a trunk or target has open now, whatever reloads come.
type tally struct {
	calls int // guarded by admission.mu
	rate  *rate.Limiter
}

func newAdmission(cfg *config.Config, preparers map[string]Preparer) *admission {
	a := &admission{maxSetups: cfg.SIP.Limits.Setups, trunks: map[string]*tally{}, targets: map[string]*tally{}, callers: map[string]*tally{}}
	a.reload(cfg, preparers)
	return a
}

// reload replaces trunks, targets and routes for the calls to come.
func (a *admission) reload(cfg *config.Config, preparers map[string]Preparer) {
	p := &snapshot{
		routes: cfg.Routes, targets: map[string]*target{}, callees: map[string]*target{},
		allow: allowedToTrunks(cfg.Targets), parts: passedParts(cfg.Targets), tones: tonesOf(cfg),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.peers.Load()
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		own := newTrunk(t, tallied(a.trunks, t.Name, t.MaxCPS))
		p.trunks = append(p.trunks, own)
		if t.URI != nil {
			p.callees[t.Name] = newCallee(own)
		}
	}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		p.targets[t.Name] = &target{cfg: t, preparer: preparers[t.Name], tally: tallied(a.targets, t.Name, t.MaxCPS)}
		if t.MayCall() {
			p.trunks = append(p.trunks, newCaller(t, tallied(a.callers, t.Name, 0)))
		}
	}
	a.peers.Store(p)
	if old != nil {
		a.forget(p)
	}
}

// tallied finds the tally of this name or begins one. Its rate starts anew
// where it has changed.
func tallied(tallies map[string]*tally, name string, cps int) *tally {
	t := tallies[name]
	if t == nil {
		t = &tally{}
		tallies[name] = t
	}
	if t.rate == nil || cps <= 0 || t.rate.Burst() != cps {
		t.rate = limiter(cps)
	}
	return t
}

// forget lets the tallies go that nothing is counted in and nobody has.
func (a *admission) forget(p *snapshot) {
	has := map[*tally]bool{}
	for _, t := range p.trunks {
		has[t.tally] = true
	}
	for _, t := range p.targets {
		has[t.tally] = true
	}
	for _, tallies := range []map[string]*tally{a.trunks, a.targets, a.callers} {
		for name, t := range tallies {
			if !has[t] && t.calls == 0 {
				delete(tallies, name)
			}
		}
	}
}

// limiter allows n events a second, and n at once; nil for 0: no limit.
func limiter(n int) *rate.Limiter {
	if n <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(n), n)
}

// capacity says why a new call is not taken.
type capacity int

const (
	capacityFree     capacity = iota
	capacityNone              // every trunk that it could be of is at its caps, or we drain
	capacitySetups            // too many calls wait for their answer
	capacityOverload          // messages wait for too long
)

// capacity says whether a new call from this sender would be refused now. It
// takes nothing.
func (a *admission) capacity(from sender) capacity {
	p := a.peers.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.draining:
		return capacityNone
	case a.setups >= a.maxSetups:
		return capacitySetups
	}
	possible := false
	for _, t := range p.trunks {
		if !t.couldBe(from) {
			continue
		}
		if possible = true; t.calls < capOf(t.cfg.MaxCalls) && (t.rate == nil || t.rate.Tokens() >= 1) {
			return capacityFree
		}
	}
	if possible {
		return capacityNone
	}
	return capacityFree
}

// capOf gives a cap of 0, which is none, as a number.
func capOf(n int) int {
	if n <= 0 {
		return int(^uint(0) >> 1)
	}
	return n
}

// enter takes a place for a call of the trunk; answered and leave give it
// back.
func (a *admission) enter(t *trunk) capacity {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.draining:
		return capacityNone
	case a.setups >= a.maxSetups:
		return capacitySetups
	case t.calls >= capOf(t.cfg.MaxCalls) || (t.rate != nil && !t.rate.Allow()):
		return capacityNone
	}
	t.calls++
	a.setups++
	return capacityFree
}

// answered: a call is not in set-up any more.
func (a *admission) answered() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setups--
}

// leave gives a call's place back, with that in set-up if it has it still.
func (a *admission) leave(t *trunk, inSetup bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.calls--
	if inSetup {
		a.setups--
	}
}

// occupy takes a place for a call to the target; vacate gives it back.
func (a *admission) occupy(t *target) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.calls >= capOf(t.cfg.MaxCalls) || (t.rate != nil && !t.rate.Allow()) {
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
