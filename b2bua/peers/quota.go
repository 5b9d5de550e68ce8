package peers

import (
	"time"

	"golang.org/x/time/rate"
)

// Cap is a limit of the configuration that the nodes of a fleet keep together.
type Cap struct {
	// Callee tells the limits of targets from the limits of trunks.
	Callee bool
	Name   string
	// Rate tells calls per second (max_cps) from open calls (max_calls).
	Rate bool
}

// Demand is what this node uses of a cap, and would use.
type Demand struct {
	Cap
	// Limit is the configured limit.
	Limit int
	// Used is how many calls are open. It is 0 for a rate.
	Used int
	// Asked is how many calls there were since the last Demands, including the calls that got no place.
	Asked int
}

// Quotas is this node's part of the caps.
type Quotas struct {
	// Until is when the parts are no longer this node's own.
	Until time.Time
	// Parts are how many calls, or calls per second, this node may have. A cap that is not there counts as one whose
	// time is over.
	Parts map[Cap]int
	// Nodes is the number of nodes: without a part in force, a node has an equal share of the limit, and at least 1.
	Nodes int
}

// quota is a tally's part of its limits.
type quota struct {
	calls, cps       int
	hasCalls, hasCPS bool
}

// Allot makes this node keep to its part of each cap from now on. Calls that are open stay. Before the first Allot the
// node has the whole of each limit.
func (a *Admission) Allot(q Quotas) {
	a.mu.Lock()
	defer a.unlock()
	now := time.Now()
	a.nodes, a.allotted = max(1, q.Nodes), q.Until
	for callee, tallies := range map[bool]map[string]*tally{false: a.trunks, true: a.targets} {
		for name, t := range tallies {
			t.quota.calls, t.quota.hasCalls = lookUp(q.Parts, Cap{Callee: callee, Name: name})
			t.quota.cps, t.quota.hasCPS = lookUp(q.Parts, Cap{Callee: callee, Name: name, Rate: true})
			a.pace(t, now) // from now on, not from the next call
		}
	}
	a.serveAll(now)
}

func lookUp(parts map[Cap]int, c Cap) (int, bool) { n, ok := parts[c]; return n, ok }

// Demands returns the demand for each cap of the configuration.
func (a *Admission) Demands() (all []Demand) {
	p := a.Peers.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	add := func(callee bool, name string, t *tally, calls int) {
		if calls > 0 {
			all = append(all, Demand{Cap: Cap{Callee: callee, Name: name}, Limit: calls, Used: t.calls, Asked: t.asked})
		}
		if t.cps > 0 {
			all = append(all, Demand{Cap: Cap{Callee: callee, Name: name, Rate: true}, Limit: t.cps, Asked: t.asked})
		}
		t.asked = t.waiters // they ask until they have a place
	}
	for _, t := range p.Trunks {
		if a.trunks[t.Caller.Name] == t.tally { // else it is a target that calls
			add(false, t.Caller.Name, t.tally, t.Caller.MaxCalls)
		}
	}
	for name, t := range p.Targets {
		add(true, name, t.tally, t.Dial.MaxCalls)
	}
	return all
}

// Short has a token when a call found no room within this node's part of a cap.
func (a *Admission) Short() <-chan struct{} { return a.short }

// part returns what this node may have of a limit of calls.
func (a *Admission) part(t *tally, limit int, now time.Time) int {
	switch {
	case a.nodes == 0 || limit <= 0:
		return capOf(limit)
	case t.quota.hasCalls && now.Before(a.allotted):
		return min(t.quota.calls, limit)
	default:
		return max(1, limit/a.nodes)
	}
}

// pace sets the rate of a tally to this node's part of it.
func (a *Admission) pace(t *tally, now time.Time) {
	if t.rate == nil || a.nodes == 0 {
		return
	}
	n := max(1, t.cps/a.nodes)
	if t.quota.hasCPS && now.Before(a.allotted) {
		n = min(t.quota.cps, t.cps)
	}
	if t.rate.Burst() != n { // what has gathered by now stays, up to the burst
		t.rate.SetLimitAt(now, rate.Limit(n))
		t.rate.SetBurstAt(now, n)
	}
}

// fits reports whether this node's part of cap and rate allows one more call. It takes nothing.
func (a *Admission) fits(t *tally, now time.Time) bool {
	a.pace(t, now)
	return t.calls < a.part(t, t.most, now) && (t.rate == nil || t.rate.TokensAt(now) >= 1)
}

// hasRoom is fits for a new call. Without room, the fleet is asked for more soon.
func (a *Admission) hasRoom(t *tally, now time.Time) bool {
	if a.fits(t, now) {
		return true
	}
	if a.nodes > 0 {
		t.asked++
		a.runShort()
	}
	return false
}

// runShort has the fleet asked for more soon.
func (a *Admission) runShort() {
	select {
	case a.short <- struct{}{}:
	default:
	}
}
