package call

import (
	"strconv"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/store/record"
)

// This file implements routes[].queue: all targets of the route are full, and the caller waits for a place at one of
// them. The queue itself is in package peers.

// queue is the state of a call's wait.
type queue struct {
	idle
	waiter  *peers.Waiter // the call's entry in the route's queue; nil if the call never had to wait
	left    time.Duration // rest of setup_timeout at the start of the wait, which stops that timer
	until   time.Time     // deadline of the wait
	seconds string        // how long the call has waited, for templates; empty if it has not
}

// called means that a waiting call has got a place, or that it will get none.
type called struct{}

func (called) isPartEvent() {}

func (q *queue) on(h happening) (next phase, handled bool) {
	if h.event == (expired{cause.QueueTimeout}) {
		return q.timedOut(), true
	}
	handled = h.event == (ofPart{called{}})
	if handled && q.waits() {
		next = q.called()
	}
	return next, handled
}

func (q *queue) deadline() time.Time { return q.until }

func (q *queue) due(time.Time) {
	q.until = time.Time{}
	q.call.mailbox.happened(expired{cause.QueueTimeout})
}

// restore restores the time that the call has waited in the old process, so that the new process counts from there.
func (q *queue) restore(_ *snapshot.Call, r *record.Record) error {
	c := q.call
	c.record.Queued = time.Duration(r.QueuedMS) * time.Millisecond
	if c.record.Queued > 0 {
		q.seconds = strconv.Itoa(int(c.record.Waited().Seconds()))
	}
	return nil
}

func (q *queue) release() {
	if q.waiter != nil {
		q.call.host.Admission.StopWaiting(q.waiter)
	}
}

func (q *queue) show(l *registry.LiveCall) {
	if q.waits() {
		l.Position = q.call.host.Admission.Position(q.waiter)
	}
}

// waits reports whether the call is waiting for a place.
func (q *queue) waits() bool { return !q.call.record.Waits.IsZero() }

// join makes the caller wait for a place at one of the targets that were full. It returns nil if the route has no
// queue, or if no target was full.
func (q *queue) join() phase {
	c := q.call
	if c.route.Queue == nil || !c.attempts.plan.Capped {
		return nil
	}
	again := q.waiter != nil || c.record.Queued > 0 // the call has waited before, in this process or the old one
	if q.waiter == nil {
		q.waiter = &peers.Waiter{
			ID: c.id, Trunk: c.trunk, Mark: c.peers.Marks[c.peers.IndexOf(c.route)], Parties: peers.PartiesOf(&c.vars),
			Called: func() { c.mailbox.Post(item{event: ofPart{called{}}}) },
		}
	}
	now := time.Now()
	if over := c.host.Admission.Wait(q.waiter, c.attempts.plan.Full, c.route.Queue.Limit, again); over != peers.LimitNone {
		return q.unplaced(over)
	}
	c.record.waits(now)
	q.left = c.times.pause(setup, now)
	q.until = now.Add(c.route.Queue.Timeout - c.record.Waited())
	if n := c.host.Admission.Position(q.waiter); n > 0 { // at 0, the call has a place already
		c.bridge.Sounds.Instead = c.route.Queue.Sound
		c.ladder.Decide("all targets are full: the caller waits for a place, as number %d", n)
		c.log.Info().Str("route", c.vars.Route).Int("position", n).Msg("call queued")
		q.sound()
		c.checkpoint.flush(true)
	}
	return (*Call).waiting
}

// waiting is the phase in which the caller waits for a place at a target.
func (c *Call) waiting() phase { return c.setUp("queued", (*Call).waiting) }

// sound lets the caller hear that it waits: by the queue's sound, or by ringing. If the route sends no ringing, the
// caller gets 182, so that proxies don't give up on the INVITE (RFC 3261 sections 13.3.1.1 and 21.1.4).
func (q *queue) sound() {
	c := q.call
	switch sound := c.route.Ringing == config.RingingSessionProgress || c.route.Queue.Sound != ""; {
	case sound && (c.progressSent.earlyMedia || c.ring(c.attempts.plan.Full)):
		c.bridge.Sounds.Ringing = true
	case c.progressSent.earlyMedia, c.progressSent.ringing:
	case c.route.Ringing == config.RingingNone:
		c.sendRinging(leg.Progress{Code: 182, Reason: message.StatusText(182)}, nil)
	default:
		c.sendRinging(leg.Progress{Code: 180, Reason: message.StatusText(180)}, nil)
	}
}

// called continues a waiting call with the place that it got, or refuses the caller if it got none.
func (q *queue) called() phase {
	c := q.call
	place, ok := c.host.Admission.Place(q.waiter)
	if !ok { // an earlier event has brought the place
		return (*Call).waiting
	}
	q.over()
	if place.Why != peers.LimitNone {
		return q.unplaced(place.Why)
	}
	c.ladder.Decide("after %d s there is a place at target %s", int(c.record.Waited().Seconds()), place.Target.Dial.Name)
	q.seconds = strconv.Itoa(int(c.record.Waited().Seconds()))
	c.keepPlace(place.Target, place.Try)
	c.attempts.queued(place.Target)
	return c.nextAttempt()
}

// timedOut refuses a caller that has waited too long, unless the call has just got a place.
func (q *queue) timedOut() phase {
	if p := q.called(); !q.waits() {
		return p
	}
	return q.call.refuse(486, cause.QueueTimeout)
}

// end ends the wait. This must happen before the call leaves the set-up limits, because a waiting call does not count
// against them.
func (q *queue) end() {
	q.over()
	q.release()
}

// over records how long the call has waited, and lets the set-up timer continue.
func (q *queue) over() {
	if c := q.call; q.waits() {
		c.record.waited()
		c.bridge.Sounds.Instead = ""
		q.until = time.Time{}
		c.times.limit(setup, time.Now(), q.left)
	}
}

// unplaced refuses a caller that gets no place, with the status for the limit.
func (q *queue) unplaced(why peers.Limit) phase {
	switch why {
	case peers.LimitCap:
		return q.call.refuse(486, cause.QueueFull)
	case peers.LimitClosed:
		return q.call.refuse(503, why.Cause(), leg.RetryAfter())
	default:
		return q.call.refuse(why.Status(q.call.route.Otherwise), why.Cause())
	}
}
