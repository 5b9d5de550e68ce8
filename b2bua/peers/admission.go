package peers

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"flowbridge/b2bua/circuit"
	"flowbridge/config"
)

// Admission limits the calls. Its counts outlive reloads. Its lock is held only while counts are compared and changed,
// and while a reload updates the usages.
type Admission struct {
	Peers atomic.Pointer[Snapshot] // the current snapshot
	// CircuitChanged is called when a circuit opens, is tried or closes. It must not block. It may be nil.
	CircuitChanged atomic.Pointer[func(circuit.Change)]

	began time.Time

	mu       sync.Mutex // guards the fields below
	draining bool
	scarce   bool              // the memory is scarce
	setups   pool              // calls without an answer
	ports    pool              // calls with ports
	trunks   map[string]*usage // use of each trunk, by name
	targets  map[string]*usage // use of each target, by name
	callers  map[string]*usage // use by the calls that targets place, by target name
	circuits circuits
	sources  *Rates // rates of new requests, by address
	place    int    // this node's place among the nodes that share the caps
	nodes    int    // number of nodes that share the caps; 0 if there is no fleet
	queue    queue
	queues   atomic.Int32 // number of waiting calls
}

// usage counts the open calls of a trunk or target. It outlives reloads.
type usage struct {
	rate *rate.Limiter
	cps  int // limit of calls a second, from the configuration, like most
	most int // maximum of calls; 0 means no limit

	registered atomic.Pointer[registered] // nil if we have not registered it

	// guarded by Admission.mu
	calls         int
	taken         time.Time // when the last call began
	waiters       int       // number of queued calls that wait for a place here
	setups, ports share     // parts of the pools for the calls that the trunk places
	callers       numbers
	destinations  numbers
	placed        lastHour // calls over the trunk that API requests have placed
}

// registered identifies the calls of a trunk at which we have registered: they are for the user of our Contact, and
// come from the registrar.
type registered struct {
	token string
	at    netip.Addr
}

// Registered stores how to identify the calls of a trunk at which we have registered. The zero address means that the
// registration has ended, and calls come only from the trunk's sources.
func (a *Admission) Registered(trunk, token string, at netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.trunks[trunk]; t != nil {
		t.registered.Store(&registered{token, at})
	}
}

// NewAdmission returns an admission for a configuration.
func NewAdmission(cfg *config.Config, preparers map[string]Preparer) *Admission {
	a := &Admission{
		setups: pool{size: cfg.SIP.Limits.Setups}, ports: pool{size: cfg.Media.Calls()},
		trunks: map[string]*usage{}, targets: map[string]*usage{}, callers: map[string]*usage{}, circuits: newCircuits(),
		sources: NewRates(), queue: queue{routes: map[uint64]int{}}, began: time.Now(),
	}
	a.Reload(cfg, preparers)
	return a
}

// Reload makes new calls use the trunks, targets and routes of cfg.
func (a *Admission) Reload(cfg *config.Config, preparers map[string]Preparer) {
	p := &Snapshot{
		Routes: cfg.Routes, Numbers: cfg.Numbers, Marks: routeMarks(cfg.Routes), Targets: map[string]*Target{},
		Callees: map[string]*Target{},
		Allow:   allowedToTrunks(cfg.Targets), Tones: tonesOf(cfg),
		sources: a.sources,
	}
	if v := cfg.Hooks.Variables; v != nil {
		p.IDs = v.IDs
	}
	a.mu.Lock()
	defer a.unlock()
	old := a.Peers.Load()
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		own := newTrunk(callerOfTrunk(t), nil, usageOf(a.trunks, t.Name, t.MaxCalls, t.MaxCPS))
		p.Trunks = append(p.Trunks, own)
		if t.URI != nil { // calls in both directions use the same channels, so they share one usage
			p.Callees[t.Name] = &Target{Dial: dialOfTrunk(t), Trunk: own.Caller, usage: own.usage}
		}
	}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		own := &Target{Dial: DialOf(t), Preparer: preparers[t.Name], usage: usageOf(a.targets, t.Name, t.MaxCalls, t.MaxCPS)}
		p.Targets[t.Name] = own
		if t.MayCall() {
			caller := callerOfTrunk(t.Caller())
			p.Trunks = append(p.Trunks, newTrunk(caller, &own.Dial.Policy,
				usageOf(a.callers, t.Name, caller.MaxCalls, caller.MaxCPS)))
		}
	}
	a.assignCircuits(p, cfg)
	a.share(p)
	a.Peers.Store(p)
	now := time.Now()
	a.setRates(now)
	if old != nil {
		a.forget(p)
		a.serveAll(now)
	}
}

