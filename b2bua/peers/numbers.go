package peers

import (
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
)

// Parties are the calling and the called number of a call, as templates see them.
type Parties struct{ From, To string }

// Limit is the limit that a call, or an attempt, is over.
type Limit int

// The limits.
const (
	LimitNone        Limit = iota
	LimitCap               // of the target or trunk as a whole
	LimitCircuit           // it is out of use, because it has failed
	LimitCaller            // of the calling number
	LimitDestination       // of the called number
	LimitQueue             // of the route's queue
	LimitWait              // of the time in it
	LimitClosed            // no new call is taken
)

// Cause is the cause of a call, or an attempt, that is over a limit.
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
	case LimitQueue:
		return cause.QueueFull
	case LimitWait:
		return cause.QueueTimeout
	case LimitClosed:
		return cause.Shutdown
	case LimitNone:
	}
	return cause.None
}

// numbers counts the calls of a trunk by number. Its memory is bounded by the open calls,
// and a rate's is fixed.
type numbers struct {
	open  map[string]int
	rates *Rates // nil: there was no limit yet
}

// allows reports whether one more call of the number is within the limits. It takes
// nothing. 0: no limit.
func (n *numbers) allows(number string, calls, cps int, now time.Time) bool {
	return n.open[number] < capOf(calls) && (n.rates == nil || n.rates.allows([]byte(number), cps, now))
}

// add counts a call of the number that the limits allow.
func (n *numbers) add(number string, cps int, now time.Time) {
	if n.open == nil {
		n.open = map[string]int{}
	}
	n.open[number]++
	if cps > 0 && n.rates == nil {
		n.rates = NewRates()
	}
	if n.rates != nil {
		n.rates.Allow([]byte(number), cps, now)
	}
}

func (n *numbers) remove(number string) {
	if n.open[number]--; n.open[number] <= 0 {
		delete(n.open, number)
	}
}

// claim counts a call of these parties, unless it is over a limit: then it counts for
// neither of them. It counts without limits, too, so that a reload can bring them.
func (t *tally) claim(l *config.TrunkLimits, p Parties, now time.Time) Limit {
	switch {
	case !t.callers.allows(p.From, l.PerCallerCalls, l.PerCallerCPS, now):
		return LimitCaller
	case !t.destinations.allows(p.To, l.PerDestinationCalls, l.PerDestinationCPS, now):
		return LimitDestination
	}
	t.count(l, p, now)
	return LimitNone
}

func (t *tally) count(l *config.TrunkLimits, p Parties, now time.Time) {
	t.callers.add(p.From, l.PerCallerCPS, now)
	t.destinations.add(p.To, l.PerDestinationCPS, now)
}

// recount is count for a call of the process before, which began long ago: its rates don't matter.
func (t *tally) recount(p Parties) { t.count(&config.TrunkLimits{}, p, time.Time{}) }

func (t *tally) release(p Parties) {
	t.callers.remove(p.From)
	t.destinations.remove(p.To)
}

// Claim counts a call from the trunk for the limits of its numbers. Release gives it
// back.
func (a *Admission) Claim(t *Trunk, p Parties) Limit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.claim(&t.Caller.Limits, p, time.Now())
}

// Reclaim is Claim for a call that the process before has let in, whatever the limits.
func (a *Admission) Reclaim(t *Trunk, p Parties) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.recount(p)
}

// Release gives back what Claim took.
func (a *Admission) Release(t *Trunk, p Parties) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.release(p)
}
