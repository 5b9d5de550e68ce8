package peers

import (
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"flowbridge/config"
)

// Admission limits the calls. Its counts outlive reloads. The lock is held while counts
// are compared and taken, and while a reload goes through the tallies.
type Admission struct {
	Peers     atomic.Pointer[Snapshot] // in force
	maxSetups int                      // calls without an answer

	mu       sync.Mutex
	draining bool
	setups   int
	trunks   map[string]*tally // by name
	targets  map[string]*tally // by name
	callers  map[string]*tally // of targets' own calls, by name
}

// tally counts the open calls of a trunk or target. It outlives reloads.
type tally struct {
	calls int // guarded by Admission.mu
	rate  *rate.Limiter
}

// NewAdmission returns an admission for a configuration.
func NewAdmission(cfg *config.Config, preparers map[string]Preparer) *Admission {
	a := &Admission{maxSetups: cfg.SIP.Limits.Setups, trunks: map[string]*tally{}, targets: map[string]*tally{}, callers: map[string]*tally{}}
	a.Reload(cfg, preparers)
	return a
}

// Reload replaces trunks, targets and routes for new calls.
func (a *Admission) Reload(cfg *config.Config, preparers map[string]Preparer) {
	p := &Snapshot{
		Routes: cfg.Routes, Targets: map[string]*Target{}, Callees: map[string]*Target{},
		Allow: allowedToTrunks(cfg.Targets), Parts: passedParts(cfg.Targets), Tones: tonesOf(cfg),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.Peers.Load()
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		own := newTrunk(callerOfTrunk(t), nil, tallied(a.trunks, t.Name, t.MaxCPS))
		p.Trunks = append(p.Trunks, own)
		if t.URI != nil { // its channels are the same, whoever calls: one tally
			p.Callees[t.Name] = &Target{Dial: dialOfTrunk(t), Trunk: own.Caller, tally: own.tally}
		}
	}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		own := &Target{Dial: DialOf(t), Preparer: preparers[t.Name], tally: tallied(a.targets, t.Name, t.MaxCPS)}
		p.Targets[t.Name] = own
		if t.MayCall() {
			p.Trunks = append(p.Trunks, newTrunk(callerOfTrunk(t.Caller()), &own.Dial.Policy, tallied(a.callers, t.Name, 0)))
		}
	}
	a.Peers.Store(p)
	if old != nil {
		a.forget(p)
	}
}

// tallied finds or makes the tally of this name. Its rate starts anew if it has changed.
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

// forget drops the tallies that count nothing and belong to no peer.
func (a *Admission) forget(p *Snapshot) {
	has := map[*tally]bool{}
	for _, t := range p.Trunks {
		has[t.tally] = true
	}
	for _, t := range p.Targets {
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

// limiter allows n events a second, and n at once; nil: no limit, for 0.
func limiter(n int) *rate.Limiter {
	if n <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(n), n)
}

// Capacity says whether there is room for a new call, or what is missing.
type Capacity int

// The capacities.
const (
	CapacityFree     Capacity = iota
	CapacityNone              // the caps of every possible trunk are reached, or the server drains
	CapacitySetups            // too many calls wait for their answer
	CapacityOverload          // messages wait for too long
)

// Open are the open calls, by name.
type Open struct {
	Setups  int // calls without an answer
	Trunks  map[string]int
	Targets map[string]int
	Callers map[string]int // targets' own calls
}

// Open returns the counts of open calls.
func (a *Admission) Open() Open {
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := func(tallies map[string]*tally) map[string]int {
		all := map[string]int{}
		for name, t := range tallies {
			all[name] = t.calls
		}
		return all
	}
	return Open{Setups: a.setups, Trunks: counts(a.trunks), Targets: counts(a.targets), Callers: counts(a.callers)}
}

// Capacity returns the capacity for a new call from this sender. It takes nothing.
func (a *Admission) Capacity(from Sender) Capacity {
	p := a.Peers.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.draining:
		return CapacityNone
	case a.setups >= a.maxSetups:
		return CapacitySetups
	}
	possible := false
	for _, t := range p.Trunks {
		if !t.couldBe(from) {
			continue
		}
		if possible = true; t.calls < capOf(t.Caller.MaxCalls) && (t.rate == nil || t.rate.Tokens() >= 1) {
			return CapacityFree
		}
	}
	if possible {
		return CapacityNone
	}
	return CapacityFree
}

// capOf returns a cap as a number: 0 means no cap.
func capOf(n int) int {
	if n <= 0 {
		return int(^uint(0) >> 1)
	}
	return n
}

// take counts a call; false: the cap or the rate does not allow it.
func (t *tally) take(most int) bool {
	if t.calls >= capOf(most) || (t.rate != nil && !t.rate.Allow()) {
		return false
	}
	t.calls++
	return true
}

// Enter takes a place for a call of the trunk. Answered and Leave give it back.
func (a *Admission) Enter(t *Trunk) Capacity {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.draining:
		return CapacityNone
	case a.setups >= a.maxSetups:
		return CapacitySetups
	case !t.take(t.Caller.MaxCalls):
		return CapacityNone
	}
	a.setups++
	return CapacityFree
}

// Answered gives the place of a call in set-up back.
func (a *Admission) Answered() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setups--
}

// Leave gives a call's place back, and the one in set-up if the call still has it.
func (a *Admission) Leave(t *Trunk, inSetup bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.calls--
	if inSetup {
		a.setups--
	}
}

// Occupy takes a place for a call to the target. Vacate gives it back.
func (a *Admission) Occupy(t *Target) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.take(t.Dial.MaxCalls)
}

// Vacate gives the place of a call to the target back.
func (a *Admission) Vacate(t *Target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.calls--
}

// Drain refuses all new calls from now on.
func (a *Admission) Drain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = true
}

// IsDraining reports whether all new calls are refused.
func (a *Admission) IsDraining() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}
