package b2bua

import (
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// The target of a transfer may have to agree on its keys before it can be heard. It is tried out first.

// drop ends an attempt whose target may have answered.
func (all *attempts) drop(a *attempt, why cause.Cause, err error) {
	all.call.step(a.line, leg.Abandon{Why: why})
	all.call.step(a.line, leg.Hangup{Why: why})
	all.failed(attemptEnd{code: a.status(), cause: why, err: err})
}

// tryOut has a transfer's target agree on its keys before it takes the agent's place: a failure is the next target's
// turn. An agent that is still there waits until then, without media. False: the keys are there.
func (tr *transfers) tryOut(f leg.Answered, answer *sdp.Description) (waits bool) {
	c := tr.call
	a := c.attempts.current
	a.answer = &f
	if agent := c.b; agent != nil {
		c.bridge.Exchanges.Interrupt(&agent.Half)
		c.bridge.Relays.Drop(&agent.Half)
		c.bridge.Agreement.KeepBefore(media.SideB, false)
		tr.current.held, tr.current.waiting, c.b = c.bridge.Agreement.Description[media.SideB].Held(), agent, nil
	}
	c.bridge.Agreement.SentTo[media.SideB] = a.formats
	c.bridge.Media.SetPeer(media.SideB, answer)
	return a.crypto.Awaits()
}

// tryFailed: the target of a transfer can't be heard, or has gone before it could be. An agent that has waited goes on
// with the caller, and is offered the session again: what it has said of it meanwhile was not taken.
func (tr *transfers) tryFailed(why cause.Cause, err error) {
	c := tr.call
	t := tr.current
	c.attempts.drop(c.attempts.current, why, err)
	if before := c.bridge.Agreement.Before[media.SideB]; t.waiting != nil {
		c.b, t.waiting, t.held, c.bridge.Agreement.Before[media.SideB] = t.waiting, nil, false, nil
		tr.plugBack(before.Description, before.Terms.SentTo[media.SideB])
		c.bridge.Exchanges.Restore(&c.b.Half)
	}
	t.early, t.code, t.reason = nil, 488, message.StatusText(488)
	tr.next()
}

// plugBack gives side B back to the agent that has waited, as it was before.
func (tr *transfers) plugBack(d *sdp.Description, sentTo []sdp.Format) {
	tr.call.bridge.Agreement.SentTo[media.SideB] = sentTo
	tr.call.bridge.Media.SetPeer(media.SideB, d)
}

// goneInTry: the target of a transfer has gone while its answer waits, or the agent that waits with it.
func (tr *transfers) goneInTry(from *legOnWire, f leg.Gone) {
	c := tr.call
	if from != tr.current.waiting {
		tr.tryFailed(f.Cause, nil)
		return
	}
	tr.current.waiting, tr.current.left = nil, true
	c.bridge.Sounds.Update()
	c.server.vacate(c.connected)
}
