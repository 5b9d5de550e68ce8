package call

import (
	"strconv"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// This file implements routes[].rescue: an agent's leg dies during the call, and the caller stays. A
// rescue is like a transfer that the agent has not asked for: the caller hears ringback, and the target
// that answers replaces the agent. The caller's leg stays the same.

const (
	// blamedWithin is how long after the answer an agent's BYE without a reason counts as a failure.
	blamedWithin = 10 * time.Second
	// mostRescues is the maximum number of rescues in one call.
	mostRescues = 1
)

// rescues keeps the caller when an agent's leg dies, and calls another target.
type rescues struct {
	idle
	snapshot.Rescues
	hearing *bridge.Hearing // checks that the agent is heard; nil if nothing is checked
}

func (rs *rescues) save(k *snapshot.Sheet) { k.Rescues = rs.Rescues }

func (rs *rescues) restore(k *snapshot.Call, _ *record.Record) error {
	rs.Rescues = k.Rescues
	return nil
}

// on handles the end of an agent's leg. It returns false if the caller is not rescued.
func (rs *rescues) on(h happening) (next phase, handled bool) {
	f, is := h.fact.(leg.Gone)
	if !is || h.from != rs.call.b || rs.call.whoIs() != bridged || !rs.isDead(f) {
		return nil, false
	}
	by := record.EndedBySystem
	if f.ByPeer {
		by = record.EndedByAgent
	}
	return nil, rs.keep(snapshot.Loss{Cause: f.Cause, By: by, Q850: f.Q850})
}

func (rs *rescues) deadline() time.Time { return rs.hearing.Deadline() }

func (rs *rescues) due(now time.Time) {
	if why := rs.hearing.Look(now, &rs.call.bridge); why != cause.None {
		rs.replace(why)
	}
}

// connected starts checking that the agent is heard.
func (rs *rescues) connected() {
	rs.end()
	if rs.configured() && rs.Count < mostRescues {
		rs.hearing = bridge.NewHearing(time.Now(), rs.call.route.Rescue.DeadAir)
	}
}

// end stops these checks.
func (rs *rescues) end() { rs.hearing = nil }

// configured reports whether the call's route has rescue.
func (rs *rescues) configured() bool { return rs.call.route != nil && rs.call.route.Rescue != nil }

// isDead reports whether an agent's leg ended because of a failure: without a BYE, with a BYE whose Reason
// is a failure (RFC 3326), or with a BYE without Reason soon after the answer.
func (rs *rescues) isDead(f leg.Gone) bool {
	switch {
	case !f.ByPeer:
		return true
	case f.Q850 != 0:
		return cause.IsFailure(f.Q850)
	default:
		return rs.configured() && time.Since(rs.call.connected.answeredAt(rs.call)) < blamedWithin
	}
}

// answeredAt returns when a connected attempt was answered. After a restart that is not known, so it
// returns when the call was answered.
func (a *attempt) answeredAt(c *Call) time.Time {
	if a.answered.IsZero() {
		return c.times.answered
	}
	return a.answered
}

// keep keeps the caller of an agent whose leg has died, and calls the rescue's targets. It returns false
// if the caller can't be rescued; then the call must end.
func (rs *rescues) keep(l snapshot.Loss) bool {
	c := rs.call
	if !rs.configured() || rs.Count >= mostRescues || c.connected.plan.Reason == record.ReasonTransfer ||
		c.a.Leg.AnswerWaits() {
		return false
	}
	plan := outbound.RescuePlan(c.peers, c.route, c.variables(), c.connected.target, template.RescueVars{
		Cause: string(l.Cause), Target: c.connected.target.Dial.Name,
		Seconds: strconv.FormatFloat(time.Since(c.times.answered).Seconds(), 'f', 0, 64),
	})
	if len(plan.Targets) == 0 {
		return false
	}
	rs.Count++
	c.replacements.try(&replacement{Replacement: snapshot.Replacement{Lost: &l}, why: rescue{rescues: rs}, plan: plan})
	c.log.Warn().Str("target", c.connected.target.Dial.Name).Str("cause", string(l.Cause)).Int("q850", l.Q850).
		Msg("agent lost, the caller is kept")
	c.ladder.Decide("the agent's leg has died (%s): the caller is kept, and somebody else is called", l.Cause.Words())
	c.replacements.loseAgent()
	c.replacements.next()
	return true
}

// begin repeats a rescue that was in progress when its process ended. The restored legs end the old
// attempts.
func (rs *rescues) begin(v *restoring) phase {
	if !v.k.Replacement.Rescues() {
		return nil
	}
	rs.call.bridge.Media.Unplug() // the agent's media
	if rs.Count--; !rs.keep(*v.k.Replacement.Lost) {
		rs.giveUp(*v.k.Replacement.Lost)
	}
	return nil
}

// giveUp ends a call whose agent was lost, after no target has taken over.
func (rs *rescues) giveUp(l snapshot.Loss) {
	c := rs.call
	status := c.heardByCaller()
	c.step(c.a, leg.Hangup{Why: l.Cause, Q850: l.Q850})
	c.end(l.Cause, l.By, status, l.Q850)
}

// replace ends the leg of an agent that is not heard, and reports whether another target can take over.
func (rs *rescues) replace(why cause.Cause) bool {
	agent := rs.call.b
	if !rs.keep(snapshot.Loss{Cause: why, By: record.EndedBySystem}) {
		rs.end() // no target is left, so stop checking
		return false
	}
	rs.call.checkpoint.flush(true)
	rs.call.step(agent, leg.Hangup{Why: why})
	return true
}

// rescue is the reason (see reason) for calling another party after an agent was lost.
type rescue struct {
	unwatched
	*rescues
}

func (rs rescue) connected() (how, message string) {
	return "rescued", "call rescued"
}

func (rs rescue) failed(r *replacement) { rs.giveUp(*r.Lost) }