// usageOf returns the usage with this name, which it creates if there is none. If its rate limit has changed, the rate
// restarts.
func usageOf(usages map[string]*usage, name string, most, cps int) *usage {
	t := usages[name]
	if t == nil {
		t = &usage{}
		usages[name] = t
	}
	t.most = most
	if t.rate == nil || cps <= 0 || t.cps != cps {
		t.rate, t.cps = limiter(cps), cps
	}
	return t
}

// forget removes the usages that have no calls and whose trunk or target is no longer configured.
func (a *Admission) forget(p *Snapshot) {
	has := map[*usage]bool{}
	for _, t := range p.Trunks {
		has[t.usage] = true
	}
	for _, t := range p.Targets {
		has[t.usage] = true
	}
	for _, usages := range []map[string]*usage{a.trunks, a.targets, a.callers} {
		for name, t := range usages {
			if !has[t] && t.calls+t.waiters == 0 {
				delete(usages, name)
			}
		}
	}
}

// limiter returns a limiter that allows n events a second, all of which may come at once. It returns nil, which means
// no limit, if n is 0.
func limiter(n int) *rate.Limiter {
	if n <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(n), n)
}

// Capacity is CapacityFree if there is room for a new call, or else the reason against it.
type Capacity int

// The capacities.
const (
	CapacityFree     Capacity = iota
	CapacityNone              // the caps of every possible trunk are reached
	CapacityDraining          // the server drains
	CapacitySetups            // too many calls wait for their answer
	CapacityPorts             // too many calls have ports
	CapacityOverload          // messages wait for too long
	CapacityMemory            // the process has too little memory
)

// Open holds the numbers of open calls.
type Open struct {
	Setups  int // calls without an answer
	Trunks  map[string]int
	Targets map[string]int
	Callers map[string]int // calls placed by targets
	Numbers int            // numbers with open calls, over all trunks
}

// Open returns the numbers of open calls.
func (a *Admission) Open() Open {
	a.mu.Lock()
	defer a.mu.Unlock()
	numbers := 0
	counts := func(usages map[string]*usage) map[string]int {
		all := map[string]int{}
		for name, t := range usages {
			all[name] = t.calls
			numbers += len(t.callers.open) + len(t.destinations.open)
		}
		return all
	}
	open := Open{Setups: a.setups.used, Trunks: counts(a.trunks), Targets: counts(a.targets), Callers: counts(a.callers)}
	open.Numbers = numbers
	return open
}

// Capacity returns CapacityFree if any trunk that this sender may belong to has room, otherwise the reason of the last
// such trunk. It reserves nothing.
func (a *Admission) Capacity(from Sender) Capacity {
	p := a.Peers.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	if why := a.closed(); why != CapacityFree {
		return why
	}
	why, now := CapacityFree, time.Now() // CapacityFree if the sender can't be a trunk
	for _, t := range p.Trunks {
		if !t.couldBe(from) {
			continue
		}
		why = a.room(t, now)
		if why == CapacityFree {
			break
		}
	}
	return why
}

// closed returns the reason for refusing all new calls, or CapacityFree. The caller holds the lock.
func (a *Admission) closed() Capacity {
	switch {
	case a.draining:
		return CapacityDraining
	case a.scarce:
		return CapacityMemory
	default:
		return CapacityFree
	}
}

// room returns the capacity for a new call from a trunk.
func (a *Admission) room(t *Trunk, now time.Time) Capacity {
	switch {
	case !a.hasRoom(t.usage, now):
		return CapacityNone
	case !a.setups.hasRoom(&t.setups):
		return CapacitySetups
	case !a.ports.hasRoom(&t.ports):
		return CapacityPorts
	default:
		return CapacityFree
	}
}

// capOf returns a cap as a number: 0 means no cap.
func capOf(n int) int {
	if n <= 0 {
		return int(^uint(0) >> 1)
	}
	return n
}

// take counts a new call. There must be room for it.
func (t *usage) take(now time.Time) {
	if t.rate != nil {
		t.rate.AllowN(now, 1)
	}
	t.calls++
	t.taken = now
}

// Enter counts a new call from the trunk, as an open call and as a set-up, if there is room. Answered and Leave undo
// that.
func (a *Admission) Enter(t *Trunk) Capacity {
	a.mu.Lock()
	defer a.mu.Unlock()
	if why := a.closed(); why != CapacityFree {
		return why
	}
	now := time.Now()
	if why := a.room(t, now); why != CapacityFree {
		return why
	}
	t.take(now)
	a.setups.add(&t.setups, 1)
	a.ports.add(&t.ports, 1)
	return CapacityFree
}

