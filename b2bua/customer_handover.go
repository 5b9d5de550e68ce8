package b2bua

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/media/answerer"
	"flowbridge/store/record"
)

// A placed call without an agent whose process is replaced. The customer goes on ringing, or stays. Who answered is
// unknown from then on, the beep of a machine is waited for anew, and an agent that is called is called again.

// busy is restless for a placed call without an agent.
func (cu *customer) busy() error {
	c := cu.call
	switch a := c.attempts.current; {
	case cu.placement == nil:
		return nil
	case !c.times.answered.IsZero():
	case a == nil || a.line == nil || a.cancel != nil || !a.line.Leg.Calls():
		return errPlaced
	default:
		return nil
	}
	switch {
	case c.bridge.Exchanges.Underway(), c.a.Crypto.Agrees():
		return errExchange
	case c.notes.shares, c.a.busy(), c.mailbox.due.Len() > 0, c.mailbox.pending.Len() > 0:
		return errRequest
	}
	return errSetUp
}

// save adds to a sheet what a process that replaces this one needs for a call without an agent.
func (cu *customer) save(k *snapshot.Sheet) {
	c := cu.call
	if cu.placement == nil || !k.Handed {
		return
	}
	agents, reserved := cu.agents, cu.reserved
	if c.replacements.underway() {
		a := c.attempts.current
		agents.Targets, agents.Shared = c.replacements.targets(), a.shared
		if a.placed {
			reserved = a.target
		}
	}
	k.Customer = snapshot.Customer{
		Agents: peers.NamesOf(agents.Targets), Shared: agents.Shared, Machine: cu.heard != nothing, Playing: cu.heard == sound,
	}
	if reserved != nil {
		k.Customer.Reserved = reserved.Dial.Name
	}
}

// restoreCustomer restores what a call has that has no agent. It leaves out agents that are not configured any more.
// False: too little is configured.
func (v *restoring) restoreCustomer() bool {
	k := &v.k.Customer
	placing := outbound.Placing{Agents: v.peers.CalleesNamed(k.Agents)}
	called := v.k.Attempts.Current
	if called != nil {
		placing.Customer, placing.By = v.peers.Callees[called.Target], called.By
	}
	rings := v.k.Times.Answered == 0
	if len(placing.Agents) == 0 || rings && placing.Customer == nil {
		return false
	}
	v.customer.placement = newPlacement(&placing, v.vars)
	if v.customer.reserved = v.peers.CalleeNamed(k.Reserved); k.Playing {
		v.customer.heard = sound
	} else if k.Machine {
		v.customer.heard = tillBeep
	}
	v.customer.plan.Targets, v.customer.agents.FailoverOn = nil, v.route.FailoverOn
	v.customer.agents.Shared = k.Shared && placing.Agents[0].Dial.Name == k.Agents[0]
	if rings {
		a := restoreAttempt(called, placing.Customer, v.a)
		a.plan, a.reached = &v.customer.plan, &reach.Reached{}
		a.formats = v.k.Bridge.Agreement.SentTo[media.SideA]
		v.attempts.current, v.phase = a, "dialing"
	}
	return true
}

// begin goes on with a call without an agent.
func (cu *customer) begin(v *restoring) phase {
	c := cu.call
	if cu.placement == nil {
		return nil
	}
	if c.times.answered.IsZero() {
		c.a.wire.Perform(c.a.Leg.Resend())
		return (*Call).calling
	}
	v.abandonOthers()
	v.bridge.GoOn()
	switch try := record.AnsweredCustomer(c.record.Attempts); {
	case cu.heard == sound && c.bridge.Sounds.Heard(media.SideA) == "": // a sound that is not configured any more
		c.hangup(cause.AnsweredByMachine, record.EndedBySystem)
	case cu.heard == sound:
	case cu.heard == tillBeep:
		c.bridge.Media.DetectAnswer(media.SideA, answerer.Limits{Within: 1, Silence: 1, Beep: bridge.BeepWithin})
	default:
		if c.trunk.Caller.Originate.WhoAnswers() != nil && try != nil && try.AnsweredBy == "" {
			cu.noteWho(answerer.Answer{Verdict: answerer.Unknown, Reason: answerer.Replaced})
		}
		cu.callAgent()
	}
	if c.notes.before(true); c.finished {
		return (*Call).linger
	}
	return (*Call).bridged
}
