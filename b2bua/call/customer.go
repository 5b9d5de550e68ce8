package call

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/media/answerer"
	"flowbridge/store/record"
)

// This file handles calls that an API request places. Such a call has no caller. The person called first is named the
// customer: the customer is called by an attempt on side A, and has the caller's role after answering. Then an agent is
// called, as in a rescue.

// customer handles the first party of a placed call.
type customer struct {
	idle
	*placement // nil if there is or was an agent, or if the caller has no answer yet
}

// placement is the state of a placed call until its agent is connected.
type placement struct {
	plan  outbound.Plan // plan for calling the customer
	heard heard         // what is played to a machine that answered
}

// placed prepares a placed call: it plans the attempts to reach the customer, and then an agent.
func (cu *customer) placed(placing *outbound.Placing) {
	c := cu.call
	plan, agents := placing.Plans(c.vars)
	cu.waits(&placement{plan: plan})
	c.attempts.follow(&agents)
}

// waits notes that the call has no agent, until release.
func (cu *customer) waits(p *placement) {
	cu.placement = p
	cu.call.record.setPlaced(!cu.call.telling.hasInboundCaller())
}

// on handles all events while the customer is being called, and later the events that say who answered.
func (cu *customer) on(h happening) (next phase, handled bool) {
	c := cu.call
	if in, is := h.event.(inBridge); is {
		return nil, c.whoIs() != ringing && cu.whoAnswered(in.Event)
	}
	if cu.placement == nil || c.whoIs() != ringing {
		return nil, false
	}
	switch e := h.event.(type) {
	case ready:
		a := c.attempts.current
		if a != nil && e.Attempt == a.number && c.attempts.dialPrepared(e) == notDialled {
			return cu.next(), true
		}
	case killed:
		c.attempts.abandon(e.Cause, cause.Reasons{})
		return c.end(e.Cause, e.By, e.status(), 0), true
	case expired:
		why, status := cu.timeout()
		c.attempts.abandon(why, cause.Reasons{})
		return c.end(why, record.EndedBySystem, status, 0), true
	case inBridge, ofPart:
	}
	if h.fact != nil {
		next = cu.fact(h.from, h.fact)
	}
	return next, true
}

// release drops the state that is needed only until an agent is connected.
func (cu *customer) release() {
	cu.placement = nil
	cu.call.record.setPlaced(false)
}

func (cu *customer) show(l *registry.LiveCall) {
	if cu.call.whoIs() == first {
		l.Phase = "dialing"
	}
}

// Originate places a call, and returns the call's state as soon as the first party is being called. The origination's
// ID must be unique. The error is an *outbound.PlaceError, or ctx's.
func Originate(ctx context.Context, h *Host, o *outbound.Origination) (registry.LiveCall, error) {
	at, p := time.Now(), h.Admission.Peers.Load()
	placing, err := o.Place(p, at)
	if err != nil {
		return registry.LiveCall{}, err
	}
	t := placing.Trunk
	c := New(h, cmp.Or(o.ID, record.NewID()), at, placing.Invite, p, t, netip.AddrPort{})
	cu := &c.customer
	cu.placed(&placing)
	c.record.setVariables(o.Variables())
	reserved, why := h.Admission.Originate(t, placing.Agents, peers.PartiesOf(&c.vars), at)
	if reserved == nil {
		c.ladder.Discard()
		return registry.LiveCall{}, outbound.NotNow(why)
	}
	c.countPlace()
	c.keepPlace(reserved, circuit.Try{})
	c.takePlaced(placing.Route)
	c.record.reaches(placing.Agents[0], c.trunk)
	c.ladder.Routed(c.vars.Route, c.vars.To.Number, peers.NamesOf(placing.Agents))
	c.ladder.Split(c.record.Target, placing.Share, c.route.Total(), c.route.Moved)
	c.attempts.plan.FailoverOn = c.route.FailoverOn
	c.times.limit(setup, at, cmp.Or(o.AnswerWithin, placing.Customer.Dial.RingTimeout))
	c.start(func(*Call) phase { return cu.begins() }, true)
	if l, ok := c.Ask(ctx); ok {
		return l, nil
	}
	return registry.LiveCall{}, ctx.Err()
}

// begins runs the call's first turn, and returns the next phase.
func (cu *customer) begins() phase {
	c := cu.call
	c.nameByIDs()
	c.bridge.Tell(bridge.Routed{})
	c.checkpoint.flush(true) // must be journalled before the API request is answered
	return cu.next()
}

