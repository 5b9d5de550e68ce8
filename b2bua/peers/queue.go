package peers

import (
	"slices"
	"time"

	"flowbridge/b2bua/circuit"
)

// Waiter is a call in its route's queue. The call sets the constant fields before it waits for the first time.
type Waiter struct {
	// The fields up to Called are constant.
	// ID is the id of the call. Ids are ordered by time, so the oldest call is served first, even after an upgrade.
	ID      string
	Trunk   *Trunk  // the trunk that placed the call
	Mark    uint64  // the route's entry in Snapshot.Marks
	Parties Parties // the call's numbers, whose limits count
	Called  func()  // called when Place has a result; must not block

	// guarded by Admission.mu
	targets []*Target // targets that the call waits for, in the order of its route
	state   waiting
	place   Place
}

// waiting is the state of a Waiter.
type waiting int

const (
	waitsNot  waiting = iota
	waits             // the call is in the queue
	wasCalled         // Place has a result that was not collected yet
)

// Place is the result of a wait: a place at a target, or the reason that there will be none. Vacate returns the
// place. The caller must report the outcome of Try with RecordOutcome.
type Place struct {
	Target *Target
	Try    circuit.Try
	Why    Limit // LimitNone if the call has got a place
}

// queue holds the waiting calls. It is guarded by Admission.mu.
type queue struct {
	all    []*Waiter // oldest first, by ID
	routes map[uint64]int
	called []func() // functions to call when the lock is released

	alarm   *time.Timer // calls serveQueue when a rate or a circuit breaker may allow calls again; nil until needed
	alarmAt time.Time   // when alarm is due; zero if it is not running
}

// Wait puts a call into its route's queue, for a place at one of these targets in this order of preference. All of
// them are full or out of use. If limit calls already wait, it returns LimitCap, unless again says that the call has
// waited before. A waiting call does not count as a set-up. If Wait returns LimitNone, the call waits, and w.Called
// is called later.
func (a *Admission) Wait(w *Waiter, targets []*Target, limit int, again bool) Limit {
	a.mu.Lock()
	defer a.unlock()
	q := &a.queue
	switch {
	case a.draining:
		return LimitClosed
	case !slices.ContainsFunc(targets, mayFree):
		return LimitCircuit
	case !again && q.routes[w.Mark] >= limit:
		return LimitCap
	}
	w.targets, w.state, w.place = slices.Clone(targets), waits, Place{}
	at := len(q.all)
	for at > 0 && q.all[at-1].ID > w.ID {
		at--
	}
	q.all = slices.Insert(q.all, at, w)
	q.routes[w.Mark]++
	a.queues.Add(1)
	a.setups.add(&w.Trunk.setups, -1)
	for _, t := range targets {
		t.waiters++
	}
	now := time.Now()
	for _, t := range targets { // a place may have become free meanwhile
		a.serve(t.usage, now)
	}
	return LimitNone
}

// mayFree reports whether it makes sense to wait for a full target: not if its circuit breaker is open.
func mayFree(t *Target) bool { return t.SIP.Status().State != circuit.Open }

// Place returns the result of a call's wait, one time only. ok is false if there is none yet.
func (a *Admission) Place(w *Waiter) (p Place, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.state != wasCalled {
		return Place{}, false
	}
	return a.collect(w), true
}

// collect returns the result of a wait, and counts the call as a set-up again. The caller must hold a.mu.
func (a *Admission) collect(w *Waiter) Place {
	w.state = waitsNot
	a.setups.add(&w.Trunk.setups, 1)
	return w.place
}

// StopWaiting ends the wait of a call, if it is waiting. A place that it has got but not collected goes to the next
// call.
func (a *Admission) StopWaiting(w *Waiter) {
	a.mu.Lock()
	defer a.unlock()
	switch w.state {
	case waitsNot:
	case waits:
		a.remove(w)
		a.collect(w)
	case wasCalled:
		if p, now := a.collect(w), time.Now(); p.Why == LimitNone {
			p.Target.SIP.End(now, &p.Try, circuit.Neutral)
			a.vacate(p.Target, w.Parties, now)
		}
	}
}

// Position returns a waiting call's position in its route's queue, from 1. It returns 0 if the call is not waiting.
func (a *Admission) Position(w *Waiter) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.state != waits {
		return 0
	}
	for _, o := range a.queue.all {
		if o.Mark == w.Mark {
			n++
		}
		if o == w {
			break
		}
	}
	return n
}

// Waiting is the state of a route's queue.
type Waiting struct {
	Route string
	Calls int
	Limit int
}

// Waiting returns the state of the queues of all current routes that have one.
func (a *Admission) Waiting() (all []Waiting) {
	p := a.Peers.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range p.Routes {
		if q := p.Routes[i].Queue; q != nil {
			all = append(all, Waiting{Route: p.RouteName(i), Calls: a.queue.routes[p.Marks[i]], Limit: q.Limit})
		}
	}
	return all
}

