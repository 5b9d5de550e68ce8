package b2bua

import (
	"testing"

	"flowbridge/store"
)

// An INVITE of somebody else's ends as one of ours does.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		status int
		why    Cause
		want   Verdict
	}{
		{200, CauseCallerHangup, Verdict{CauseCallerHangup, store.DispositionAnswered, 16, false}},
		{0, CauseAgentHangup, Verdict{CauseAgentHangup, store.DispositionAnswered, 16, false}},
		{487, CauseCallerCancelled, Verdict{CauseCallerCancelled, store.DispositionCancelled, 31, false}},
		{487, CauseRingTimeout, Verdict{CauseRingTimeout, store.DispositionNoAnswer, 31, true}},
		{0, CauseTargetUnreachable, Verdict{CauseTargetUnreachable, store.DispositionFailed, 0, true}},
		{0, CausePrepareFailed, Verdict{CausePrepareFailed, store.DispositionFailed, 0, true}},
		{302, CauseNone, Verdict{CauseTargetError, store.DispositionFailed, 0, true}},
		{401, CauseNone, Verdict{CauseTargetError, store.DispositionFailed, 21, true}},
		{403, CauseNone, Verdict{CauseTargetRefused, store.DispositionFailed, 21, false}},
		{404, CauseNone, Verdict{CauseTargetRefused, store.DispositionFailed, 1, false}},
		{408, CauseNone, Verdict{CauseTargetError, store.DispositionNoAnswer, 102, true}},
		{480, CauseNone, Verdict{CauseTargetRefused, store.DispositionNoAnswer, 18, false}},
		{484, CauseNone, Verdict{CauseTargetRefused, store.DispositionFailed, 28, false}},
		{486, CauseNone, Verdict{CauseTargetBusy, store.DispositionBusy, 17, false}},
		{503, CauseNone, Verdict{CauseTargetError, store.DispositionFailed, 41, true}},
		{600, CauseNone, Verdict{CauseTargetBusy, store.DispositionBusy, 17, false}},
		{603, CauseNone, Verdict{CauseTargetRefused, store.DispositionFailed, 21, false}},
		{607, CauseNone, Verdict{CauseTargetRefused, store.DispositionFailed, 21, false}},
		{608, CauseNone, Verdict{CauseTargetRefused, store.DispositionFailed, 21, false}},
		{699, CauseNone, Verdict{CauseTargetError, store.DispositionFailed, 0, true}},
	} {
		if got := Judge(tt.status, tt.why); got != tt.want {
			t.Errorf("%d %s: got %+v; want %+v", tt.status, tt.why, got, tt.want)
		}
	}
}