// next starts the next attempt to call the customer. If no attempt is left, it ends the call.
func (cu *customer) next() phase {
	c := cu.call
	if c.attempts.try(&cu.plan) {
		return (*Call).calling
	}
	last, by, status := c.attempts.last, record.EndedBySystem, 503
	switch {
	case last.cause == cause.CallerHangup: // it sent a BYE before it answered, which RFC 3261 forbids
		by, status = record.EndedByCaller, 487
	case last.code >= 300:
		status = last.code
	}
	return c.end(last.cause, by, status, last.q850)
}

// calling is the phase in which the customer has not answered yet.
func (c *Call) calling() phase { return c.setUp("dialing", (*Call).calling) }

// fact handles what the customer's leg reports, and returns the next phase, or nil to stay in this one.
func (cu *customer) fact(from *LegOnWire, f leg.Fact) phase {
	c := cu.call
	switch f := f.(type) {
	case leg.Progress:
		c.attempts.current.judge(cause.None, f.Code)
		if f.Code >= 180 && c.record.rings() {
			c.checkpoint.flush(true) // so that viewers of the call see the change
		}
	case leg.Answered:
		return cu.answered(f)
	case leg.Refused:
		if c.attempts.elsewhere(f) {
			return nil
		}
		if c.attempts.refusedBy(f) {
			return cu.next()
		}
		return c.end(f.Cause, record.EndedByCaller, f.Code, f.Q850)
	case leg.Offered:
		c.step(from, bridge.Rejection(491))
	case leg.Asked:
		c.bridge.Reply(&from.Half, f.Req, 480)
	case leg.Gone, leg.Withdrawn, leg.OfferRefused, leg.Replied, leg.Confirmed, leg.AnswerReady, leg.Cancelled:
		// these can't happen before the answer
	}
	return nil
}

// answered connects the customer's media. Then it calls an agent, at once or after finding out who answered.
func (cu *customer) answered(f leg.Answered) phase {
	c := cu.call
	a := c.attempts.current
	if err := c.bridge.TakeCustomer(f.SDP, a.formats); err != nil {
		c.attempts.badAnswer(err)
		return cu.next()
	}
	now := time.Now()
	c.times.answer(now, c.trunk.Caller.MaxDuration)
	c.record.answered(&c.times)
	c.host.Admission.Answered(c.trunk)
	c.attempts.note(cause.None, 200)
	c.ladder.Decide("the customer answers after %d ms with %s", c.record.SetupMS, c.bridge.Agreement.CodecName)
	c.log.Info().Int64("setup_ms", c.record.SetupMS).Msg("customer answered")
	a.settle()
	c.attempts.back(nil)
	c.bridge.Media.Start()
	c.bridge.Tell(bridge.Answered{})
	if !cu.asksWhoAnswers() {
		cu.goOn()
	}
	if c.checkpoint.flush(true); c.finished {
		return (*Call).linger
	}
	return (*Call).bridged
}

// timeout returns the cause and status for a customer that did not answer in time. If the customer's side has responded
// to the INVITE, the timeout does not count as a failure in the trunk's circuit breaker.
func (cu *customer) timeout() (why cause.Cause, status int) {
	c := cu.call
	if c.a != nil && !c.a.Leg.AwaitsResponse() {
		return cause.RingTimeout, 408
	}
	c.attempts.current.judge(cause.RingTimeout, 0)
	return cause.TargetSilent, 503
}

// goOn tells the customer what the route tells, and then calls an agent.
func (cu *customer) goOn() {
	if !cu.call.telling.tellCustomer() {
		cu.callAgent()
	}
}

// callAgent calls an agent. The customer hears ringback until an agent answers.
func (cu *customer) callAgent() {
	c := cu.call
	c.replacements.try(&replacement{
		Replacement: snapshot.Replacement{Left: true}, why: firstAgent{call: c}, plan: *c.attempts.plan,
	})
	c.replacements.next()
}

// firstAgent is the reason (see reason) for calling the first agent of a placed call.
type firstAgent struct {
	unwatched
	call *Call
}

// answered stores the formats that both sides agreed on, so that later changes by the customer can be compared with
// them.
func (f firstAgent) answered(seen *sdp.Description) {
	has := &f.call.bridge.Agreement
	has.Tell(media.SideA, seen.Common(has.Offer))
}

