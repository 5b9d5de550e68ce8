package call

import (
	"slices"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/store/record"
)

// This file is the loop of a call's turn: it passes posted items and deadlines to the legs, and the
// facts that the legs return to the phases.

// turn is the state of the call's loop (run).
type turn struct {
	now    phase  // the phase that the next turn continues; nil if the call is over
	phase  string // name of the phase
	idle   bool   // nothing is left to handle, so the turn ends
	broken bool   // a turn of the call has panicked
}

// enter sets the name of the call's phase.
func (t *turn) enter(name string) { t.phase = name }

// run runs one turn of the call: it continues the call's phase until nothing is left to handle, or
// the call is over.
func (c *Call) run() {
	turns := c.host.Stack.Turns()
	turns.Enter()
	defer turns.Leave()
	for c.now != nil {
		if c.runPhases() {
			return // from here on, another goroutine may run the call
		}
	}
	c.safely(c.leave)
	c.host.Calls.Done()
}

// runPhases runs phases until nothing is left to handle, and returns true. It returns false if the
// call is over, or a phase has panicked.
func (c *Call) runPhases() (rests bool) {
	defer c.recovered()
	for c.now != nil {
		c.idle = false
		c.now = c.now(c)
		c.bridge.Tell(bridge.Turned{})
		c.checkpoint.release()
		if c.idle && c.now != nil && c.mailbox.Rest(c.host.Context, c.deadline()) {
			return true
		}
	}
	return false
}

// next returns the next fact or event for the call. If there is none, it returns false; the phase
// must then return itself, so that the call waits in it.
func (c *Call) next() (h happening, ok bool) {
	for {
		h, ok := c.mailbox.pending.Pop()
		switch {
		case !ok:
			if !c.handle() {
				c.idle = true
				return h, false
			}
		case h.from == nil, h.from == c.a, h.from == c.b, c.replacements.isLine(h.from), c.attempts.current != nil &&
			h.from == c.attempts.current.line:
			return h, true
		default: // a fact of a leg that was given up: ignore it
		}
	}
}

// handle handles one posted item, the deadlines that have passed, or the server's stop, and reports
// whether there was any.
func (c *Call) handle() bool {
	if c.nextDue() {
		return true
	}
	it, ok, overflow := c.mailbox.Take()
	if overflow {
		c.mailbox.happened(killed{Cause: cause.Overflow, By: record.EndedBySystem})
	}
	if ok {
		c.take(it)
	}
	if ok || overflow {
		return true
	}
	now := time.Now()
	if first := c.deadline(); !first.IsZero() && !now.Before(first) {
		c.onTimer(now)
		return true
	}
	if !c.finished && c.host.Context.Err() != nil {
		c.mailbox.happened(killed{Cause: cause.Shutdown, By: record.EndedBySystem})
		return true
	}
	return false
}

// take handles one posted item.
func (c *Call) take(it item) {
	switch {
	case it.ask != nil:
		it.ask <- c.snapshot()
	case it.kept:
		c.checkpoint.replicated()
	case it.order != nil:
		c.carryOut(it.order)
	case it.line != nil:
		c.input(it.line, it.in)
	case it.event != nil:
		c.mailbox.happened(it.event)
	}
}

// input passes an input that was posted for a leg to the leg. Requests of the peer wait there until
// they are in CSeq order.
func (c *Call) input(l *LegOnWire, in leg.Input) {
	if cancel, ok := in.(leg.CancelIn); ok && l.sequence.Holds(cancel.Seq) { // the leg has not got the INVITE yet
		c.mailbox.queue(l, l.sequence.Flush())
		c.mailbox.due.Push(item{line: l, in: in})
		return
	}
	req, ok := in.(leg.RequestIn)
	if !ok || l.Leg.Done() { // a leg that is done would never release a request that waits for its order
		c.step(l, in)
		return
	}
	c.bridge.Came(&l.Half, req.Req)
	if l.sequence.Take(time.Now(), req) {
		c.mailbox.due.Push(item{line: l, in: in})
		c.mailbox.queue(l, l.sequence.Due())
	}
}

// nextDue passes the next request in CSeq order to its leg, and reports whether there was one. The
// call handles the facts of each request before the next request.
func (c *Call) nextDue() bool {
	it, ok := c.mailbox.due.Pop()
	if !ok {
		return false
	}
	if in, ok := it.in.(leg.RequestIn); ok {
		c.bridge.LogSource(&it.line.Half, in)
		c.bridge.Media.Confirm(&it.line.Half, in.Source.Addr())
	}
	c.step(it.line, it.in)
	return true
}

