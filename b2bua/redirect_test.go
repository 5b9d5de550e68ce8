package b2bua

import (
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/store"
)

// An INVITE of somebody else's ends as one of ours does.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		status int
		why    cause.Cause
		want   Verdict
	}{
		{200, cause.CallerHangup, Verdict{cause.CallerHangup, store.DispositionAnswered, 16, false}},
		{0, cause.AgentHangup, Verdict{cause.AgentHangup, store.DispositionAnswered, 16, false}},
		{487, cause.CallerCancelled, Verdict{cause.CallerCancelled, store.DispositionCancelled, 31, false}},
		{487, cause.RingTimeout, Verdict{cause.RingTimeout, store.DispositionNoAnswer, 31, true}},
		{0, cause.TargetUnreachable, Verdict{cause.TargetUnreachable, store.DispositionFailed, 0, true}},
		{0, cause.PrepareFailed, Verdict{cause.PrepareFailed, store.DispositionFailed, 0, true}},
		{302, cause.None, Verdict{cause.TargetError, store.DispositionFailed, 0, true}},
		{401, cause.None, Verdict{cause.TargetError, store.DispositionFailed, 21, true}},
		{403, cause.None, Verdict{cause.TargetRefused, store.DispositionFailed, 21, false}},
		{404, cause.None, Verdict{cause.TargetRefused, store.DispositionFailed, 1, false}},
		{408, cause.None, Verdict{cause.TargetError, store.DispositionNoAnswer, 102, true}},
		{480, cause.None, Verdict{cause.TargetRefused, store.DispositionNoAnswer, 18, false}},
		{484, cause.None, Verdict{cause.TargetRefused, store.DispositionFailed, 28, false}},
		{486, cause.None, Verdict{cause.TargetBusy, store.DispositionBusy, 17, false}},
		{503, cause.None, Verdict{cause.TargetError, store.DispositionFailed, 41, true}},
		{600, cause.None, Verdict{cause.TargetBusy, store.DispositionBusy, 17, false}},
		{603, cause.None, Verdict{cause.TargetRefused, store.DispositionFailed, 21, false}},
		{607, cause.None, Verdict{cause.TargetRefused, store.DispositionFailed, 21, false}},
		{608, cause.None, Verdict{cause.TargetRefused, store.DispositionFailed, 21, false}},
		{699, cause.None, Verdict{cause.TargetError, store.DispositionFailed, 0, true}},
	} {
		if got := Judge(tt.status, tt.why); got != tt.want {
			t.Errorf("%d %s: got %+v; want %+v", tt.status, tt.why, got, tt.want)
		}
	}
}
