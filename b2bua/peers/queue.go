package peers

import (
	"slices"
	"time"

	"flowbridge/b2bua/circuit"
)

// Waiter is a call in the queue of its route. The call sets the constant fields before it waits for the first time.
type Waiter struct {
	// constant
	ID      string  // id of the call. Ids are ordered by time, so the oldest call is served first, also after an upgrade.
	Trunk   *Trunk  // the trunk that the call comes from
	Mark    uint64  // mark of its route
	Parties Parties // the numbers of the call, whose limits count
	Called  func()  // called when Place has a result. It must not block.

	// guarded by Admission.mu
	targets []*Target // targets that it waits for, in the order of its route
	state   waiting
	place   Place
}

// waiting is the state of a Waiter.
type waiting int

const (
	waitsNot  waiting = iota
	waits             // in the queue
	wasCalled         // Place has a result
)

// Place is the result of a wait: a place at a target, or the reason that there will be none. Vacate gives the place
// back. The caller must report the outcome of its try with RecordOutcome.
type Place struct {
	Target *Target
	Try    circuit.Try
	Why    Limit // LimitNone if it has the place
}

// queue holds the calls that wait. Admission.mu guards all of it.
type queue struct {
	all    []*Waiter // in the order of arrival
	routes map[uint64]int
	called []func() // functions to call once the lock is free

	alarm   *time.Timer // serves the queue when a rate or a circuit allows calls again; nil until needed
	alarmAt time.Time   // zero if it is off
}

// Wait puts a call into the queue for a place at one of the targets of its route, in this order of preference. All of
// them are full or out of use. If limit calls wait already, it returns LimitCap, unless again says that the call has
// waited before. A waiting call does not count as a set-up. If Wait returns LimitNone, the call waits, and Called is
// called later.
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
	for _, t := range targets { // a place may have become free since the call was refused
		a.serve(t.usage, now)
	}
	return LimitNone
}

// mayFree reports whether waiting for a full target makes sense. It does not if its circuit is open.
func mayFree(t *Target) bool { return t.SIP.Status().State != circuit.Open }

// Place returns the result of a call's wait, once. ok is false if there is none yet.
func (a *Admission) Place(w *Waiter) (p Place, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.state != wasCalled {
		return Place{}, false
	}
	return a.collect(w), true
}

// collect returns the result of a wait, and counts the call as a set-up again.
func (a *Admission) collect(w *Waiter) Place {
	w.state = waitsNot
	a.setups.add(&w.Trunk.setups, 1)
	return w.place
}

// StopWaiting ends the wait of a call, if it waits. A place that Place has not returned yet goes to the next call.
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

// Position returns a waiting call's position in the queue of its route, from 1, or 0 if it does not wait.
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

// Waiting returns the queues of the routes in force.
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

// serveAll gives all free places to the calls that wait for them.
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

// serve gives the free places of a target to the calls that wait for it, the oldest first. The caller holds the lock.
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
		case LimitCaller, LimitDestination: // a trunk's limit for numbers, which does not affect the next call
			a.dropTarget(w, t, why)
		default:
			a.lookAgain(t, now)
			return
		}
	}
}

// firstFor returns the first call that waits for a target with this usage, and the target from that call's
// configuration.
func (q *queue) firstFor(at *usage) (*Waiter, *Target) {
	for _, w := range q.all {
		for _, t := range w.targets {
			if t.usage == at {
				return w, t
			}
		}
	}
	return nil, nil // can't happen: waiters counts them
}

// dropTarget removes a target from a call's list. Without any target left, the wait is over.
func (a *Admission) dropTarget(w *Waiter, t *Target, why Limit) {
	if len(w.targets) == 1 {
		a.call(w, Place{Why: why})
		return
	}
	w.targets = slices.DeleteFunc(w.targets, func(o *Target) bool { return o == t })
	t.waiters--
}

// call ends a wait with a result. The call's Called is called once the lock is free.
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

// unlock releases the lock, and then calls Called of the calls whose wait has ended.
func (a *Admission) unlock() {
	called := a.queue.called
	a.queue.called = nil
	a.mu.Unlock()
	for _, tell := range called {
		tell()
	}
}

// circuitMoved updates the waiting calls after circuits have opened or closed. Calls do not wait for targets that are
// out of use; the caller of a call without another target is refused.
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

// dismiss ends every wait.
func (a *Admission) dismiss(why Limit) {
	for _, w := range slices.Clone(a.queue.all) {
		a.call(w, Place{Why: why})
	}
}

// The intervals of serving the queue by time.
const (
	soonest   = time.Millisecond
	lookEvery = time.Second // while one call tries a target whose circuit was open, and may not report its end
)

// lookAgain sets the alarm for the time at which a target's rate or circuit may allow calls again. Other events that
// make room serve the queue themselves.
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

// serveQueue is called by the alarm, and gives out the places that have become available.
func (a *Admission) serveQueue() {
	a.mu.Lock()
	defer a.unlock()
	a.queue.alarmAt = time.Time{}
	a.serveAll(time.Now())
}
