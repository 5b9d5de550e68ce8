package b2bua

import (
	"slices"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
)

// After an outage a target's circuit is half-open: one real call is tried. If the target does not answer within half of
// its time limit, and another target can take the call, the caller moves on to that one. The trial continues, and its
// result goes to the circuit.

// trial times the trial of a half-open circuit that a call makes.
type trial struct {
	idle
	at time.Time // deadline: half of the trial's time limit
}

// lags means that half the time limit of a trial is over.
type lags struct{ of *attempt }

func (lags) isPartEvent() {}

func (tr *trial) on(h happening) (next phase, mine bool) {
	of, _ := h.event.(ofPart)
	e, mine := of.partEvent.(lags)
	if mine && tr.call.whoIs() == ringing {
		next = tr.lags(e.of)
	}
	return next, mine
}

func (tr *trial) deadline() time.Time { return tr.at }

func (tr *trial) due(time.Time) {
	tr.at = time.Time{}
	tr.call.mailbox.happened(ofPart{lags{tr.call.attempts.current}})
}

func (tr *trial) end() { tr.at = time.Time{} }

// from sets the deadline of a trial to half its time limit. This is the limit of the API request if the API's circuit
// is not closed, or else the limit for the target's first answer. prepares says that the API request comes next.
func (tr *trial) from(now time.Time, a *attempt, prepares bool) {
	switch t := a.target; {
	case a.plan.Replaces():
	case prepares && t.API.Status().State != circuit.Closed:
		tr.at = now.Add(t.Dial.Prepare.Timeout / 2)
	case !prepares && tr.at.IsZero() && t.SIP.Status().State == circuit.HalfOpen: // this call is the trial
		tr.at = now.Add(t.Dial.FirstResponseTimeout / 2)
	}
}

// lags moves the caller on to the next target that can take the call, while the trial of the current one continues. It
// returns nil if there is no other target, or no trial.
func (tr *trial) lags(a *attempt) phase {
	c := tr.call
	takes := func(t *peers.Target) bool { return c.bridge.Agreement.SharesCodec(t) && c.server.admission.Takes(t) }
	if a == nil || a != c.attempts.current || !slices.ContainsFunc(a.plan.Targets, takes) {
		return nil
	}
	asks := a.cancel != nil && a.target.Preparer != nil
	end := attemptEnd{cause: cause.TargetSilent}
	switch {
	case asks && a.target.API.Status().State == circuit.HalfOpen:
		end.cause = cause.PrepareTimeout
		a.cancel = nil // the request continues, and reports its own result
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

// late reports in the ladder that the platform of an attempt was ready after the caller had moved on.
func (all *attempts) late(f ready) {
	if f.AskedAPI && f.Answer() != nil {
		all.call.ladder.Decide("attempt %d has prepared a call that is not dialled: its caller has gone on", f.Attempt)
	}
}

// heard reports a response to the attempt's INVITE to the circuit. A final response is reported only for a trial whose
// caller has moved on.
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
