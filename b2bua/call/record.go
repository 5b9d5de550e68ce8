package call

import (
	"slices"
	"time"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/stir"
	"flowbridge/store/record"
)

// recorded is the record of a live call, without what other parts of the call know.
type recorded struct{ record.Live }

// next removes from the record what it says of the target before. rings says that the call is not answered.
func (r *recorded) next(rings bool) {
	r.TargetSIPCallID, r.SynthflowCallID, r.ExternalID = "", "", ""
	r.PreparedAt = record.Time{}
	if rings {
		r.DialedAt = record.Time{}
	}
}

// prepared records the platform's id of the call.
func (r *recorded) prepared(id string) {
	r.PreparedAt, r.SynthflowCallID = record.TimeOf(time.Now()), id
}

// dialed records when the INVITE to a party was sent.
func (r *recorded) dialed() { r.DialedAt = record.TimeOf(time.Now()) }

// invited records the ids in the INVITE to a target.
func (r *recorded) invited(callID, external string) {
	r.TargetSIPCallID, r.ExternalID = callID, external
}

// rings records when the first party rang, and reports whether this is the first time.
func (r *recorded) rings() (first bool) {
	if !r.RingingAt.IsZero() {
		return false
	}
	r.RingingAt = record.TimeOf(time.Now())
	return true
}

// answered records the answer.
func (r *recorded) answered(t *times) {
	r.AnsweredAt, r.SetupMS = record.TimeOf(t.answered), t.answered.Sub(t.started).Milliseconds()
}

// unanswered removes the answer from the record, because the caller never got it.
func (r *recorded) unanswered() { r.AnsweredAt, r.SetupMS = record.Time{}, 0 }

// note adds an attempt. first is the memory for the first one.
func (r *recorded) note(a record.Attempt, first []record.Attempt) {
	if r.Attempts == nil {
		r.Attempts = first
	}
	r.Attempts = append(r.Attempts, a)
}

// failed says in words why the last attempt failed.
func (r *recorded) failed(why string) { r.Attempts[len(r.Attempts)-1].Error = why }

// answeredBy records who answered a placed call, and reports whether that replaces an earlier verdict.
func (r *recorded) answeredBy(who string, confidence float64) (again bool) {
	r.Attempts = slices.Clone(r.Attempts) // a clone, because the journal may share the old slice
	if a := record.AnsweredCustomer(r.Attempts); a != nil {
		again = a.AnsweredBy != ""
		a.AnsweredBy, a.Confidence = who, confidence
	}
	return again
}

// agentAnswered records that an agent has answered, if it is the first one.
func (r *recorded) agentAnswered() {
	if r.AgentAnsweredAt.IsZero() {
		r.AgentAnsweredAt = record.TimeOf(time.Now())
	}
}

// told records what the caller was told.
func (r *recorded) told(t record.Told) { r.Told = &t }

// setPlaced records whether the call is placed, and has had no agent yet.
func (r *recorded) setPlaced(is bool) { r.Placed = is }

// waits records that the call waits for a place from now on.
func (r *recorded) waits(now time.Time) { r.Waits = now }

// waited records that the wait is over.
func (r *recorded) waited() { r.Queued, r.Waits = r.Waited(), time.Time{} }

// verified records the result of verifying the caller.
func (r *recorded) verified(e stir.Result) {
	r.Verstat, r.Attest, r.OrigID = e.Verstat, e.Attest, e.OrigID
}

// setVariables records the variables that orders have set.
func (r *recorded) setVariables(variables map[string]string) { r.Variables = variables }

// reaches sets the record's target or, if a target placed the call, its trunk, from the target of an attempt.
func (r *recorded) reaches(t *peers.Target, from *peers.Trunk) {
	switch {
	case from.Platform == nil:
		r.Target = t.Dial.Name
	case t.Trunk != nil:
		r.Trunk = t.Dial.Name
	}
}

// cdr returns the call's record so far, or the final record if the call has ended.
func (c *Call) cdr() record.Record {
	if c.ended != nil {
		return *c.ended
	}
	r := c.record.Record()
	if !c.times.answered.IsZero() {
		r.DurationMS = time.Since(c.times.answered).Milliseconds() // of a call that continues
	}
	r.ID, r.Node, r.Route, r.Direction = c.id, c.host.Node, c.vars.Route, c.vars.Direction
	r.From, r.To, r.Lead = c.vars.From.Number, c.vars.To.Number, c.vars.Lead().Number
	r.SIPCallID, r.Codec = c.vars.SIPCallID, c.bridge.Agreement.CodecName
	r.TraceID, r.Traceparent = c.trace.ID(), c.trace.Caller()
	c.bridge.Record(&r)
	return r
}