// step passes an input to a leg, performs the leg's effects and queues its facts.
func (c *Call) step(l *LegOnWire, in leg.Input) {
	untyped := l.Leg.Untyped
	facts, effects := l.Leg.Step(time.Now(), in)
	if l.Leg.Untyped && !untyped {
		c.ladder.Decide("side %v (a: caller, b: target) answers without Content-Type: the body begins with v=0 and counts as application/sdp", l.Side)
	}
	c.bridge.LogRefusals(&l.Half, effects)
	c.checkpoint.handle(l, facts, effects)
	for _, f := range facts {
		if _, rings := f.(leg.Progress); rings { // a new process can then end the target's early dialog
			c.checkpoint.flushSoon()
		}
		c.mailbox.pending.Push(happening{from: l, fact: c.withGatewaysWord(l, f)})
	}
	l.Leg.Handled()
	if l.Leg.Done() {
		for _, in := range l.sequence.Flush() {
			_, effects = l.Leg.Step(time.Now(), in)
			l.wire.Perform(effects)
		}
		if c.drop(l); c.checkpoint.outstandingSaved { // the journal still has this leg
			c.checkpoint.saveOutstanding(c.checkpoint.writeOutstanding)
		}
	}
}

// drop removes a leg from the call and from the server.
func (c *Call) drop(l *LegOnWire) {
	l.wire.Close()
	c.host.Registry.RemoveLeg(l, l.Leg.AnsweredBye)
	c.remove(l)
}

// deadline returns the earliest deadline of the call and its legs, or zero if there is
// none.
func (c *Call) deadline() time.Time {
	first := leg.Earliest(c.times.deadline(), c.bridge.Deadline(), c.asking.at)
	for _, p := range c.all() {
		first = leg.Earliest(first, p.deadline())
	}
	for _, l := range c.legs {
		first = leg.Earliest(first, l.Leg.Deadline(), l.sequence.Until)
	}
	return first
}

// onTimer handles the deadlines that have passed.
func (c *Call) onTimer(now time.Time) {
	for _, which := range c.times.passed(now) {
		c.mailbox.happened(expired{which.cause()})
	}
	c.bridge.OnTimer(now)
	for _, p := range c.all() {
		if isDue(p.deadline(), now) {
			p.due(now)
		}
	}
	if isDue(c.asking.at, now) {
		c.asking.due(c)
	}
	for _, l := range slices.Clone(c.legs) {
		if isDue(l.sequence.Until, now) {
			c.mailbox.queue(l, l.sequence.Flush())
		}
		if isDue(l.Leg.Deadline(), now) {
			c.step(l, leg.DeadlineReached{})
		}
	}
}

// linger is the phase in which the call is over and its legs finish: they answer a BYE, wait until
// a cancelled INVITE has its final response, or handle a late 200.
func (c *Call) linger() phase {
	for len(c.legs) > 0 && c.host.Context.Err() == nil {
		if _, ok := c.next(); !ok && len(c.legs) > 0 {
			return (*Call).linger
		}
	}
	if len(c.legs) == 0 {
		c.checkpoint.clearOutstanding()
	}
	return nil
}

// leave closes the inbox and handles the items that are left in it.
func (c *Call) leave() {
	c.checkpoint.replicated()
	for _, it := range c.mailbox.Close() {
		c.safely(func() { c.take(it) }) // the sender of a question or request needs an answer
	}
	for c.mailbox.due.Len() > 0 {
		c.safely(func() { c.nextDue() })
	}
	for _, l := range slices.Clone(c.legs) {
		for _, in := range l.sequence.Flush() {
			c.safely(func() { c.step(l, in) })
		}
		c.drop(l)
	}
	c.bridge.Forget()
	c.ladder.Close()
	// The record may wait to be written; it does not need these.
	c.checkpoint.forgetInvite()
	c.forgetOrigin()
}

// Rouse gives a waiting call a turn, so that it sees that the server stops.
func (c *Call) Rouse() { c.mailbox.Rouse() }

// Underway reports whether the call has a turn now. step changes whenever the turn makes progress.
func (c *Call) Underway() (step uint64, is bool) { return c.mailbox.Underway() }

// start starts a call that was restored or placed, in this phase. live is false if the call only has to end its legs.
func (c *Call) start(first phase, live bool) {
	c.now = first
	c.host.Registry.Resume(c.id, c, c.legs, live)
	c.host.Calls.Add(1)
	c.mailbox.Begin()
}

// recovered ends the call, but not the process, when one of the call's turns panics. The caller gets 500 or BYE,
// the target gets CANCEL or BYE, and the record names the cause. Steps that panic again are skipped.
func (c *Call) recovered() {
	v := recover()
	if v == nil {
		return
	}
	c.host.Panicked(c.log.Error(), "call", v)
	if !c.finished {
		c.safely(func() { c.end(cause.InternalError, record.EndedBySystem, 500, 0) })
		c.safely(func() { c.hangupAll(cause.InternalError) })
	}
	if !c.finished {
		c.safely(c.finish)
	}
	c.now = (*Call).linger
	if c.broken {
		c.now = nil
	}
	c.broken = true
}

// safely runs do, and logs a panic in it instead of passing it on, so that later steps still run.
func (c *Call) safely(do func()) {
	defer func() {
		if v := recover(); v != nil {
			c.host.Panicked(c.log.Error(), "call", v)
		}
	}()
	do()
}
