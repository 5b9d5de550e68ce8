package peers

import (
	"strings"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/config/template"
)

// Parties holds the calling and the called number of a call, in the form that templates use.
type Parties struct{ From, To string }

// Limit is the limit that a call, or an attempt, exceeds.
type Limit int

// The limits.
const (
	LimitNone        Limit = iota
	LimitCap               // limit of the target or trunk as a whole
	LimitCircuit           // the target or trunk is out of use, because it has failed
	LimitCaller            // limit of the calling number
	LimitDestination       // limit of the called number
	LimitClosed            // no new calls are taken
)

// Cause returns the cause of a call, or an attempt, that exceeds a limit.
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

// numbers counts the calls of a trunk by number. Its memory is bounded by the open calls.
type numbers struct{ open map[string]int }

// add counts calls of the number. The map has a copy of the number: a substring of an INVITE would keep all of the
// INVITE in memory.
func (n *numbers) add(number string, calls int) {
	if n.open == nil {
		n.open = map[string]int{}
	}
	number = strings.Clone(number)
	n.open[number] += calls
	if n.open[number] <= 0 {
		delete(n.open, number)
	}
}

// claim counts a call for both parties, or for neither if it exceeds a limit. It also
// counts if there are no limits, so that a reload can add them.
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

// Claim counts a call from the trunk for the limits of its numbers. Release undoes it.
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

// Status returns the status for a caller whose call exceeds the limit. For the limit of a target it returns otherwise.
// For the limit of a number it is not 503, because the carrier would hold back all its calls, and not only the calls of
// one number.
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

// PartiesOf returns the numbers whose limits a call counts for.
func PartiesOf(vars *template.Vars) Parties {
	return Parties{From: vars.From.Number, To: vars.To.Number}
}
