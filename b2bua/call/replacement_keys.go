package call

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// This file handles a called party that has to agree on its keys before it can be heard, or that hears an announcement
// first. Until then the party is on trial.

// drop ends an attempt with CANCEL or BYE, and records it as failed.
func (all *attempts) drop(a *attempt, why cause.Cause, err error) {
	all.call.step(a.line, leg.Abandon{Why: why})
	all.call.step(a.line, leg.Hangup{Why: why})
	all.failed(attemptEnd{code: a.status(), cause: why, err: err})
}

// announces reports whether the called party still has to hear the announcement.
func (rs *replacements) announces() bool {
	return rs.current.announce.Sound != "" && !rs.current.accepted
}

// isTried reports whether a party with this answer has to be on trial first.
func (rs *replacements) isTried(answer *sdp.Description) bool {
	return (rs.announces() || rs.current.why.holds() || answer.OverDTLS()) && rs.call.attempts.current.answer == nil
}

// waits puts the called party on trial for its keys or for the announcement. It returns false if the party can get the
// caller now.
func (rs *replacements) waits(f leg.Answered, answer *sdp.Description) bool {
	warm := rs.announces()
	held := rs.current.why.holds()
	if rs.isTried(answer) && rs.tryOut(f, answer) {
		return true
	}
	if warm {
		rs.playAnnouncement()
	}
	return warm || held
}

// tryOut lets the called party agree on its keys before it replaces the agent. If that fails, the next target is tried.
// Until then, the agent waits without media if it is still there. tryOut returns false if the party's keys are already
// agreed on.
func (rs *replacements) tryOut(f leg.Answered, answer *sdp.Description) (waits bool) {
	c := rs.call
	a := c.attempts.current
	a.answer = &f
	if agent := c.b; agent != nil {
		c.bridge.Tell(bridge.Left{Leg: &agent.Half})
		c.bridge.Agreement.KeepBefore(media.SideB, false)
		rs.current.held, rs.current.waiting = c.bridge.Agreement.Description[media.SideB].Held(), c.lose()
	}
	if rs.announces() {
		c.bridge.Saying.Begin(rs.current.announce.Statement())
	} else if rs.current.why.holds() {
		c.bridge.Saying.RestartHoldBack()
	}
	c.bridge.Plug(a.formats, answer)
	return a.crypto.Awaits()
}

// playAnnouncement plays the announcement to a party that can be heard, and waits for its decision.
func (rs *replacements) playAnnouncement() {
	c := rs.call
	rs.current.hears = true
	rs.current.why.stands(hears, 200, message.StatusText(200))
	c.ladder.Decide("%s has answered, and hears %s", c.attempts.current.target.Dial.Name, rs.current.announce.Sound)
	if !c.bridge.Saying.Speak() {
		rs.announced(false)
	}
}

// announced handles the party's decision after its announcement. If the party declines, no other target is tried.
func (rs *replacements) announced(accepted bool) {
	if r := rs.current; r == nil || rs.call.attempts.current.answer == nil || r.announce.Sound == "" {
		return // no trial is in progress
	}
	rs.current.accepted = accepted
	if accepted {
		rs.answered(*rs.call.attempts.current.answer)
		return
	}
	rs.declined(cause.TargetRefused)
}

// declined handles a party that does not take the call after its announcement.
func (rs *replacements) declined(why cause.Cause) {
	rs.current.plan.Targets = nil
	rs.tryFailed(why, nil, 603)
}

// tryFailed ends the trial of a party that has declined, has hung up, or could not agree on keys for its media, and
// tries the next target. If the previous agent is waiting, it is connected to the caller again, and is offered the
// session again, because its own changes were refused while it waited.
func (rs *replacements) tryFailed(why cause.Cause, err error, code int) {
	c := rs.call
	r := rs.current
	if r.why.holds() {
		c.bridge.Saying.RestartHoldBack() // what the party has said is not for the caller
	} else {
		c.bridge.Saying.End()
	}
	c.attempts.drop(c.attempts.current, why, err)
	if before := c.bridge.Agreement.Before[media.SideB]; r.waiting != nil {
		c.regain(r.waiting)
		r.waiting, r.held, c.bridge.Agreement.Before[media.SideB] = nil, false, nil
		c.bridge.Plug(before.Terms.SentTo[media.SideB], before.Description)
		c.bridge.Exchanges.Restore(&c.b.Half)
	}
	r.early, r.hears, r.code, r.phrase = nil, false, code, message.StatusText(code)
	rs.next()
}

// goneInTry handles the end of a leg during a trial: the leg of the party on trial, or the waiting agent's.
func (rs *replacements) goneInTry(from *LegOnWire, f leg.Gone) {
	c := rs.call
	switch {
	case from == rs.current.waiting:
	case rs.current.hears:
		rs.declined(f.Cause)
		return
	default:
		rs.tryFailed(f.Cause, nil, 488)
		return
	}
	rs.current.waiting, rs.current.Left = nil, true
	c.host.vacate(c.connected)
}

// secured continues with the called party once it has its keys, or with the next target if that failed. It returns
// false if the handshake is another leg's.
func (rs *replacements) secured(e bridge.HandshakeOver, err error) bool {
	a := rs.call.attempts.current
	switch {
	case rs.current == nil || a == rs.call.connected || e.Leg != a.crypto:
		return false
	case err != nil:
		rs.tryFailed(cause.DTLSFailed, err, 488)
	case a.answer != nil && !a.crypto.Awaits():
		rs.answered(*a.answer)
	}
	return true
}
