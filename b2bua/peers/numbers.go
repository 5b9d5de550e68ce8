package peers

import (
	"strings"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/config/template"
)

// Parties holds the calling and the called number of a call, in the form that templates use.
type Parties struct{ From, To string }

// Limit is the limit that stops a call or an attempt.
type Limit int

// The values of Limit.
const (
	LimitNone        Limit = iota
	LimitCap               // the trunk's or target's total number or rate of calls
	LimitCircuit           // the circuit breaker is open: the trunk or target has failed
	LimitCaller            // calls of the calling number
	LimitDestination       // calls to the called number
	LimitClosed            // the server takes no new calls
)

// Cause returns the cause to record for a call or an attempt that a limit stops.
func (l Limit) Cause() cause.Cause {
	switch l {
	case LimitCap:
		return cause.TargetCapped
	case LimitCircuit:
		return cause.TargetCircuitOpen
	case LimitCaller:
		return cause.CallerLimited
	case LimitDestination:
		return cause.DestinationLimited
	case LimitClosed:
		return cause.Shutdown
	case LimitNone:
	}
	return cause.None
}

// numbers counts a trunk's calls for each phone number. Its memory is bounded by the live calls.
type numbers struct{ open map[string]int }

// add adds to the count of a number. The map gets a copy of the number, because a substring of an INVITE would keep the
// whole INVITE in memory.
func (n *numbers) add(number string, calls int) {
	if n.open == nil {
		n.open = map[string]int{}
	}
	if calls += n.open[number]; calls <= 0 {
		delete(n.open, number)
		return
	}
	n.open[strings.Clone(number)] = calls
}

// claim counts a call for both parties, or for neither if that exceeds a limit. It also counts if there are no limits,
// so that a reload can add limits.
func (t *usage) claim(l *config.TrunkLimits, p Parties) Limit {
	switch {
	case t.callers.open[p.From] >= capOf(l.PerCallerCalls):
		return LimitCaller
	case t.destinations.open[p.To] >= capOf(l.PerDestinationCalls):
		return LimitDestination
	}
	t.count(p)
	return LimitNone
}

func (t *usage) count(p Parties) {
	t.callers.add(p.From, 1)
	t.destinations.add(p.To, 1)
}

func (t *usage) release(p Parties) {
	t.callers.add(p.From, -1)
	t.destinations.add(p.To, -1)
}

// Claim counts a call from a trunk against the limits of its numbers, unless one is exceeded. Release undoes that.
func (a *Admission) Claim(t *Trunk, p Parties) Limit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.claim(&t.Caller.Limits, p)
}

// Reclaim is Claim for a call that the old process admitted. It ignores limits.
func (a *Admission) Reclaim(t *Trunk, p Parties) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.count(p)
}

// Release undoes Claim.
func (a *Admission) Release(t *Trunk, p Parties) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.release(p)
}

// Status returns the status for a caller whose call exceeds the limit. For the limit of a target it is otherwise. For
// the limit of a number it is not 503, because after a 503 the carrier would hold back all its calls, and not only
// those of one number.
func (l Limit) Status(otherwise int) int {
	switch l {
	case LimitCaller:
		return 403
	case LimitDestination:
		return 486
	case LimitClosed:
		return 503
	case LimitNone, LimitCap, LimitCircuit:
	}
	return otherwise
}

// PartiesOf returns the numbers whose limits a call counts against.
func PartiesOf(vars *template.Vars) Parties {
	return Parties{From: vars.From.Number, To: vars.To.Number}
}
