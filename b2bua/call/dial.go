package call

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// progress is the result of dialling an attempt.
type progress int

const (
	notDialled progress = iota // the attempt failed, so the next target must be tried
	dialled
	waitsForTCP // the INVITE is too large for UDP; another ready event brings a connection
)

// dialPrepared sends the INVITE of the current attempt if the attempt's preparation succeeded.
func (all *attempts) dialPrepared(f ready) progress {
	c := all.call
	a := all.current
	problem := f.Err
	if first := all.notePrepared(f); first && f.Unprepared != nil {
		problem = cmp.Or(problem, f.Unprepared)
		c.ladder.Decide("target %s is dialled without an id: %v", a.target.Dial.Name, f.Unprepared)
	}
	if f.Cause == cause.None && f.Node != "" {
		c.ladder.Decide("target %s is registered at node %s: its Contact is called from here", a.target.Dial.Name, f.Node)
	}
	if problem != nil && !errors.Is(problem, outbound.ErrCircuitOpen) { // an open circuit has been logged already
		c.log.Warn().Err(problem).Str("target", a.target.Dial.Name).Int("attempt", a.number).Msg("target not ready")
	}
	// A target that is not registered is no outage: the circuit breaker must let the next call through.
	if errors.Is(f.Err, reach.ErrNotRegistered) {
		a.target.SIP.End(time.Now(), &a.try, circuit.Neutral)
	}
	if f.Cause != cause.None {
		all.failed(attemptEnd{cause: f.Cause, err: f.Err})
		return notDialled
	}
	why, err := all.dial(f)
	switch {
	case errors.Is(err, outbound.ErrWantsTCP):
		c.ladder.Decide("the INVITE to target %s is too large for UDP: it goes over TCP", a.target.Dial.Name)
		all.connect(f)
		return waitsForTCP
	case err != nil:
		c.log.Warn().Err(err).Str("target", a.target.Dial.Name).Int("attempt", a.number).Msg("target not dialled")
		all.failed(attemptEnd{cause: why, err: err})
		return notDialled
	}
	return dialled
}

// notePrepared records the result of a preparation. first is false if it was for a further address or connection of
// the same attempt.
func (all *attempts) notePrepared(f ready) (first bool) {
	c := all.call
	a := all.current
	a.stop() // releases the context of the preparation
	first = !f.TriedTCP && a.reached == nil
	a.prepareStatus, a.dest, a.reached = f.Prepared.Status, f.Dest, f.Reached
	if !f.AskedAPI || !first {
		return first
	}
	c.trial.end()
	a.prepareMS = f.Elapsed.Milliseconds()
	id := f.Prepared.CallID
	if id == "" {
		return first
	}
	c.name(id, registry.Given)
	if !a.plan.Replaces() {
		c.record.prepared(id)
	}
	if f.Prepared.Shared {
		c.log.Warn().Str("synthflow_call_id", id).
			Msg("the API gives each call the same id: it may be a stub, and the platform may take calls for one another")
	}
	return first
}

// dial creates the leg to the target and sends its INVITE.
func (all *attempts) dial(f ready) (cause.Cause, error) {
	c := all.call
	a := all.current
	local, err := f.Local(c.host.Stack)
	if err != nil {
		return cause.TargetUnreachable, err
	}
	if a.side() == media.SideA {
		c.calledAt(f.Dest)
		a.mediaName, err = c.bridge.Media.OpenToward(f.Dest, c.attempts.plan.Targets[0].Dial)
	} else {
		a.mediaName, err = c.bridge.Media.Toward(f.Dest.Addr(), a.target.Dial.Media.Address)
	}
	if err != nil {
		return bridge.CauseOf(err), err
	}
	at := netip.AddrPortFrom(a.mediaName, c.bridge.Media.Port(a.side()))
	leg, invite, why, err := all.outboundLeg(f, local, at)
	if err != nil {
		return why, err
	}
	a.transport = message.TransportName(local.Transport)
	a.line = c.addLeg(leg, f, a.side())
	a.line.Crypto = a.crypto
	if a.side() == media.SideA {
		c.record.dialed()
		c.setCaller(a.line)
		c.bridge.Agreement.SentTo[media.SideA] = a.formats
	}
	external := c.nameOutbound(leg.Dialog().CallID, invite.Request)
	if !a.plan.Replaces() {
		c.bridge.Media.Addr[media.SideB] = a.mediaName
		c.record.invited(leg.Dialog().CallID, external)
		if c.whoIs() == ringing || c.telling.hasInboundCaller() {
			c.record.dialed()
		}
	}
	c.step(a.line, invite)
	c.trial.from(time.Now(), a, false)
	a.reached.ReleaseAnswer()
	return cause.None, nil
}

