package b2bua

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/media"
	"flowbridge/store/record"
)

// A call that a request places: the customer is called as an attempt on side A. When it has answered, the call has a
// caller and no agent, as in a rescue, and the agent is called.

// customer is what such a call needs until its agent is connected.
type customer struct {
	call     outbound.Plan // of the customer
	agents   outbound.Plan // of the agent
	machine  bool          // the customer is one, and hears a sound after its beep
	playing  bool          // it hears that
	reserved *peers.Target // has kept a place since before the customer was called; nil: an attempt has taken it
}

func newCustomer(placing *outbound.Placing, vars template.Vars) *customer {
	cu := &customer{}
	cu.call, cu.agents = placing.Plans(vars)
	return cu
}

// Originate places a call, and returns its state while the customer is called. No other call may have the origination's
// id. The error is an *outbound.PlaceError, or ctx's.
func (s *Server) Originate(ctx context.Context, o *outbound.Origination) (registry.LiveCall, error) {
	at, p := time.Now(), s.admission.Peers.Load()
	placing, err := o.Place(p, at)
	if err != nil {
		return registry.LiveCall{}, err
	}
	t := placing.Trunk
	c := s.newCall(cmp.Or(o.ID, record.NewID()), at, placing.Invite, p, t, netip.AddrPort{})
	c.customer, c.record.Variables = newCustomer(&placing, c.vars), o.Variables()
	reserved, why := s.admission.Originate(t, placing.Agents, peers.PartiesOf(&c.vars), at)
	if reserved == nil {
		c.ladder.Discard()
		return registry.LiveCall{}, outbound.NotNow(why)
	}
	c.claimed, c.customer.reserved = true, reserved
	if c.vars.Direction = template.DirectionOutbound; placing.Route >= 0 {
		c.takeRoute(placing.Route)
	} else {
		c.route, c.vars.Row = config.Unrouted(), p.RowOf(c.vars.From.Number)
	}
	c.noteDestination(placing.Agents[0])
	c.ladder.Routed(c.vars.Route, c.vars.To.Number, peers.NamesOf(placing.Agents))
	c.ladder.Split(c.record.Target, placing.Share, c.route.Total())
	c.customer.agents.FailoverOn = c.route.FailoverOn
	c.times.setupUntil = at.Add(cmp.Or(o.AnswerWithin, placing.Customer.Dial.RingTimeout))
	c.now = (*Call).callCustomer
	s.resume(c, true)
	if l, ok := c.ask(ctx); ok {
		return l, nil
	}
	return registry.LiveCall{}, ctx.Err()
}

// takePlace reports whether an attempt needs no further place: the customer's is the call's own, and an agent may have
// the reserved one, which the attempt takes over.
func (cu *customer) takePlace(a *attempt) bool {
	switch {
	case cu == nil:
		return false
	case a.side() == media.SideA:
		return true
	case cu.reserved == a.target:
		cu.reserved, a.placed = nil, true
		return true
	}
	return false
}

// side is the side of the call that an attempt is for.
func (a *attempt) side() media.Side {
	if a.plan.Reason == record.ReasonCustomer {
		return media.SideA
	}
	return media.SideB
}

// tryCircuit begins an attempt at the circuit of a target whose place is taken, and reports whether that is closed.
func (all *attempts) tryCircuit(a *attempt) bool {
	try, closed := a.target.SIP.Begin(time.Now())
	if a.try = try; !closed {
		all.failed(attemptEnd{cause: cause.TargetCircuitOpen})
	}
	return closed
}

// dropCustomer lets go of what only the time without an agent needs. It gives back a place that no attempt has taken.
func (c *Call) dropCustomer() {
	if c.customer != nil && c.customer.reserved != nil {
		c.server.admission.Vacate(c.customer.reserved, peers.PartiesOf(&c.vars))
	}
	c.customer = nil
}

// callCustomer begins with the customer.
func (c *Call) callCustomer() phase {
	c.nameByIDs()
	c.bridge.Masking.SetIfWanted()
	c.notes.before(true) // before the answer to the request
	return c.nextCustomer()
}

