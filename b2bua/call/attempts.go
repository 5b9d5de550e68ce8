package call

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/internal/tracecontext"
	"flowbridge/media"
)

// attempts holds a call's attempts to reach a target, for its route or for a transfer, a rescue or a placed call.
type attempts struct {
	call    *Call
	plan    *outbound.Plan         // which agents to call; nil before they are known, and once it is no longer needed
	tried   int                    // number of attempts so far
	current *attempt               // nil before the first attempt, and when no target is left
	last    attemptEnd             // how the last failed attempt ended
	plain   map[*peers.Target]bool // targets that have refused SRTP; the next attempt offers them RTP
}

func (all *attempts) of(c *Call) { all.call = c }

// save adds to a saved state the connected attempt, or, before the call is connected, the current attempt.
func (all *attempts) save(k *snapshot.Sheet) {
	c, a := all.call, all.current
	k.Attempts.Tried = all.tried
	if c.isUp() {
		a, k.Attempts.Beside = c.connected, all.beside()
	} else if a != nil && a.recorded {
		a = nil
	}
	if a != nil {
		k.Attempt, k.Attempts.Current = a.save(c), &k.Attempt
	}
}

// follow sets which agents to call.
func (all *attempts) follow(p *outbound.Plan) { all.plan = p }

// forgetPlan drops the plan, which is no longer needed once an agent is connected.
func (all *attempts) forgetPlan() { all.plan = nil }

// queued plans the target at which the call has got a place, and then the others that were full.
func (all *attempts) queued(at *peers.Target) {
	p := all.plan
	others := slices.DeleteFunc(p.Full, func(t *peers.Target) bool { return t == at })
	p.Targets, p.Full, p.Capped = append([]*peers.Target{at}, others...), nil, false
}

// back makes an earlier attempt the current one, or none if it is nil.
func (all *attempts) back(a *attempt) { all.current = a }

// lost notes why the last attempt, which an old process has made, ended.
func (all *attempts) lost(why cause.Cause) { all.last.cause = why }

// next starts an attempt at the plan's next target. It returns nil if no target is left.
func (all *attempts) next(p *outbound.Plan) *attempt {
	all.current = nil
	if t, shared := p.Next(); t != nil {
		all.tried++
		all.current = &attempt{number: all.tried, plan: p, target: t, shared: shared, started: time.Now()}
	}
	return all.current
}

// cryptoFor returns new SRTP state for the leg to a target. fingerprint is our DTLS fingerprint.
func (all *attempts) cryptoFor(t *peers.Target, fingerprint string) *sdp.LegCrypto {
	m := t.Dial.Media
	return sdp.NewLegCrypto(m, fingerprint, m.SRTP == config.SRTPRequired ||
		(m.SRTP == config.SRTPOptional && !all.plain[t]))
}

// try starts an attempt at the next target of a plan that can be called, and reports whether there is one.
func (all *attempts) try(p *outbound.Plan) bool {
	a := all.pick(p)
	if a != nil {
		all.prepare(a)
	}
	return a != nil
}

// pick chooses the next target of a plan that can be called, and takes a place there. It returns nil if there is none.
// Each target that can't be called gets an entry in the record.
func (all *attempts) pick(p *outbound.Plan) *attempt {
	c := all.call
	for a := all.next(p); a != nil; a = all.next(p) {
		c.ladder.Next(a.target.Dial.Name)
		if !p.Replaces() {
			c.record.reaches(a.target, c.trunk)
			c.record.next(c.whoIs() == ringing)
		}
		if all.possible(a) {
			return a
		}
	}
	return nil
}

// putBack takes a picked attempt back, so that its target is the next one of the plan.
func (all *attempts) putBack(a *attempt) {
	a.plan.Targets, a.plan.Shared = append([]*peers.Target{a.target}, a.plan.Targets...), a.shared
	all.tried--
	all.current = nil
}