// outboundLeg creates the leg to the target, and the input that makes the leg send its INVITE. The INVITE offers the
// address at, and has the configured headers. outboundLeg sends nothing.
func (all *attempts) outboundLeg(f ready, local leg.Local, at netip.AddrPort) (*leg.Leg, leg.Invite,
	cause.Cause, error,
) {
	c := all.call
	a := all.current
	invited, vars := c.callerInvite(), a.plan.VarsFor(a.number, c.variables())
	in := &reach.Invitation{
		Target: a.target, Vars: vars, TriedTCP: f.TriedTCP, OnResponse: a.heard,
		Options: c.host.legOptions(a.side(), local, a.target.Options()),
		Offer:   a.offer.ForTarget(at, a.crypto.Offering(), a.formats, sdp.SendRecv),
		In: outbound.Inbound{
			Invite: invited, Source: cmp.Or(a.plan.Source, invited), Trusted: c.trunk.Caller.Trusted,
			Privacy: outbound.WithheldFrom(vars, c.privacy),
			Extra:   append(outbound.TraceField(c.trace, a.number), a.plan.Headers...),
		},
		OnDropped: func(headers []string, whole int) { all.noteDropped(a, headers, whole) },
		OnTooLarge: func(err error) {
			c.log.Warn().Err(err).Str("target", a.target.Dial.Name).Int("attempt", a.number).
				Msg("request with credentials is too large")
		},
	}
	in.CallID, in.RingTimeout = message.NewCallID(), f.RingTimeout(a.target.Dial)
	if a.side() == media.SideA {
		in.CallID, in.RingTimeout = c.vars.SIPCallID, 0 // the call's set-up limit counts
	}
	if a.line != nil { // the attempt has tried another address of the target
		in.RetryOf = a.line.Leg
	}
	return f.Invite(in)
}

// noteDropped logs and records the headers that were left out of an INVITE. whole is the INVITE's size with all
// headers.
func (all *attempts) noteDropped(a *attempt, headers []string, whole int) {
	if len(headers) > len(a.dropped) {
		all.call.log.Warn().Str("target", a.target.Dial.Name).Int("attempt", a.number).Strs("headers", headers).
			Int("size", whole).Msg("headers left out")
	}
	a.dropped = headers
}

// connect opens a TCP connection to a target that is configured for UDP, for an INVITE that is too large for UDP (RFC
// 3261 section 18.1.1). It does so concurrently and then posts f again, with the connection or an error.
func (all *attempts) connect(f ready) {
	c := all.call
	ctx, cancel := context.WithCancel(c.host.Context)
	all.current.cancel = cancel
	f.Reached, f.TriedTCP, f.Err = new(*f.Reached), true, nil // a copy: the call owns the original
	all.beforeInvite(ctx, "connect", &f, func(ctx context.Context) {
		f.Flow, f.Err = c.host.Stack.ConnectTCP(ctx, f.URI, f.Dest)
	})
}

// refusedBy records how the attempt ended, and reports whether the next target should be tried.
func (all *attempts) refusedBy(f leg.Refused) (next bool) {
	a := all.current
	if f.Cause == cause.TargetSilent {
		a.line.wire.RetireFlow()
	}
	all.failed(attemptEnd{code: f.Code, reason: f.Reason, cause: f.Cause, q850: f.Q850, err: f.Err})
	return (cause.RefusesOffer(f.Code) && all.triesPlain()) || f.Code == 0 || f.Cause == cause.InviteTooLarge ||
		cause.NextTarget(f.Code, a.plan.FailoverOn)
}

// elsewhere continues the attempt at the target's next address if the refusal permits that (RFC 3263 section 4.3). It
// reports whether it does; then another ready event follows.
func (all *attempts) elsewhere(f leg.Refused) bool {
	c := all.call
	a := all.current
	if !a.reached.FailedAt(a.target.Dial, c.host.Stack, f) {
		return false
	}
	c.ladder.Decide("target %s: %s", a.target.Dial.Name, a.reached.Describe())
	all.detach(a)
	c.drop(a.line)
	ctx, cancel := context.WithCancel(c.host.Context)
	a.cancel = cancel
	ready, target := &ready{Attempt: a.number, Reached: new(*a.reached)}, a.target // a copy: the record reads the original
	all.beforeInvite(ctx, "connect", ready, func(ctx context.Context) { ready.Next(ctx, target, c.host.Stack) })
	return true
}

// badAnswer hangs up on a target whose SDP answer is unusable. If only the SRTP in it is, badAnswer may plan another
// attempt with RTP.
func (all *attempts) badAnswer(err error) {
	a := all.current
	all.call.log.Warn().Err(err).Str("target", a.target.Dial.Name).Msg("target's SDP answer not usable")
	all.call.step(a.line, leg.Hangup{Why: cause.BadAnswer})
	all.failed(attemptEnd{code: 200, cause: bridge.CauseOfAnswer(err), err: err})
	if errors.Is(err, sdp.ErrNotSecured) || errors.Is(err, sdp.ErrRejected) {
		all.triesPlain()
	}
}