func (f firstAgent) connected() (how, message string) {
	c := f.call
	c.customer.release()
	c.vacateKept()
	c.settle()
	return "answered", "agent connected"
}

// holds reports whether the customer still hears what it is told.
func (f firstAgent) holds() bool { return f.call.telling.underway() }

func (f firstAgent) failed(*replacement) {
	if f.call.telling.sayNotTaken() {
		return
	}
	f.call.hangup(f.call.attempts.last.cause, record.EndedBySystem)
}

// What follows hands a placed call without an agent over to a new process. The customer keeps ringing, or stays
// connected. The new process does not continue to detect who answered; if a machine's beep is awaited, the full time
// limit starts again. An agent that was ringing is called again.

// busy returns why a placed call without an agent can't be handed over now, or nil if it can.
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
	case c.telling.Stage == snapshot.ToldUnwritten: // a moment, and the statement would be said twice
		return bridge.ErrRequest
	case c.bridge.Exchanges.Underway(), c.a.Crypto.Agrees():
		return errExchange
	case c.checkpoint.awaiting, c.a.busy(), c.mailbox.due.Len() > 0, c.mailbox.pending.Len() > 0:
		return bridge.ErrRequest
	}
	return ErrSetUp
}

// save adds the state of a placed call without an agent to a sheet.
func (cu *customer) save(k *snapshot.Sheet) {
	c := cu.call
	if cu.placement == nil || !k.Handed && !c.goesOn() {
		return
	}
	agents, kept := *c.attempts.plan, c.kept
	if c.replacements.underway() {
		a := c.attempts.current
		agents.Targets, agents.Shared = c.replacements.targets(), a.shared
		if a.placed {
			kept = a
		}
	}
	k.Customer = snapshot.Customer{
		Agents: peers.NamesOf(agents.Targets), Shared: agents.Shared,
		Machine: cu.heard != nothing, Playing: cu.heard == sound,
	}
	if kept != nil {
		k.Customer.Reserved = kept.target.Dial.Name
	}
}

// restore restores the state of a placed call without an agent. It ignores agents that are no longer configured.
func (cu *customer) restore(all *snapshot.Call, _ *record.Record) error {
	c, k := cu.call, &all.Customer
	if !all.IsPlaced() {
		return nil
	}
	placing := outbound.Placing{Agents: c.peers.CalleesNamed(k.Agents)}
	called := all.Attempts.Current
	if called != nil {
		placing.Customer, placing.By = c.peers.Callees[called.Target], called.By
	}
	rings := all.Times.Answered == 0
	if len(placing.Agents) == 0 || rings && placing.Customer == nil {
		return errGoneTrunk
	}
	cu.placed(&placing)
	if t := c.peers.CalleeNamed(k.Reserved); t != nil {
		c.keepPlace(t, circuit.Try{})
	}
	if k.Playing {
		cu.heard = sound
	} else if k.Machine {
		cu.heard = tillBeep
	}
	cu.plan.Targets, c.attempts.plan.FailoverOn = nil, c.route.FailoverOn
	c.attempts.plan.Shared = k.Shared && placing.Agents[0].Dial.Name == k.Agents[0]
	if rings {
		a := restoreAttempt(called, placing.Customer, c.a)
		a.plan, a.reached = &cu.plan, &reach.Reached{}
		a.formats = all.Bridge.Agreement.SentTo[media.SideA]
		c.attempts.current, c.phase = a, "dialing"
	}
	return nil
}

// begin continues a placed call without an agent after a restart.
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
	case c.telling.resume():
	// The sound is no longer configured, so nothing would play.
	case cu.heard == sound && c.bridge.Sounds.Heard(media.SideA) == "":
		c.hangup(cause.AnsweredByMachine, record.EndedBySystem)
	case cu.heard == sound:
	case cu.heard == tillBeep:
		c.bridge.Media.DetectAnswer(media.SideA, answerer.Limits{Within: 1, Silence: 1, Beep: beepWithin})
	default:
		if c.trunk.Caller.Originate.WhoAnswers() != nil && try != nil && try.AnsweredBy == "" {
			cu.noteWho(answerer.Answer{Verdict: answerer.Unknown, Reason: answerer.Replaced})
		}
		cu.goOn()
	}
	if c.checkpoint.flush(true); c.finished {
		return (*Call).linger
	}
	return (*Call).bridged
}