// possible reports whether the attempt can be made: there must be a common codec and a free place at the target. If
// not, possible records the attempt as failed.
func (all *attempts) possible(a *attempt) bool {
	c := all.call
	vars := a.plan.VarsFor(a.number, c.variables())
	a.parties = peers.PartiesOf(&vars)
	c.give(a)
	if err := all.offerTo(a); err != nil {
		all.failed(attemptEnd{cause: bridge.CauseOfOffer(err), err: err})
		return false
	}
	if over := all.occupyUnlessSilent(a); over != peers.LimitNone {
		if full := over == peers.LimitCap; full || over == peers.LimitCircuit {
			a.plan.Full, a.plan.Capped = append(a.plan.Full, a.target), a.plan.Capped || full
		}
		all.failed(attemptEnd{cause: over.Cause()})
		return false
	}
	c.placeTaken()
	return true
}

// takes reports whether a target can take the call now.
func (all *attempts) takes(t *peers.Target) bool {
	return all.call.bridge.Agreement.SharesCodec(t) && all.call.host.Admission.Takes(t)
}

// occupyUnlessSilent is occupy, except that a target whose calls are silent leaves the call to another target of the
// plan that can take it.
func (all *attempts) occupyUnlessSilent(a *attempt) (over peers.Limit) {
	if why := a.target.SIP.Status().Silent; why != "" && a.try == (circuit.Try{}) &&
		slices.ContainsFunc(a.plan.Targets, all.takes) && a.target.SIP.Skip(time.Now()) {
		all.call.ladder.Decide("target %s is skipped: %s", a.target.Dial.Name, why)
		return peers.LimitCircuit
	}
	return all.occupy(a)
}

// occupy takes a place at the attempt's target, and a try of its circuit breaker. It takes no place for an attempt
// that has one, or that calls the first party of a placed call. It returns the limit that was reached, or LimitNone.
func (all *attempts) occupy(a *attempt) (over peers.Limit) {
	c := all.call
	occupy := c.host.Admission.Occupy
	switch {
	case a.try != (circuit.Try{}):
		return peers.LimitNone
	case a.placed, a.side() == media.SideA:
		try, closed := a.target.SIP.Begin(time.Now())
		if a.try = try; !closed {
			return peers.LimitCircuit
		}
		return peers.LimitNone
	case c.hadPlace:
		occupy = c.host.Admission.Reoccupy
	}
	a.try, over = occupy(a.target, a.parties)
	a.placed = over == peers.LimitNone
	return over
}

// offerTo makes the SDP offer for the attempt's target, and the leg's SRTP state.
func (all *attempts) offerTo(a *attempt) (err error) {
	c := all.call
	a.crypto = all.cryptoFor(a.target, c.host.Bridges.Identity.Fingerprint())
	if a.side() == media.SideA {
		a.offer, a.formats, err = c.bridge.Agreement.OfferFirst(a.target.Dial, c.attempts.plan.Targets)
		return err
	}
	a.offer, a.formats, err = c.bridge.Agreement.OfferFor(a.target.Dial)
	return err
}

// prepare starts the API request, the name lookup and the connection, which precede the attempt's INVITE. The result is
// posted as a ready event.
func (all *attempts) prepare(a *attempt) {
	c := all.call
	traced := tracecontext.With(c.host.Context, c.trace.Header(tracecontext.KindPrepare, a.number))
	ctx, cancel := context.WithCancel(traced)
	a.cancel = cancel
	vars, stack, number, t := a.plan.VarsFor(a.number, c.variables()), c.host.Stack, a.number, a.target
	if t.Preparer != nil {
		ctx = c.ladder.Context(ctx, t.Dial.Name)
	}
	c.trial.from(time.Now(), a, t.Preparer != nil)
	ready := &ready{Attempt: number}
	all.beforeInvite(ctx, "prepare", ready, func(ctx context.Context) {
		defer cancel() // releases ctx even if the call does not wait for the result
		ready.Reached = reach.Begin(ctx, t, vars, stack, c.host.Registrar)
	})
}

// beforeInvite runs do, which prepares an attempt, concurrently with the call, and then posts ready to the call. do
// starts on the goroutine of the call's turn, because do mostly waits for I/O.
func (all *attempts) beforeInvite(ctx context.Context, what string, ready *ready, do func(context.Context)) {
	c := all.call
	c.host.Calls.Add(1)
	c.host.Coroutines.Begin(ctx, func(ctx context.Context) {
		defer c.host.Calls.Done()
		defer func() {
			if ready.Reached == nil { // do has panicked
				ready.Reached = &reach.Reached{Requested: outbound.Requested{Cause: cause.InternalError}}
			}
			c.mailbox.PostLast(item{event: *ready})
		}()
		defer c.host.Recovered(what)
		do(ctx)
	})
}

