package peers

import (
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"flowbridge/config"
)

// Admission says how much may come in. What is counted outlives a reload; who
// may call at all is in peers. Its lock is held while counts are compared and
// taken, and while a reload goes through the tallies.
type Admission struct {
	Peers     atomic.Pointer[Snapshot]
	maxSetups int // calls that are not answered yet

	mu       sync.Mutex
	draining bool
	Setups   int
	Trunks   map[string]*Tally // by name
	Targets  map[string]*Tally // by name
	Callers  map[string]*Tally // of targets' own calls, by name
}

// Tally is what a trunk or target has open now, whatever reloads come.
type Tally struct {
	Calls int // guarded by admission.mu
	Rate  *rate.Limiter
}

func NewAdmission(cfg *config.Config, preparers map[string]Preparer) *Admission {
	a := &Admission{maxSetups: cfg.SIP.Limits.Setups, Trunks: map[string]*Tally{}, Targets: map[string]*Tally{}, Callers: map[string]*Tally{}}
	a.Reload(cfg, preparers)
	return a
}

// Reload replaces trunks, targets and routes for the calls to come.
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
		own := newTrunk(callerOfTrunk(t), nil, tallied(a.Trunks, t.Name, t.MaxCPS))
		p.Trunks = append(p.Trunks, own)
		if t.URI != nil { // its channels are the same, whoever calls: one tally
			p.Callees[t.Name] = &Target{Config: dialOfTrunk(t), Callee: own.Config, Tally: own.Tally}
		}
	}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		own := &Target{Config: DialOf(t), Preparer: preparers[t.Name], Tally: tallied(a.Targets, t.Name, t.MaxCPS)}
		p.Targets[t.Name] = own
		if t.MayCall() {
			p.Trunks = append(p.Trunks, newTrunk(callerOfTrunk(t.Caller()), &own.Config.Policy, tallied(a.Callers, t.Name, 0)))
		}
	}
	a.Peers.Store(p)
	if old != nil {
		a.forget(p)
	}
}

// tallied finds the tally of this name or begins one. Its rate starts anew
// where it has changed.
func tallied(tallies map[string]*Tally, name string, cps int) *Tally {
	t := tallies[name]
	if t == nil {
		t = &Tally{}
		tallies[name] = t
	}
	if t.Rate == nil || cps <= 0 || t.Rate.Burst() != cps {
		t.Rate = limiter(cps)
	}
	return t
}

// forget lets the tallies go that nothing is counted in and nobody has.
func (a *Admission) forget(p *Snapshot) {
	has := map[*Tally]bool{}
	for _, t := range p.Trunks {
		has[t.Tally] = true
	}
	for _, t := range p.Targets {
		has[t.Tally] = true
	}
	for _, tallies := range []map[string]*Tally{a.Trunks, a.Targets, a.Callers} {
		for name, t := range tallies {
			if !has[t] && t.Calls == 0 {
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

// Capacity says why a new call is not taken.
type Capacity int

const (
	CapacityFree     Capacity = iota
	CapacityNone              // every trunk that it could be of is at its caps, or we drain
	CapacitySetups            // too many calls wait for their answer
	CapacityOverload          // messages wait for too long
)

// Capacity says whether a new call from this sender would be refused now. It
// takes nothing.
func (a *Admission) Capacity(from Sender) Capacity {
	p := a.Peers.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.draining:
		return CapacityNone
	case a.Setups >= a.maxSetups:
		return CapacitySetups
	}
	possible := false
	for _, t := range p.Trunks {
		if !t.couldBe(from) {
			continue
		}
		if possible = true; t.Calls < capOf(t.Config.MaxCalls) && (t.Rate == nil || t.Rate.Tokens() >= 1) {
			return CapacityFree
		}
	}
	if possible {
		return CapacityNone
	}
	return CapacityFree
}

// capOf gives a cap of 0, which is none, as a number.
func capOf(n int) int {
	if n <= 0 {
		return int(^uint(0) >> 1)
	}
	return n
}

// Enter takes a place for a call of the trunk; answered and leave give it
// back.
func (a *Admission) Enter(t *Trunk) Capacity {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.draining:
		return CapacityNone
	case a.Setups >= a.maxSetups:
		return CapacitySetups
	case t.Calls >= capOf(t.Config.MaxCalls) || (t.Rate != nil && !t.Rate.Allow()):
		return CapacityNone
	}
	t.Calls++
	a.Setups++
	return CapacityFree
}

// Answered: a call is not in set-up any more.
func (a *Admission) Answered() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Setups--
}

// Leave gives a call's place back, with that in set-up if it has it still.
func (a *Admission) Leave(t *Trunk, inSetup bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.Calls--
	if inSetup {
		a.Setups--
	}
}

// Occupy takes a place for a call to the target; vacate gives it back.
func (a *Admission) Occupy(t *Target) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.Calls >= capOf(t.Config.MaxCalls) || (t.Rate != nil && !t.Rate.Allow()) {
		return false
	}
	t.Calls++
	return true
}

func (a *Admission) Vacate(t *Target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.Calls--
}

func (a *Admission) Drain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = true
}

func (a *Admission) IsDraining() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}
