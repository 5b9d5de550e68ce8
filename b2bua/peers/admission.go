package peers

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"golang.org/x/time/rate"

	"flowbridge/b2bua/circuit"
	"flowbridge/config"
)

// Admission limits the number and the rate of calls. Its counts outlive reloads. Its lock is held only while counts are
// compared and changed, and while a reload updates the usages.
type Admission struct {
	Peers atomic.Pointer[Snapshot] // the current snapshot
	// CircuitChanged is called when a circuit breaker opens, half-opens or closes. It must not block. It may be nil.
	CircuitChanged atomic.Pointer[func(circuit.Change)]
	// Held returns the place that is held for an INVITE, or nil. It may be nil, and is set before the first call.
	Held func(invite *sip.Request) *Held

	began time.Time

	mu       sync.Mutex // guards the fields below
	draining bool
	scarce   bool              // the process has too little memory for new calls
	setups   pool              // places for calls that are not answered yet
	ports    pool              // places for calls that have RTP ports
	trunks   map[string]*usage // by trunk name
	targets  map[string]*usage // by target name
	callers  map[string]*usage // by target name: calls that targets place
	circuits circuits
	sources  *Rates // limits the rate of new requests for each address
	place    int    // position, from 0, of this node among the nodes that share the limits
	nodes    int    // number of nodes that share the limits; 0 if there is no fleet
	queue    queue
	queues   atomic.Int32 // number of waiting calls
}

// usage counts the live calls of a trunk or target, and holds its limits. It outlives reloads.
type usage struct {
	rate *rate.Limiter
	cps  int // configured limit of calls per second
	most int // configured limit of calls at a time; 0 means none

	registered atomic.Pointer[registered] // nil if we are not registered there
	answers                               // how long it takes to answer; used where routes tell something first

	// guarded by Admission.mu
	calls         int
	taken         time.Time // when the last call was counted
	waiters       int       // number of queued calls that wait for a place here
	setups, ports share     // the places that calls from the trunk take in the pools
	callers       numbers
	destinations  numbers
	placed        lastHour // calls that API requests have placed over the trunk
}

// registered identifies calls from a registrar at which we have registered: their Request-URI has the user of our
// Contact, and they come from the registrar's address.
type registered struct {
	token string
	at    netip.Addr
}

// Registered stores how to identify the calls of a trunk at which we have registered. A zero at means that the
// registration has ended, so that calls come only from the trunk's sources.
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

// usageOf returns the usage with this name, and creates it if necessary. If the configured rate has changed, the rate
// limiter starts afresh.
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

// forget removes the usages whose trunk or target is no longer configured, unless they still have calls.
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

// limiter returns a limiter that allows n events per second, all of which may come at once. It returns nil, which means
// no limit, if n is 0.
func limiter(n int) *rate.Limiter {
	if n <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(n), n)
}

// Capacity is the reason why there is no room for a new call, or CapacityFree if there is.
type Capacity int

// The values of Capacity.
const (
	CapacityFree     Capacity = iota
	CapacityNone              // every trunk that the sender may belong to is at its limit
	CapacityDraining          // the server takes no new calls
	CapacitySetups            // too many calls are being set up
	CapacityPorts             // too many calls have RTP ports
	CapacityOverload          // messages wait too long for the process
	CapacityMemory            // the process has too little memory
)

// Open holds the numbers of live calls.
type Open struct {
	Setups  int // calls that are not answered yet
	Trunks  map[string]int
	Targets map[string]int
	Callers map[string]int // calls placed by targets
	Numbers int            // phone numbers with live calls, counted for each trunk and target
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

// Capacity returns CapacityFree if any trunk that the sender may belong to has room for a call, and otherwise the
// reason of the last such trunk. It reserves nothing.
func (a *Admission) Capacity(from Sender) Capacity {
	p := a.Peers.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	if why := a.closed(); why != CapacityFree {
		return why
	}
	why, now := CapacityFree, time.Now() // also the result if the sender can belong to no trunk
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

// closed returns the reason for refusing all new calls, or CapacityFree. The caller must hold a.mu.
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

// room returns whether a trunk has room for a new call. The caller must hold a.mu.
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

// capOf returns a limit as a number to compare with: the greatest int for 0, which means no limit.
func capOf(n int) int {
	if n <= 0 {
		return int(^uint(0) >> 1)
	}
	return n
}

// take counts a new call. The caller must have checked that there is room for it.
func (t *usage) take(now time.Time) {
	if t.rate != nil {
		t.rate.AllowN(now, 1)
	}
	t.calls++
	t.taken = now
}

// Enter counts a new call from a trunk, as a live call and as a set-up, if there is room. Otherwise it counts nothing
// and returns the reason. Answered ends the set-up, and Leave the call.
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

// Answered ends the set-up of a call, but not the call.
func (a *Admission) Answered(t *Trunk) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setups.add(&t.setups, -1)
}

// Leave stops counting a call. inSetup says that it was not answered, and so still counts as a set-up.
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

// Occupy counts a call to a target if there is room and the target's circuit breaker permits the call. Otherwise it
// counts nothing and returns the limit. For a called trunk, the limits of the numbers count as well. Vacate stops
// counting the call. The caller must report the outcome of the try with RecordOutcome.
func (a *Admission) Occupy(t *Target, p Parties) (circuit.Try, Limit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.occupyIfRoom(t, p, time.Now())
}

func (a *Admission) occupyIfRoom(t *Target, p Parties, now time.Time) (circuit.Try, Limit) {
	if !a.hasRoom(t.usage, now) || t.waiters > 0 { // queued calls get the next place
		return circuit.Try{}, LimitCap
	}
	return a.occupy(t, p, now)
}

// Takes reports whether a call to the target would be counted now, without being a trial of a half-open circuit.
func (a *Admission) Takes(t *Target) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hasRoom(t.usage, time.Now()) && t.waiters == 0 && t.SIP.Status().State == circuit.Closed && t.API.Status().
		State == circuit.Closed
}

// Reoccupy is Occupy for a call that the old process has admitted. It does not count against the rates, because the old
// process has counted it there.
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

// occupy counts a call to a target that has room for it, unless the circuit breaker or a number's limit forbids the
// call.
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

// Vacate stops counting a call to a target. The first queued call that waits for the target gets the place.
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

// Resume counts a call of the old process that continues, even beyond the limits: for its trunk, as a set-up if
// inSetup, and for its callee unless that is nil.
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

// Drain refuses all new calls from now on, including queued calls.
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

// Scarce tells whether the process has too little memory. While it has, all new calls are refused.
func (a *Admission) Scarce(is bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scarce = is
}
