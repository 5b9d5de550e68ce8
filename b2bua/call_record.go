package b2bua

import (
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/peers"
	"flowbridge/store/record"
)

// callRecord is what the CDR of a call has beside what the call keeps for itself. A whole
// record.Record is several times as large, most of it for the counts of the media.
type callRecord struct {
	trunk, target string

	targetSIPCallID, synthflowCallID, externalID string

	startedAt, ringingAt, preparedAt, dialedAt, answeredAt record.Time

	setupMS  int64
	queued   time.Duration // waited for a place at a target, but for a wait that goes on
	restored int           // by how many processes
	attempts []record.Attempt

	variables map[string]string // by orders; a new map with each change
}

// cdr is the call's CDR so far, without the files of recordings.
func (c *Call) cdr() record.Record {
	if c.ended != nil {
		return *c.ended
	}
	r := &c.record
	attempts := r.attempts
	if attempts == nil {
		attempts = []record.Attempt{}
	}
	var lasts time.Duration // so far
	if !c.times.answered.IsZero() {
		lasts = time.Since(c.times.answered)
	}
	return record.Record{
		ID: c.id, Node: c.server.node, Trunk: r.trunk, Route: c.vars.Route, Target: r.target, Direction: c.vars.Direction,
		From: c.vars.From.Number, To: c.vars.To.Number, Lead: c.vars.Lead().Number,
		SIPCallID: c.vars.SIPCallID, TargetSIPCallID: r.targetSIPCallID, SynthflowCallID: r.synthflowCallID,
		ExternalID: r.externalID,
		StartedAt:  r.startedAt, RingingAt: r.ringingAt, PreparedAt: r.preparedAt, DialedAt: r.dialedAt,
		AnsweredAt: r.answeredAt,
		SetupMS:    r.setupMS, DurationMS: lasts.Milliseconds(), Codec: c.bridge.Agreement.CodecName, Attempts: attempts,
		Restored: r.restored,
		QueuedMS: c.waited().Milliseconds(), Waiting: c.waits(),
		Placed:  c.customer != nil,
		TraceID: c.trace.ID(), Traceparent: c.trace.Caller(),
		Verstat: c.vars.Identity().Verstat, Attest: c.vars.Identity().Attest, OrigID: c.vars.Identity().OrigID,
		Variables: r.variables,
	}
}

// logEnded logs the end of a call.
func logEnded(line *zerolog.Event, r *record.Record) {
	line.Str("from", r.From).Str("to", r.To).
		Stringer("started_at", &r.StartedAt).Str("disposition", r.Disposition).Str("cause", r.Cause).
		Str("ended_by", r.EndedBy).
		Int("code", r.SIPStatus).Str("sip_call_id", r.SIPCallID).Str("target", r.Target).
		Str("target_sip_call_id", r.TargetSIPCallID).
		Str("synthflow_call_id", r.SynthflowCallID).Int64("setup_ms", r.SetupMS).Int64("dur_ms", r.DurationMS).
		Int64("rx_a", r.Media.A.Rx).Int64("rx_b", r.Media.B.Rx).Msg("call ended")
}

// noteDestination notes an attempt's destination in the record. In a call that a
// target has placed, the record's target is that one.
func (c *Call) noteDestination(t *peers.Target) {
	switch {
	case c.trunk.Platform == nil:
		c.record.target = t.Dial.Name
	case t.Trunk != nil:
		c.record.trunk = t.Dial.Name
	}
}
