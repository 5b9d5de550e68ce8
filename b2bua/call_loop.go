package b2bua

import (
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/store"
)

// The loop of a call's goroutine: what is posted, and the deadlines that come, are
// put to the legs, whose facts the phases then handle.

// next waits for what happens next and concerns the call.
func (c *Call) next() happening {
	for {
		h, ok := c.mailbox.next()
		switch {
		case !ok:
			c.wait()
		case h.from == nil, h.from == c.a, h.from == c.b, c.attempts.current != nil && h.from == c.attempts.current.line:
			return h
		default: // of a leg that was given up
		}
	}
}

// wait handles one posted item, or the deadlines that have come.
func (c *Call) wait() {
	if c.nextDue() {
		return
	}
	it, ok, overflow := c.mailbox.take()
	if overflow {
		c.mailbox.happened(Killed{Cause: cause.Overflow, By: store.EndedBySystem})
	}
	if ok {
		c.take(it)
		return
	}
	if !overflow && c.await() {
		c.mailbox.happened(Killed{Cause: cause.Shutdown, By: store.EndedBySystem})
	}
}

// await returns when something was posted or a deadline has come, which it
// handles, or when the server stops.
func (c *Call) await() (stopping bool) {
	c.setTimer()
	select {
	case <-c.mailbox.wake:
	case <-c.mailbox.timer.C:
		c.onTimer(time.Now())
	case <-c.server.ctx.Done():
		return true
	}
	return false
}

// take handles one item that was posted.
func (c *Call) take(it item) {
	switch {
	case it.ask != nil:
		it.ask <- c.snapshot()
	case it.order != nil:
		c.carryOut(it.order)
	case it.line != nil:
		c.input(it.line, it.in)
	case it.event != nil:
		c.mailbox.happened(it.event)
	}
}

// input gives a leg what was posted for it, its peer's requests in their order.
func (c *Call) input(l *legOnWire, in leg.Input) {
	if cancel, ok := in.(leg.CancelIn); ok && l.sequence.Holds(cancel.Seq) { // nothing that is cancelled may come later
		c.mailbox.queue(l, l.sequence.Flush())
		c.mailbox.due = append(c.mailbox.due, item{line: l, in: in})
		return
	}
	req, ok := in.(leg.RequestIn)
	if !ok || l.leg.Done() { // then nothing is waited for: nobody would look at what is held
		c.step(l, in)
		return
	}
	c.noteMasked(l, req.Req)
	c.mailbox.queue(l, l.sequence.Take(time.Now(), req))
}

// nextDue steps a leg by the next request that has its turn, and says whether
// there was one. What the call makes of each comes before the next.
func (c *Call) nextDue() bool {
	it, ok := c.mailbox.nextDue()
	if !ok {
		return false
	}
	if in, ok := it.in.(leg.RequestIn); ok {
		c.noteSource(it.line, in)
	}
	c.step(it.line, it.in)
	return true
}

// step gives a leg an input, performs what it wants and keeps what it tells.
func (c *Call) step(l *legOnWire, in leg.Input) {
	facts, effects := l.leg.Step(time.Now(), in)
	c.noteRefusals(l, effects)
	l.wire.Perform(effects)
	for _, f := range facts {
		c.mailbox.told(l, f)
	}
	if l.leg.Done() {
		for _, in := range l.sequence.Flush() {
			_, effects = l.leg.Step(time.Now(), in)
			l.wire.Perform(effects)
		}
		c.drop(l)
	}
}

// drop lets a leg go that owes nothing any more.
func (c *Call) drop(l *legOnWire) {
	l.wire.Close()
	c.server.registry.removeLeg(l)
	c.legs = slices.DeleteFunc(c.legs, func(o *legOnWire) bool { return o == l })
}

// noteRefusals says what a peer asks within its dialog and does not get.
func (c *Call) noteRefusals(l *legOnWire, effects []leg.Effect) {
	for _, e := range effects {
		r, ok := e.(leg.SendResponse)
		if !ok || r.Res.StatusCode < 400 || (l.leg.UAS && r.Method == sip.INVITE && r.Seq == l.leg.InviteSeq) {
			continue
		}
		c.peerLog.Info().Stringer("side", c.side(l)).Str("method", string(r.Method)).Int("code", r.Res.StatusCode).
			Str("reason", r.Res.Reason).Msg("request refused")
	}
}

// noteSource says that a request within a dialog came from another address than
// those before it: it is known by its tags, wherever it comes from.
func (c *Call) noteSource(l *legOnWire, in leg.RequestIn) {
	if was := l.leg.Dialog().Source.Addr(); was.IsValid() && in.Source.IsValid() && was != in.Source.Addr() {
		c.peerLog.Info().Stringer("side", c.side(l)).Str("method", string(in.Req.Method)).Stringer("src", in.Source).
			Stringer("before", l.leg.Dialog().Source).Msg("request from another address")
	}
}

// setTimer sets the one timer to the earliest deadline of the call and its
// legs.
func (c *Call) setTimer() {
	first := leg.Earliest(c.times.setupUntil, c.times.durationUntil, c.agreement.exchangeDeadline(), c.recordings.beepAt)
	for _, l := range c.legs {
		first = leg.Earliest(first, l.leg.Deadline(), l.sequence.Until)
	}
	if first.IsZero() {
		c.mailbox.timer.Stop()
		return
	}
	c.mailbox.timer.Reset(time.Until(first))
}

// onTimer does what the deadlines are for that have come.
func (c *Call) onTimer(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if due(c.times.setupUntil) {
		c.times.setupUntil = time.Time{}
		c.mailbox.happened(Expired{Cause: cause.SetupTimeout})
	}
	if due(c.times.durationUntil) {
		c.times.durationUntil = time.Time{}
		c.mailbox.happened(Expired{Cause: cause.MaxDuration})
	}
	if due(c.recordings.beepAt) {
		c.beep(now)
	}
	if due(c.agreement.exchangeDeadline()) {
		c.exchangeExpired()
	}
	for _, l := range slices.Clone(c.legs) {
		if due(l.sequence.Until) {
			c.mailbox.queue(l, l.sequence.Flush())
		}
		if due(l.leg.Deadline()) {
			c.step(l, leg.DeadlineReached{})
		}
	}
}

// linger sees the legs through what they owe after the call is over: the
// answer to a BYE, the end of a cancelled INVITE, a 200 that comes late.
func (c *Call) linger() {
	for len(c.legs) > 0 {
		c.mailbox.pending = nil
		if c.nextDue() {
			continue
		}
		if it, ok, _ := c.mailbox.take(); ok {
			c.take(it)
			continue
		}
		if c.await() {
			return
		}
	}
}

// leave refuses what is posted from now on.
func (c *Call) leave() {
	for _, it := range c.mailbox.close() {
		c.safely(func() { c.take(it) }) // questions, and requests that want an answer
	}
	for len(c.mailbox.due) > 0 {
		c.safely(func() { c.nextDue() })
	}
	for _, l := range slices.Clone(c.legs) {
		for _, in := range l.sequence.Flush() {
			c.safely(func() { c.step(l, in) })
		}
		c.drop(l)
	}
	c.media.secured = [2]secured{}
	c.stopRecording()
	c.recordings.tape.drop()
	c.agreement = agreement{}
	c.invite, c.vars.HeaderFunc = nil, nil // not needed while the record waits to be written
}
