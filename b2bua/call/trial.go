package call

import (
	"slices"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/leg"
)

// This file handles trials. After an outage a target's circuit breaker is half-open: one real call tries the target. If
// the target does not answer within half of its time limit, and another target can take the call, the caller moves on
// to that target. The trial continues, and its outcome goes to the circuit breaker.

// trial is the timer of a call that tries a target after an outage.
type trial struct {
	idle
	at time.Time // half of the trial's time limit; zero if this call makes no trial
}

// lags means that half of a trial's time limit has passed.
type lags struct{ of *attempt }

func (lags) isPartEvent() {}

func (tr *trial) on(h happening) (next phase, handled bool) {
	of, _ := h.event.(ofPart)
	e, handled := of.partEvent.(lags)
	if handled && tr.call.whoIs() == ringing {
		next = tr.lags(e.of)
	}
	return next, handled
}

func (tr *trial) deadline() time.Time { return tr.at }

func (tr *trial) due(time.Time) {
	tr.at = time.Time{}
	tr.call.mailbox.happened(ofPart{lags{tr.call.attempts.current}})
}

func (tr *trial) end() { tr.at = time.Time{} }

// from sets the deadline of a trial. If prepares is set, the API request comes next: the deadline is half of the
// request's time limit if the API's circuit breaker is not closed. Otherwise it is half of the time limit for the
// target's first response if the target's circuit breaker is half-open.
func (tr *trial) from(now time.Time, a *attempt, prepares bool) {
	switch t := a.target; {
	case a.plan.Replaces():
	case prepares && t.API.Status().State != circuit.Closed:
		tr.at = now.Add(t.Dial.Prepare.Timeout / 2)
	case !prepares && tr.at.IsZero() && t.SIP.Status().State == circuit.HalfOpen: // so this call is the trial
		tr.at = now.Add(t.Dial.FirstResponseTimeout / 2)
	}
}

// lags moves the caller on to the next target that can take the call, while the trial of the current target continues.
// It returns nil, and changes nothing, if there is no such target or no trial.
func (tr *trial) lags(a *attempt) phase {
	c := tr.call
	if a == nil || a != c.attempts.current || !slices.ContainsFunc(a.plan.Targets, c.attempts.takes) {
		return nil
	}
	asks := a.cancel != nil && a.target.Preparer != nil
	end := attemptEnd{cause: cause.TargetSilent}
	switch {
	case asks && a.target.API.Status().State == circuit.HalfOpen:
		end.cause = cause.PrepareTimeout
		a.cancel = nil // the API request continues, and its result still goes to the circuit breaker
	case !asks && a.target.SIP.Status().State == circuit.HalfOpen:
		a.endTrial = a.target.Leave(&a.try, a.target.Dial.FirstResponseTimeout/2)
		if a.line != nil {
			c.step(a.line, leg.Abandon{Why: end.cause})
		}
	default:
		return nil // the target has answered
	}
	c.ladder.Decide("target %s is tried after an outage, and lags: the caller goes on to the next target",
		a.target.Dial.Name)
	c.attempts.failed(end)
	return c.nextAttempt()
}

// late notes in the ladder that a platform has prepared a call whose caller had already moved on.
func (all *attempts) late(f ready) {
	if f.AskedAPI && f.Answer() != nil {
		all.call.ladder.Decide("attempt %d has prepared a call that is not dialled: its caller has gone on", f.Attempt)
	}
}

// heard reports a response to the attempt's INVITE to the circuit breaker. It reports a final response only if the
// attempt is a trial whose caller has moved on.
func (a *attempt) heard(code int) {
	switch {
	case a.endTrial != nil && code < 300:
		a.endTrial(cause.None, code)
	case a.endTrial != nil:
		a.endTrial(cause.OfStatus(code), code)
	case code < 200:
		a.target.SIP.Provisional(time.Now(), a.try)
	}
}
