package b2bua

import (
	"flowbridge/b2bua/kept"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/media"
	"flowbridge/store/record"
)

// A customer that rings while its process is replaced keeps ringing.

// restlessCustomer is restless for a placed call without an agent.
func (c *Call) restlessCustomer() error {
	if a := c.attempts.current; !c.times.answered.IsZero() || a == nil || a.line == nil || a.cancel != nil ||
		a.answer != nil || !a.line.Leg.Rings() {
		return errPlaced
	}
	return nil
}

// customerState adds to a sheet what the next process needs for a customer that rings.
func (c *Call) customerState(k *kept.Sheet) {
	for _, t := range c.customer.agents.targets {
		k.Agents = append(k.Agents, t.Dial.Name)
	}
	if c.customer.reserved != nil {
		k.Reserved = c.customer.reserved.Dial.Name
	}
	if c.ladder != nil {
		k.Ladder = c.ladder.Encode(k.Ladder)
	}
	k.Until, k.Masked = leg.Instant(c.times.setupUntil), c.bridge.Masking.On
	k.Agreement, k.Addr = c.bridge.Agreement.State(k.Agreement.Described), c.bridge.Media.Addr
}

// takeUpCustomer restores a call whose customer rings. It leaves out agents that are not configured any more.
func (v *reviving) takeUpCustomer(l *record.Left, sockets *media.Sockets) error {
	k, placing := v.k, outbound.Placing{Customer: v.peers.Callees[v.k.Bridge.Target]}
	for _, name := range k.Agents {
		if t := v.peers.CalleeNamed(name); t != nil {
			placing.Agents = append(placing.Agents, t)
		}
	}
	if placing.Customer == nil || len(placing.Agents) == 0 {
		return errGoneTrunk
	}
	if v.a == nil {
		return errNoLeg
	}
	v.takeRouteAgain()
	v.restoreRecord(&l.Record)
	v.customer = customerOf(&placing, &v.vars)
	v.customer.call.targets, v.customer.agents.failoverOn = nil, v.route.FailoverOn
	relay := v.server.bridges.Relay
	session, err := relay.Resume(media.SessionConfig{Sockets: sockets, OnEvent: v.bridge.Media.On}, *k.Media)
	if err != nil {
		return err
	}
	v.bridge.BeginAgain(k, session)
	a := v.attempt(placing.Customer)
	v.customer.call.by = a.plan.by
	a.plan, a.line, a.crypto, a.reached = &v.customer.call, v.a, v.a.Crypto, &reach.Reached{}
	a.formats = v.bridge.Agreement.SentTo[media.SideA]
	v.attempts.tried, v.attempts.current = k.Tried, a
	v.times.setupUntil = leg.TimeOf(k.Until)
	v.server.admission.Reenter(v.trunk)
	v.server.admission.Reclaim(v.trunk, partiesOf(&v.vars))
	v.claimed = true
	if t := v.peers.CalleeNamed(k.Reserved); t != nil {
		if _, over := v.server.admission.Reoccupy(t, partiesOf(&v.vars)); over == peers.LimitNone {
			v.customer.reserved = t
		}
	}
	v.phase, v.now = "dialing", func(*Call) phase { return v.handed() }
	v.notes.write(nil) // in the files of this process
	return nil
}