// nextCustomer makes the next attempt to call the customer. It ends the call if none is left.
func (c *Call) nextCustomer() phase {
	if c.attempts.try(&c.customer.call) {
		return (*Call).calling
	}
	last, by, status := c.attempts.last, record.EndedBySystem, 503
	switch {
	case last.cause == cause.CallerHangup: // before its answer, against the rules
		by, status = record.EndedByCaller, 487
	case last.code >= 300:
		status = last.code
	}
	return c.end(last.cause, by, status, last.q850)
}

// calling: the customer is called, and has not answered.
func (c *Call) calling() phase { return c.setUp("dialing", (*Call).calling) }

// customerFact is the next phase after a fact of the customer's leg; nil: the same one.
func (c *Call) customerFact(from *legOnWire, f leg.Fact) phase {
	switch f := f.(type) {
	case leg.Progress:
		c.attempts.current.judge(cause.None, f.Code)
		if f.Code >= 180 && c.record.RingingAt.IsZero() {
			c.record.RingingAt = record.TimeOf(time.Now())
			c.notes.before(true) // those who watch the call are shown it
		}
	case leg.Answered:
		return c.customerAnswered(f)
	case leg.Refused:
		if c.attempts.elsewhere(f) {
			return nil
		}
		if c.attempts.refusedBy(f) {
			return c.nextCustomer()
		}
		return c.end(f.Cause, record.EndedByCaller, f.Code, f.Q850)
	case leg.Offered:
		c.step(from, bridge.Rejection(491))
	case leg.Asked:
		c.bridge.Reply(&from.Half, f.Req, 480)
	case leg.Gone, leg.Withdrawn, leg.OfferRefused, leg.Replied, leg.Confirmed, leg.AnswerReady, leg.Cancelled:
		// not possible yet
	}
	return nil
}

// customerAnswered starts the media to the customer, and calls the agent, or waits until it is known who answered.
func (c *Call) customerAnswered(f leg.Answered) phase {
	a := c.attempts.current
	if err := c.bridge.TakeCustomer(f.SDP, a.formats); err != nil {
		c.attempts.badAnswer(err)
		return c.nextCustomer()
	}
	now := time.Now()
	c.times.answered, c.times.setupUntil = now, time.Time{}
	if limit := c.trunk.Caller.MaxDuration; limit > 0 {
		c.times.durationUntil = now.Add(limit)
	}
	c.record.AnsweredAt, c.record.SetupMS = record.TimeOf(now), now.Sub(c.times.started).Milliseconds()
	c.server.admission.Answered(c.trunk)
	c.attempts.note(cause.None, 200)
	c.ladder.Decide("the customer answers after %d ms with %s", c.record.SetupMS, c.bridge.Agreement.CodecName)
	c.log.Info().Int64("setup_ms", c.record.SetupMS).Msg("customer answered")
	a.settle()
	c.attempts.current = nil
	c.bridge.Media.Start()
	c.bridge.Recordings.StartIfWanted()
	c.bridge.Media.Interrupt(true)
	if !c.asksWhoAnswers() {
		c.callAgent()
	}
	if c.notes.before(true); c.finished {
		return (*Call).linger
	}
	return (*Call).bridged
}

// customerTimeout says how the call of a late customer ends. A request's limit tells the trunk's circuit nothing.
func (c *Call) customerTimeout() (why cause.Cause, status int) {
	if c.a != nil && !c.a.Leg.Unheard() {
		return cause.RingTimeout, 408
	}
	c.attempts.current.judge(cause.RingTimeout, 0)
	return cause.TargetSilent, 503
}

// callAgent calls the agent. The customer hears ringback until an agent answers.
func (c *Call) callAgent() {
	c.replacements.begin(&replacement{
		Replacement: snapshot.Replacement{Left: true}, why: firstAgent{call: c}, plan: c.customer.agents,
	})
	c.bridge.Sounds.Update()
	c.replacements.next()
}

// firstAgent is the reason of a replacement of nobody.
type firstAgent struct {
	unwatched
	call *Call
}

// answered: a change of the customer's is compared to what both have.
func (f firstAgent) answered(seen *sdp.Description) {
	has := &f.call.bridge.Agreement
	has.Tell(media.SideA, seen.Common(has.Offer))
}

func (f firstAgent) connected() (how, message string) {
	f.call.bridge.Media.Interrupt(false)
	f.call.dropCustomer()
	f.call.settle()
	return "answered", "agent connected"
}

func (f firstAgent) failed(*replacement) {
	f.call.hangup(f.call.attempts.last.cause, record.EndedBySystem)
}
