package record

import "time"

// Live is what a live call keeps of its record, beside what it needs for itself. A whole Record is several times as
// large, most of it for the counts of the media.
type Live struct {
	Trunk, Target string

	TargetSIPCallID, SynthflowCallID, ExternalID string

	StartedAt, RingingAt, PreparedAt, DialedAt, AnsweredAt Time

	SetupMS  int64
	Queued   time.Duration // waited for a place at a target, but for a wait that goes on
	Waits    time.Time     // since then; zero: it does not wait now
	Placed   bool          // by us, and it has no agent so far
	Restored int           // by how many processes
	Attempts []Attempt

	Verstat, Attest, OrigID string

	Variables map[string]string // by orders; a new map with each change
}

// Waited is how long the call has waited so far.
func (l *Live) Waited() time.Duration {
	if l.Waits.IsZero() {
		return l.Queued
	}
	return l.Queued + time.Since(l.Waits)
}

// Record returns the record that has these, and nothing else.
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
		Verstat: l.Verstat, Attest: l.Attest, OrigID: l.OrigID,
	}
}

// LiveOf returns what a call that goes on keeps of its record.
func LiveOf(r *Record) Live {
	return Live{
		Trunk: r.Trunk, Target: r.Target, TargetSIPCallID: r.TargetSIPCallID, SynthflowCallID: r.SynthflowCallID,
		ExternalID: r.ExternalID, StartedAt: r.StartedAt, RingingAt: r.RingingAt, PreparedAt: r.PreparedAt,
		DialedAt: r.DialedAt, AnsweredAt: r.AnsweredAt, SetupMS: r.SetupMS, Attempts: r.Attempts, Restored: r.Restored,
		Queued: time.Duration(r.QueuedMS) * time.Millisecond, Variables: r.Variables, Placed: r.Placed,
		Verstat: r.Verstat, Attest: r.Attest, OrigID: r.OrigID,
	}
}
