package outbound

import (
	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// Outcome is what the end of an INVITE to a target means for its call.
type Outcome struct {
	Cause       cause.Cause
	Disposition string // disposition in the record if the call ends with this
	Q850        int    // Q.850 code in the record; 0 if none
	Next        bool   // try the next target
}

// OutcomeOf returns what the end of an INVITE means that another party has sent, as if we had sent
// it. status is the target's final status, or 0. why is the cause; it is empty for a refusal, where
// only the status is known.
func OutcomeOf(status int, why cause.Cause) Outcome {
	v := Outcome{Cause: why, Disposition: DispositionOf(why, status), Q850: cause.Q850Of(status)}
	switch why {
	case cause.CallerHangup, cause.AgentHangup:
		v.Disposition, v.Q850 = record.DispositionAnswered, cause.Q850OfCause(why)
	case cause.CallerCancelled:
	case cause.None:
		v.Cause, v.Next = cause.OfStatus(status), cause.NextTarget(status, nil)
	default:
		v.Next = true
	}
	return v
}

// DispositionOf returns the record's disposition of a call that was not answered.
func DispositionOf(why cause.Cause, status int) string {
	switch {
	case why == cause.CallerCancelled, why == cause.OperatorHangup:
		return record.DispositionCancelled
	case status == 486 || status == 600:
		return record.DispositionBusy
	case why == cause.RingTimeout || why == cause.Expired || status == 408 || status == 480:
		return record.DispositionNoAnswer
	default:
		return record.DispositionFailed
	}
}
