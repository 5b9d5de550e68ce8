package call

import (
	"errors"
	"slices"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file is what follows a statement: its receipt, and the agent or the end of the call.

// config returns the tell of the call's route, or nil.
func (t *telling) config() *config.Tell {
	if r := t.call.route; r != nil {
		return r.Tell
	}
	return nil
}

// reroute plans the targets of another route, because the caller does not accept.
func (t *telling) reroute(name string) {
	c := t.call
	if i := slices.IndexFunc(c.peers.Routes, func(r config.Route) bool { return r.Name == name }); i >= 0 {
		c.vacateKept()
		c.takeRoute(i)
		c.bridge.Tell(bridge.Rerouted{})
	}
	targets, share := c.peers.DestinationsFor(c.route, &c.vars)
	c.attempts.follow(&outbound.Plan{Targets: targets, Shared: share > 0, FailoverOn: c.route.FailoverOn})
	c.ladder.Decide("the caller does not accept: route %s takes the call", name)
}

// writeReceipt writes the receipt. The agent waits for it.
func (t *telling) writeReceipt() {
	c, told := t.call, t.told
	done := receiptDone{at: time.Now()}
	if c.host.Receipts == nil {
		c.mailbox.happened(ofPart{done})
		return
	}
	c.host.Calls.Add(1)
	written := make(chan error, 1)
	c.host.Beside(func() { written <- c.host.Receipts.Write(c.id, done.at, told) })
	c.host.Beside(func() {
		defer c.host.Calls.Done()
		limit := time.NewTimer(receiptWithin)
		defer limit.Stop()
		select {
		case done.err = <-written:
		case <-limit.C:
			done.err = errors.New("the disk is slow: it is not written yet")
		}
		c.mailbox.Post(item{event: ofPart{done}})
	})
}

// onReceipt connects the agent, now that the receipt is written or has failed.
func (t *telling) onReceipt(e receiptDone) phase {
	c := t.call
	if t.Stage != snapshot.ToldUnwritten {
		return nil
	}
	if e.err != nil {
		c.log.Error().Err(e.err).Msg("receipt not written")
		c.ladder.Decide("the receipt of the statement is not written: %v", e.err)
	}
	t.setStage(snapshot.ToldAll)
	c.ladder.Decide("the caller was told %s in %d packets", t.Sound, t.told.Packets)
	c.bridge.Saying.End()
	if t.Accepted {
		c.bridge.Tell(bridge.Told{})
	}
	return t.connectAgent()
}

// connectAgent connects the agent if it has answered, and otherwise calls it.
func (t *telling) connectAgent() phase {
	c := t.call
	a := c.attempts.current
	answered := a != nil && a.answer != nil && !a.crypto.Awaits()
	switch {
	case c.whoIs() == ringing && answered:
		return c.bridgeTo(*a.answer)
	case !t.called:
		next := t.callAgent()
		c.checkpoint.flush(true)
		return next
	case c.whoIs() == ringing:
		c.bridge.Tell(bridge.Turned{})
	case answered:
		c.replacements.answered(*a.answer)
	default:
		c.replacements.plugEarly()
	}
	c.checkpoint.flush(true)
	return nil
}

// endCall ends a call whose caller was not told, or does not accept.
func (t *telling) endCall(why cause.Cause) phase {
	c := t.call
	if c.whoIs() != ringing {
		c.hangup(why, record.EndedBySystem)
		return (*Call).linger
	}
	c.attempts.abandon(why, cause.Reasons{})
	return c.refuse(c.route.Otherwise, why)
}

// tooLate handles a caller that could not be told in time.
func (t *telling) tooLate() phase {
	c := t.call
	switch {
	case !t.underway():
	case t.Stage == snapshot.TellsNotTaken:
		c.hangup(c.attempts.last.cause, record.EndedBySystem)
	default:
		t.recordPartly()
		if !t.recordNotTold(errHeld) {
			return t.endCall(cause.NotTold)
		}
		c.bridge.Saying.End()
		return t.connectAgent()
	}
	return nil
}

// sayNotTaken tells the caller that no target takes the call. It returns false if there is nothing to say.
func (t *telling) sayNotTaken() bool {
	c := t.call
	tell := t.config()
	switch {
	case t.Stage == snapshot.ToldNothing, t.Stage == snapshot.ToldMailbox:
		return false
	case tell == nil, tell.NotTaken == "", !c.bridge.Sounds.Has(tell.NotTaken):
		return false
	}
	t.recordPartly()
	c.bridge.Saying.Begin(bridge.Statement{To: media.SideA, Sound: tell.NotTaken, Whole: true})
	t.setStage(snapshot.TellsNotTaken)
	t.limit(tell.NotTaken, 0)
	if !c.bridge.Saying.Speak() {
		return false
	}
	c.ladder.Decide("the caller hears that no target takes the call")
	return true
}

// stopForMachine ends the statement, because a machine has answered the placed call. An agent that has been called is
// connected if connects is true; otherwise its call ends next.
func (t *telling) stopForMachine(connects bool) {
	c := t.call
	if !t.underway() {
		return
	}
	t.recordPartly()
	t.setMailbox()
	c.bridge.Saying.End()
	if connects && c.replacements.underway() {
		t.connectAgent()
	}
}

// skipForMailbox leaves out the statement, because a greeting with a beep has shown that a mailbox has answered the
// placed call. Its record has no told then. Any other machine may be a person who talks at length. Such a person
// must not get the agent untold.
func (t *telling) skipForMailbox() {
	if t.config() != nil && t.Stage == snapshot.ToldNothing {
		t.setMailbox()
		t.call.ladder.Decide("a mailbox has answered: it does not hear what the route tells")
	}
}

// hasInboundCaller reports whether the call came in, so that we answered it for the statement. In a placed call we
// called the customer.
func (t *telling) hasInboundCaller() bool { return t.call.a != nil && t.call.a.Leg.UAS }

// disposition returns the disposition of an answered call. A call that was answered for the statement and never got an
// agent has failed for its caller.
func (t *telling) disposition(why cause.Cause) string {
	switch {
	case t.call.connected != nil || t.leftOut():
		return record.DispositionAnswered
	case why == cause.CallerHangup:
		return record.DispositionCancelled
	}
	return record.DispositionFailed
}

// saysEarly is the phase in which a caller hears the statement in early media, before a target is called.
func (c *Call) saysEarly() phase { return c.setUp("dialing", (*Call).saysEarly) }