// failed records how the current attempt ended, and releases the attempt's media and its place at the target.
func (all *attempts) failed(o attemptEnd) {
	c := all.call
	a := all.current
	all.last = o
	c.trial.end()
	a.stop()
	all.note(o.cause, o.code)
	c.record.failed(reasonOf(o.cause, o.err))
	c.ladder.Failed(ladder.Attempt{
		Target: a.target.Dial.Name, Cause: o.cause, Code: o.code, Reason: o.reason,
		PrepareStatus: a.prepareStatus, Prepare: time.Duration(a.prepareMS) * time.Millisecond,
		Took: time.Since(a.started), Err: o.err,
	})
	all.detach(a)
	c.log.Info().Str("target", a.target.Dial.Name).Str("cause", string(o.cause)).Int("code", o.code).
		Int("attempt", a.number).Str("target_sip_call_id", a.callID()).Str("dest", ladder.Shown(a.dest)).AnErr("err", o.err).
		Msg("attempt failed")
	c.host.vacate(a)
}

// detach stops the media to and from a target that did not take the call, because the target's port may already
// belong to another call. A caller that heard our ringing before the target's media hears it again.
func (all *attempts) detach(a *attempt) {
	c := all.call
	if c.b == nil && a == all.current && a.side() == media.SideB { // during a transfer, side B belongs to the agent
		c.bridge.Media.Detach()
	}
}

// judge reports the outcome of the attempt to the target's circuit breaker.
func (a *attempt) judge(why cause.Cause, code int) { a.target.RecordOutcome(&a.try, why, code) }

func (all *attempts) note(cause cause.Cause, code int) {
	a := all.current
	a.judge(cause, code)
	a.recorded = true
	all.call.record.note(a.recordOf(cause, code), a.entry[:0])
}

// beside returns, as JSON, the record's entry for an attempt in parallel with the bridge: the entry that applies if
// this process ends now. It returns nil if there is no such attempt.
func (all *attempts) beside() []byte {
	a := all.current
	if a == nil || a == all.call.connected || a.recorded {
		return nil
	}
	text, err := json.Marshal(a.recordOf(cause.ProcessRestart, a.status()))
	if err != nil { // can't happen: JSON can represent every field
		return nil
	}
	return text
}

// readAnswer parses the SDP answer of the target of the current attempt.
func (all *attempts) readAnswer(body []byte) (*sdp.Description, error) {
	return all.call.bridge.ReadAnswer(&all.current.line.Half, body, all.current.formats)
}

// abandon stops the current attempt, whatever its state. caller has the Reason headers of the caller's CANCEL.
func (all *attempts) abandon(why cause.Cause, caller cause.Reasons) {
	c, a := all.call, all.current
	if a == nil {
		return
	}
	all.last = attemptEnd{cause: why} // the record must not show the outcome of an earlier target
	a.stop()
	if a.line != nil {
		c.step(a.line, leg.Abandon{Why: why, Caller: caller})
		c.step(a.line, leg.Hangup{Why: why}) // if the target has answered, but the answer waits for keys
	}
	all.note(why, a.status())
}

// triesPlain plans one more attempt at a target that has refused optional SRTP, with RTP. It returns false if SRTP
// was not offered or not optional, or if RTP was already tried.
func (all *attempts) triesPlain() bool {
	a := all.current
	if a.target.Dial.Media.SRTP != config.SRTPOptional || a.crypto == nil || all.plain[a.target] {
		return false
	}
	if all.plain == nil {
		all.plain = map[*peers.Target]bool{}
	}
	all.plain[a.target] = true
	a.plan.Targets = append([]*peers.Target{a.target}, a.plan.Targets...)
	all.call.log.Info().Str("target", a.target.Dial.Name).Msg("target refused SRTP: retrying with RTP")
	all.call.ladder.Decide("target %s does not take SRTP: RTP is offered", a.target.Dial.Name)
	return true
}

// attemptEnd is the outcome of a failed attempt.
type attemptEnd struct {
	code   int // the target's final answer, or 0 if there was none
	reason string
	cause  cause.Cause
	q850   int
	err    error // why the target gave no answer, if known
}
