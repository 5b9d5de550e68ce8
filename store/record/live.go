package record

import "time"

// Live is the part of its record that a live call keeps, beside its other data. A whole Record is several times as
// large; most of it is media counters.
type Live struct {
	Trunk, Target string

	TargetSIPCallID, SynthflowCallID, ExternalID string

	StartedAt, RingingAt, PreparedAt, DialedAt, AnsweredAt, AgentAnsweredAt Time

	SetupMS  int64
	Queued   time.Duration // time spent waiting for a place at a target, without a current wait
	Waits    time.Time     // start of the current wait; zero if there is none
	Placed   bool          // we placed the call, and no agent has had it yet
	Restored int           // number of processes that restored it
	Attempts []Attempt

	Verstat, Attest, OrigID string

	Variables map[string]string // variables set by orders; each change makes a new map

	Told *Told // replaced, never changed; nil until the route's statement was due
}

// Waited returns how long the call has waited so far.
func (l *Live) Waited() time.Duration {
	if l.Waits.IsZero() {
		return l.Queued
	}
	return l.Queued + time.Since(l.Waits)
}

// Record returns a record with these fields and no others.
func (l *Live) Record() Record {
	attempts := l.Attempts
	if attempts == nil {
		attempts = []Attempt{}
	}
	return Record{
		Trunk: l.Trunk, Target: l.Target, TargetSIPCallID: l.TargetSIPCallID, SynthflowCallID: l.SynthflowCallID,
		ExternalID: l.ExternalID, StartedAt: l.StartedAt, RingingAt: l.RingingAt, PreparedAt: l.PreparedAt,
		DialedAt: l.DialedAt, AnsweredAt: l.AnsweredAt, SetupMS: l.SetupMS, QueuedMS: l.Waited().Milliseconds(),
		Waiting: !l.Waits.IsZero(), Placed: l.Placed, Restored: l.Restored, Attempts: attempts, Variables: l.Variables,
		Verstat: l.Verstat, Attest: l.Attest, OrigID: l.OrigID, Told: l.Told, AgentAnsweredAt: l.AgentAnsweredAt,
	}
}

// LiveOf returns the part of its record that a restored call keeps.
func LiveOf(r *Record) Live {
	return Live{
		Trunk: r.Trunk, Target: r.Target, TargetSIPCallID: r.TargetSIPCallID, SynthflowCallID: r.SynthflowCallID,
		ExternalID: r.ExternalID, StartedAt: r.StartedAt, RingingAt: r.RingingAt, PreparedAt: r.PreparedAt,
		DialedAt: r.DialedAt, AnsweredAt: r.AnsweredAt, SetupMS: r.SetupMS, Attempts: r.Attempts, Restored: r.Restored,
		Queued: time.Duration(r.QueuedMS) * time.Millisecond, Variables: r.Variables,
		Verstat: r.Verstat, Attest: r.Attest, OrigID: r.OrigID, Told: r.Told, AgentAnsweredAt: r.AgentAnsweredAt,
	}
}
