package peers

import (
	"slices"
	"time"

	"flowbridge/b2bua/circuit"
)

// Waiter is a call in the queue of its route. It is the zero value before it waits for the first time, but for the
// fields that the call sets.
type Waiter struct {
	// constant
	ID      string  // of the call. They are ordered by time: who came first is served first, also after an upgrade.
	Trunk   *Trunk  // that the call comes from
	Mark    uint64  // of its route
	Parties Parties // for whom it takes the place
	Called  func()  // tells the call that Place has something for it. It must not block.

	// guarded by Admission.mu
	targets []*Target // that it waits for, in the order of its route
	state   waiting
	place   Place
}

// waiting is how far a Waiter is.
type waiting int

const (
	waitsNot  waiting = iota
	waits             // it is in the queue
	wasCalled         // Place has something
)

// Place is a place at a target, which Vacate gives back, and whose try is to be ended with Judge; or why there will be
// none.
type Place struct {
	Target *Target
	Try    circuit.Try
	Why    Limit // LimitNone: it has the place
}

// queue has the calls that wait. All of it is guarded by Admission.mu.
type queue struct {
	all    []*Waiter // in the order of arrival
	routes map[uint64]int
	called []func() // of the callers that were called, until the lock is free

	alarm   *time.Timer // serves the queue when time alone makes room; nil: it has never been needed
	alarmAt time.Time   // zero: it is off
}

// Wait has a call wait for a place at one of the targets of its route, all of which are full or out of use, in this
// order. A call that finds as many as limit waiting is not taken, unless it has waited before: LimitCap. While it waits
// it does not count as a set-up. LimitNone: it waits, and Called is told.
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
	for _, t := range targets { // a place may have become free since the call was refused it
		a.serve(t.usage, now)
	}
	return LimitNone
}

// mayFree reports whether a full target is one to wait for: it is not out of use.
func mayFree(t *Target) bool { return t.SIP.Status().State != circuit.Open }

// Place gives what a waiting call was called for, once; ok is false if it was not.
func (a *Admission) Place(w *Waiter) (p Place, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.state != wasCalled {
		return Place{}, false
	}
	return a.collect(w), true
}

// collect has the call be one in set-up again.
func (a *Admission) collect(w *Waiter) Place {
	w.state = waitsNot
	a.setups.add(&w.Trunk.setups, 1)
	return w.place
}

// StopWaiting ends the wait of a call, whether or not it waits. A place that Place has not given yet goes to the next
// one.
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

// Position is a waiting call's place in the queue of its route, from 1. 0: it does not wait.
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

// Waiting is how many calls wait in the queue of a route.
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

// serveAll gives every place that there is to those who wait for it.
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

// serve gives the places of a target to those who wait for it, the first ones first. The lock is held.
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
		case LimitCaller, LimitDestination: // of a trunk: the next one need not wait for that
			a.dropTarget(w, t, why)
		default:
			a.lookAgain(t, now)
			return
		}
	}
}

// firstFor returns the first call that waits for a target with this usage, and the target as that call's configuration
// has it.
func (q *queue) firstFor(at *usage) (*Waiter, *Target) {
	for _, w := range q.all {
		for _, t := range w.targets {
			if t.usage == at {
				return w, t
			}
		}
	}
	return nil, nil // never: waiters counts them
}

// dropTarget has a call wait for one target less. With the last one its wait is over.
func (a *Admission) dropTarget(w *Waiter, t *Target, why Limit) {
	if len(w.targets) == 1 {
		a.call(w, Place{Why: why})
		return
	}
	w.targets = slices.DeleteFunc(w.targets, func(o *Target) bool { return o == t })
	t.waiters--
}

// call ends a wait. The call is told when the lock is free.
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

// unlock frees the lock, and then tells the calls that were called.
func (a *Admission) unlock() {
	called := a.queue.called
	a.queue.called = nil
	a.mu.Unlock()
	for _, tell := range called {
		tell()
	}
}

// circuitMoved has the circuits that have opened or closed count for waiting calls. No call waits for a target out of
// use: the caller is refused then, as a new one is.
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

// The times of looking again.
const (
	soonest   = time.Millisecond
	lookEvery = time.Second // while one call tries a target whose circuit was open, and may say nothing
)

// lookAgain sets the alarm for when time alone may make room at a target. What else does so serves the queue itself.
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

// serveQueue gives the places that time has made.
func (a *Admission) serveQueue() {
	a.mu.Lock()
	defer a.unlock()
	a.queue.alarmAt = time.Time{}
	a.serveAll(time.Now())
}
