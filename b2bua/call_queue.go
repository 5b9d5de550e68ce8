package b2bua

import (
	"slices"
	"strconv"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// routes[].queue: every target of the route is full, and the caller waits for a place at one of them. The queue is the
// admission's, which gives each place on under its lock.

// queued is a call's wait; nil: it never had to.
type queued struct {
	peers.Waiter

	since time.Time     // zero: it does not wait now
	left  time.Duration // of setup_timeout, which stands still
}

// waits says whether the call waits for a place now.
func (c *Call) waits() bool { return c.queued != nil && !c.queued.since.IsZero() }

// waited is how long the call has waited so far.
func (c *Call) waited() time.Duration {
	if c.waits() {
		return c.record.Queued + time.Since(c.queued.since)
	}
	return c.record.Queued
}

// wait has the caller wait for a place at one of the targets that were full.
func (c *Call) wait() phase {
	again := c.queued != nil || c.record.Queued > 0 // in the process before
	if c.queued == nil {
		c.queued = &queued{Waiter: peers.Waiter{
			ID: c.id, Trunk: c.trunk, Mark: c.peers.Marks[c.peers.IndexOf(c.route)], Parties: peers.PartiesOf(&c.vars),
			Called: func() { c.mailbox.Post(item{event: called{}}) },
		}}
	}
	q, now := c.queued, time.Now()
	if over := c.server.admission.Wait(&q.Waiter, c.plan.Full, c.route.Queue.Limit, again); over != peers.LimitNone {
		return c.unplaced(over)
	}
	q.since, q.left = now, c.times.setupUntil.Sub(now)
	c.times.setupUntil, c.times.queueUntil = time.Time{}, now.Add(c.route.Queue.Timeout-c.waited())
	if n := c.server.admission.Position(&q.Waiter); n > 0 { // else there is a place after all
		c.ladder.Decide("all targets are full: the caller waits for a place, as number %d", n)
		c.log.Info().Str("route", c.vars.Route).Int("position", n).Msg("call queued")
		c.soundWait()
		c.notes.before(true)
	}
	return (*Call).waiting
}

// waiting: the caller waits for a place at a target.
func (c *Call) waiting() phase { return c.setUp("queued", (*Call).waiting) }

// soundWait lets the caller hear that it waits. If the route sends no ringing, the caller gets 182, so that proxies
// keep the INVITE (RFC 3261 sections 13.3.1.1 and 21.1.4).
func (c *Call) soundWait() {
	switch sound := c.route.Ringing == config.RingingSessionProgress || c.route.Queue.Sound != ""; {
	case sound && (c.told.earlyMedia || c.ring(c.plan.Full)):
		c.bridge.Sounds.Ringing = true
		c.bridge.Sounds.Update()
	case c.told.earlyMedia, c.told.ringing:
	case c.route.Ringing == config.RingingNone:
		c.sendRinging(leg.Progress{Code: 182, Reason: message.StatusText(182)}, nil)
	default:
		c.sendRinging(leg.Progress{Code: 180, Reason: message.StatusText(180)}, nil)
	}
}

// called goes on with the place that the caller has, or without one.
func (c *Call) called() phase {
	place, ok := c.server.admission.Place(&c.queued.Waiter)
	if !ok { // it was told of one that it has had already
		return (*Call).waiting
	}
	c.endWait()
	if place.Why != peers.LimitNone {
		return c.unplaced(place.Why)
	}
	c.ladder.Decide("after %d s there is a place at target %s", int(c.waited().Seconds()), place.Target.Dial.Name)
	c.vars.Queue.Seconds = strconv.Itoa(int(c.waited().Seconds()))
	others := slices.DeleteFunc(c.plan.Full, func(t *peers.Target) bool { return t == place.Target })
	c.plan.Targets, c.plan.Full, c.plan.Capped = append([]*peers.Target{place.Target}, others...), nil, false
	c.bridge.Sounds.Update()
	return c.nextAttempt()
}

// timedOut ends a wait that was too long, unless a place has just become free.
func (c *Call) timedOut() phase {
	if p := c.called(); !c.waits() {
		return p
	}
	return c.unplaced(peers.LimitWait)
}

// endWait ends the wait, and lets the set-up go on. The call has the place that it was called for, or finish gives it
// on.
func (c *Call) endWait() {
	if !c.waits() {
		return
	}
	c.record.Queued, c.queued.since = c.waited(), time.Time{}
	c.times.queueUntil, c.times.setupUntil = time.Time{}, time.Now().Add(c.queued.left)
}

// unplaced refuses a caller who gets no place.
func (c *Call) unplaced(why peers.Limit) phase {
	if why == peers.LimitClosed {
		return c.refuse(503, why.Cause(), leg.RetryAfter())
	}
	return c.refuse(why.Status(c.route.Otherwise), why.Cause())
}
