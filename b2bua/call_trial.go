package b2bua

import (
	"slices"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
)

// A half-open circuit is tried by the call of a person. Where that is not answered in half of its time, and another
// target can take the call, the caller goes on to that one. The trial runs on, and its result is the circuit's.

// trial is the one that a call makes.
type trial struct {
	idle
	at time.Time // deadline, of half of it
}

// lags says that half the time of an attempt is over that tries a circuit.
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

// from has the caller go on when half of a trial's time is over: of the request to the API if its circuit is not
// closed, or of the target's first answer. prepares: the API is asked next.
func (tr *trial) from(now time.Time, a *attempt, prepares bool) {
	switch t := a.target; {
	case a.plan.Replaces():
	case prepares && t.API.Status().State != circuit.Closed:
		tr.at = now.Add(t.Dial.Prepare.Timeout / 2)
	case !prepares && tr.at.IsZero() && t.SIP.Status().State == circuit.HalfOpen: // no other call is let through
		tr.at = now.Add(t.Dial.FirstResponseTimeout / 2)
	}
}

// lags goes on to the next target that can take the call, while the current one is tried; nil: there is none, or no
// trial.
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
		a.cancel = nil // the request goes on, and says itself what becomes of it
	case !asks && a.target.SIP.Status().State == circuit.HalfOpen:
		a.endTrial = a.target.Leave(&a.try, a.target.Dial.FirstResponseTimeout/2)
		if a.line != nil {
			c.step(a.line, leg.Abandon{Why: end.cause})
		}
	default:
		return nil // it has answered
	}
	c.ladder.Decide("target %s is tried after an outage, and lags: the caller goes on to the next target",
		a.target.Dial.Name)
	c.attempts.failed(end)
	return c.nextAttempt()
}

// late says of an attempt that the caller has left that its platform was ready after all.
func (all *attempts) late(f ready) {
	if f.AskedAPI && f.Answer() != nil {
		all.call.ladder.Decide("attempt %d has prepared a call that is not dialled: its caller has gone on", f.Attempt)
	}
}

// heard tells the circuit of an answer to the attempt's INVITE. A final one says something only of a trial whose caller
// has gone on.
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
