package call

import (
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
)

// settle makes a call small once the caller has acknowledged its answer, because a call mostly waits after that. It
// copies the remaining state out of the messages of the set-up, so that these can be freed. The caller's headers are
// kept as text, for hooks and for templates of transfers.
func (c *Call) settle() {
	if c.invite == nil || c.connected == nil { // without an agent, one is still to be called
		return
	}
	c.keepHeaders(message.HeaderTextOf(c.invite))
	c.checkpoint.forgetInvite()
	c.compact()
}

// compact copies the strings that are still needed out of the messages of the set-up.
func (c *Call) compact() {
	c.connected.settle()
	c.attempts.forgetPlan()
	if described := c.a.Leg.Described(); described != nil { // the newest description, which usually equals the first
		c.bridge.Agreement.Answer = described
	}
	v, r := &c.vars, &c.record
	message.Compact(
		&v.To.Number, &v.To.User, &v.To.Name, &v.To.Host, &v.To.URI,
		&v.From.Number, &v.From.User, &v.From.Name, &v.From.Host, &v.From.URI,
		&v.Diversion, &r.SynthflowCallID, &r.ExternalID, &c.bridge.Agreement.CodecName,
	)
	if !c.connected.plan.Replaces() {
		c.connected.parties = peers.PartiesOf(v)
	}
}

// settle releases the state that an attempt needs only until it is answered.
func (a *attempt) settle() {
	a.offer, a.formats, a.answer = nil, nil, nil
	if tried := a.tried(); tried != nil {
		a.reached = &reach.Reached{Tried: tried} // drops the platform's API response, which may be large
	} else {
		a.reached = nil
	}
	if a.plan.Reason == "" {
		a.plan = &ofRoute
	} else {
		a.plan = &outbound.Plan{Reason: a.plan.Reason}
	}
}

// ofRoute replaces the plan of the route once that is no longer needed.
var ofRoute outbound.Plan //nolint:gochecknoglobals // a constant