// serveAll gives all free places to waiting calls. The caller must hold a.mu.
func (a *Admission) serveAll(now time.Time) {
	var all []*usage
	for _, w := range a.queue.all {
		for _, t := range w.targets {
			if !slices.Contains(all, t.usage) {
				all = append(all, t.usage)
			}
		}
	}
	for _, at := range all {
		a.serve(at, now)
	}
}

// serve gives the free places of a target to the calls that wait for it, oldest first. The caller must hold a.mu.
func (a *Admission) serve(at *usage, now time.Time) {
	for at.waiters > 0 {
		w, t := a.queue.firstFor(at)
		if !a.hasRoom(at, now) {
			a.lookAgain(t, now)
			return
		}
		try, why := a.occupy(t, w.Parties, now)
		switch why {
		case LimitNone:
			a.call(w, Place{Target: t, Try: try})
		case LimitCaller, LimitDestination: // a limit of this call's numbers, so the next call may still get the place
			a.dropTarget(w, t, why)
		default:
			a.lookAgain(t, now)
			return
		}
	}
}

// firstFor returns the first call that waits for the target with this usage, and the target as that call's
// configuration has it.
func (q *queue) firstFor(at *usage) (*Waiter, *Target) {
	for _, w := range q.all {
		for _, t := range w.targets {
			if t.usage == at {
				return w, t
			}
		}
	}
	return nil, nil // can't happen, because waiters counts these calls
}

// dropTarget removes a target from those that a call waits for. If no target is left, the wait ends without a place.
func (a *Admission) dropTarget(w *Waiter, t *Target, why Limit) {
	if len(w.targets) == 1 {
		a.call(w, Place{Why: why})
		return
	}
	w.targets = slices.DeleteFunc(w.targets, func(o *Target) bool { return o == t })
	t.waiters--
}

// call ends a wait with a result. w.Called is called when the lock is released.
func (a *Admission) call(w *Waiter, p Place) {
	a.remove(w)
	w.state, w.place = wasCalled, p
	a.queue.called = append(a.queue.called, w.Called)
}

func (a *Admission) remove(w *Waiter) {
	q := &a.queue
	q.all = slices.DeleteFunc(q.all, func(o *Waiter) bool { return o == w })
	if q.routes[w.Mark]--; q.routes[w.Mark] == 0 {
		delete(q.routes, w.Mark)
	}
	for _, t := range w.targets {
		t.waiters--
	}
	w.targets = nil
	if a.queues.Add(-1); len(q.all) == 0 && q.alarm != nil {
		q.alarm.Stop()
		q.alarmAt = time.Time{}
	}
}

// unlock releases the lock, and then tells the calls whose wait has ended.
func (a *Admission) unlock() {
	called := a.queue.called
	a.queue.called = nil
	a.mu.Unlock()
	for _, tell := range called {
		tell()
	}
}

// circuitMoved updates the queue after a circuit breaker has opened or closed. A call whose targets are all out of
// use stops waiting, and its caller is refused.
func (a *Admission) circuitMoved() {
	a.mu.Lock()
	defer a.unlock()
	for _, w := range slices.Clone(a.queue.all) {
		if !slices.ContainsFunc(w.targets, mayFree) {
			a.call(w, Place{Why: LimitCircuit})
		}
	}
	a.serveAll(time.Now())
}

// dismiss ends every wait with this reason. The caller must hold a.mu.
func (a *Admission) dismiss(why Limit) {
	for _, w := range slices.Clone(a.queue.all) {
		a.call(w, Place{Why: why})
	}
}

// These are the shortest and the usual interval between attempts to serve the queue by time.
const (
	soonest   = time.Millisecond
	lookEvery = time.Second // used while one call tries a target after an outage, because its end may not be reported
)

// lookAgain sets the alarm for when a target's rate limit or circuit breaker may allow calls again. All other events
// that make room serve the queue themselves.
func (a *Admission) lookAgain(t *Target, now time.Time) {
	var after time.Duration
	switch s := t.SIP.Status(); {
	case s.State == circuit.Open && now.Before(s.RetryAt):
		after = s.RetryAt.Sub(now)
	case s.State != circuit.Closed:
		after = lookEvery
	case t.rate == nil || t.rate.Limit() <= 0 || t.calls >= a.part(t.most):
		return
	default:
		after = time.Duration((1 - t.rate.TokensAt(now)) / float64(t.rate.Limit()) * float64(time.Second))
	}
	q, at := &a.queue, now.Add(max(after, soonest))
	switch {
	case q.alarm == nil:
		q.alarm = time.AfterFunc(at.Sub(now), a.serveQueue)
	case now.Before(q.alarmAt) && !at.Before(q.alarmAt):
		return
	default:
		q.alarm.Reset(at.Sub(now))
	}
	q.alarmAt = at
}

// serveQueue is called by the alarm. It gives free places to waiting calls.
func (a *Admission) serveQueue() {
	a.mu.Lock()
	defer a.unlock()
	a.queue.alarmAt = time.Time{}
	a.serveAll(time.Now())
}
