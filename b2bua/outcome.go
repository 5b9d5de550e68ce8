package b2bua

import (
	"flowbridge/b2bua/cause"
	"flowbridge/store"
)

// Outcome is what the end of an INVITE means for its call.
type Outcome struct {
	Cause       cause.Cause
	Disposition string // the record's, where the call ends with it
	Q850        int    // the record's; 0: none
	Next        bool   // it is the next target's turn
}

// OutcomeOf says what the end of an INVITE that somebody else has sent means for
// the call, as if it were ours: status is the target's final answer, 0 where
// there was none. why is what happened, and empty for a refusal, of which status
// is all that is known.
func OutcomeOf(status int, why cause.Cause) Outcome {
	v := Outcome{Cause: why, Disposition: dispositionOf(why, status), Q850: cause.Q850Of(status)}
	switch why {
	case cause.CallerHangup, cause.AgentHangup:
		v.Disposition, v.Q850 = store.DispositionAnswered, cause.Q850OfCause(why)
	case cause.CallerCancelled:
	case cause.None:
		v.Cause, v.Next = cause.OfStatus(status), cause.NextTarget(status, nil)
	default:
		v.Next = true
	}
	return v
}

// attemptEnd is how an attempt ended.
type attemptEnd struct {
	code   int // the target's final answer, 0: none
	reason string
	cause  cause.Cause
	q850   int
	err    error // why there is no answer, if that is known
}

// dispositionOf is the record's disposition of a call that was not answered.
func dispositionOf(why cause.Cause, status int) string {
	switch {
	case why == cause.CallerCancelled:
		return store.DispositionCancelled
	case status == 486 || status == 600:
		return store.DispositionBusy
	case why == cause.RingTimeout || status == 408 || status == 480:
		return store.DispositionNoAnswer
	default:
		return store.DispositionFailed
	}
}
