package b2bua

import (
	"flowbridge/b2bua/cause"
	"flowbridge/store"
)

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
