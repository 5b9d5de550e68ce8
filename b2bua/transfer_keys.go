package b2bua

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/store/record"
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
	c.bridge.Announcement.Begin(tr.current.announce)
	c.bridge.Plug(a.formats, answer)
	return a.crypto.Awaits()
}

// announce has a target that can be heard hear what a call is about, and waits for its decision.
func (tr *transfers) announce() {
	c := tr.call
	tr.current.said.Is(record.TransferAnnouncing, 200, message.StatusText(200))
	c.ladder.Decide("%s has answered, and hears %s", c.attempts.current.target.Dial.Name, tr.current.announce.Sound)
	if !c.bridge.Announcement.Speak() {
		tr.announced(bridge.Announced{})
	}
}

// announced: the target has taken the call, or not. Who does not take it is the last one that is tried.
func (tr *transfers) announced(f bridge.Announced) {
	if t := tr.current; t == nil || tr.call.attempts.current.answer == nil || t.announce.Sound == "" {
		return // it is over
	}
	if tr.current.accepted = f.Accepted; f.Accepted {
		tr.answered(*tr.call.attempts.current.answer)
		return
	}
	tr.declined(cause.TargetRefused)
}

// declined: a target that has heard the announcement does not take the call.
func (tr *transfers) declined(why cause.Cause) {
	tr.current.plan.Targets = nil
	tr.tryFailed(why, nil, 603)
}

// tryFailed: the target of a transfer can't be heard, or has gone before it could be. An agent that has waited goes on
// with the caller, and is offered the session again: what it has said of it meanwhile was not taken.
func (tr *transfers) tryFailed(why cause.Cause, err error, code int) {
	c := tr.call
	t := tr.current
	c.bridge.Announcement.End()
	c.attempts.drop(c.attempts.current, why, err)
	if before := c.bridge.Agreement.Before[media.SideB]; t.waiting != nil {
		c.b, t.waiting, t.held, c.bridge.Agreement.Before[media.SideB] = t.waiting, nil, false, nil
		c.bridge.Plug(before.Terms.SentTo[media.SideB], before.Description)
		c.bridge.Exchanges.Restore(&c.b.Half)
	}
	t.early, t.code, t.reason = nil, code, message.StatusText(code)
	tr.next()
}

// goneInTry: the target of a transfer has gone while its answer waits, or the agent that waits with it.
func (tr *transfers) goneInTry(from *legOnWire, f leg.Gone) {
	c := tr.call
	switch {
	case from == tr.current.waiting:
	case tr.current.said != nil && tr.current.said.State == record.TransferAnnouncing:
		tr.declined(f.Cause)
		return
	default:
		tr.tryFailed(f.Cause, nil, 488)
		return
	}
	tr.current.waiting, tr.current.Left = nil, true
	c.bridge.Sounds.Update()
	c.server.vacate(c.connected)
}