// Reenter is Enter for a call of the old process that restarts: it gets a place even beyond the limits, unless the
// server drains.
func (a *Admission) Reenter(t *Trunk) Capacity {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining {
		return CapacityDraining
	}
	t.calls++
	a.setups.add(&t.setups, 1)
	a.ports.add(&t.ports, 1)
	return CapacityFree
}

// Answered ends the set-up of a call, which then no longer counts as a set-up.
func (a *Admission) Answered(t *Trunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setups.add(&t.setups, -1)
}

// Leave ends the counting of a call, also as a set-up if it was not answered.
func (a *Admission) Leave(t *Trunk, inSetup bool) {
	a.mu.Lock()
	defer a.unlock()
	t.calls--
	a.ports.add(&t.ports, -1)
	if inSetup {
		a.setups.add(&t.setups, -1)
	}
	a.serve(t.usage, time.Now())
}

// Occupy counts a call to the target, if there is room and its circuit is not open. Vacate undoes that. A called trunk
// also has limits for its numbers. A refused call is not counted. The caller must report the outcome with
// RecordOutcome.
func (a *Admission) Occupy(t *Target, p Parties) (circuit.Try, Limit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.occupyIfRoom(t, p, time.Now())
}

func (a *Admission) occupyIfRoom(t *Target, p Parties, now time.Time) (circuit.Try, Limit) {
	if !a.hasRoom(t.usage, now) || t.waiters > 0 { // waiting calls get the next place
		return circuit.Try{}, LimitCap
	}
	return a.occupy(t, p, now)
}

// Takes reports whether the target would get a call now, without being the trial of a circuit.
func (a *Admission) Takes(t *Target) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hasRoom(t.usage, time.Now()) && t.waiters == 0 && t.SIP.Status().State == circuit.Closed && t.API.Status().
		State == circuit.Closed
}

// Reoccupy is Occupy for a call that the old process has admitted. The old process has counted it for the rates, so it
// does not count for them again.
func (a *Admission) Reoccupy(t *Target, p Parties) (circuit.Try, Limit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if t.calls >= a.part(t.most) {
		return circuit.Try{}, LimitCap
	}
	try, closed := t.SIP.Begin(now)
	if !closed {
		return try, LimitCircuit
	}
	if t.Trunk != nil {
		t.count(p)
	}
	t.calls++
	return try, LimitNone
}

// occupy counts a call to a target that has room for it.
func (a *Admission) occupy(t *Target, p Parties, now time.Time) (circuit.Try, Limit) {
	try, closed := t.SIP.Begin(now)
	if !closed {
		return try, LimitCircuit
	}
	if t.Trunk != nil {
		if over := t.claim(&t.Trunk.Limits, p); over != LimitNone {
			t.SIP.End(now, &try, circuit.Neutral)
			return try, over
		}
	}
	t.take(now)
	return try, LimitNone
}

// Vacate ends the counting of a call to the target. The place goes to the first call that waits for it.
func (a *Admission) Vacate(t *Target, p Parties) {
	a.mu.Lock()
	defer a.unlock()
	a.vacate(t, p, time.Now())
}

func (a *Admission) vacate(t *Target, p Parties, now time.Time) {
	t.calls--
	if t.Trunk != nil {
		t.release(p)
	}
	a.serve(t.usage, now)
}

// Resume counts a call of the old process that continues, even beyond the limits. It counts for its trunk, with inSetup
// also as a set-up, and for its callee unless that is nil.
func (a *Admission) Resume(t *Trunk, p Parties, inSetup bool, callee *Target, calleeParties Parties) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if inSetup {
		a.setups.add(&t.setups, 1)
	}
	t.calls++
	a.ports.add(&t.ports, 1)
	t.count(p)
	if callee == nil {
		return
	}
	callee.calls++
	if callee.Trunk != nil {
		callee.count(calleeParties)
	}
}

// Drain refuses all new calls from now on, and ends the waits of queued calls.
func (a *Admission) Drain() {
	a.mu.Lock()
	defer a.unlock()
	a.draining = true
	a.dismiss(LimitClosed)
}

// IsDraining reports whether all new calls are refused.
func (a *Admission) IsDraining() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}

// Scarce records whether the process's memory is scarce. As long as it is, all new calls are refused.
func (a *Admission) Scarce(is bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scarce = is
}
