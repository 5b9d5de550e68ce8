package outbound

import (
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

func TestDisposition(t *testing.T) {
	for _, tt := range []struct {
		cause  cause.Cause
		status int
		want   string
	}{
		{cause.CallerCancelled, 487, record.DispositionCancelled},
		{cause.CallerCancelled, 0, record.DispositionCancelled},
		{cause.TargetBusy, 486, record.DispositionBusy},
		{cause.TargetBusy, 600, record.DispositionBusy},
		{cause.RingTimeout, 503, record.DispositionNoAnswer},
		{cause.TargetRefused, 480, record.DispositionNoAnswer},
		{cause.TargetError, 408, record.DispositionNoAnswer},
		{cause.TargetRefused, 404, record.DispositionFailed},
		{cause.TargetRefused, 603, record.DispositionFailed},
		{cause.TargetRefused, 487, record.DispositionFailed}, // the target's own 487, not caused by the caller
		{cause.NoRoute, 404, record.DispositionFailed},
		{cause.TargetSilent, 503, record.DispositionFailed},
		{cause.OperatorHangup, 480, record.DispositionCancelled},
		{cause.Shutdown, 503, record.DispositionFailed},
		{cause.InternalError, 500, record.DispositionFailed},
	} {
		if got := DispositionOf(tt.cause, tt.status); got != tt.want {
			t.Errorf("%s with %d: %s; want %s", tt.cause, tt.status, got, tt.want)
		}
	}
}

// An INVITE of another server, read from a capture, is judged like one of ours.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		status int
		why    cause.Cause
		want   Outcome
	}{
		{200, cause.CallerHangup, Outcome{cause.CallerHangup, record.DispositionAnswered, 16, false}},
		{0, cause.AgentHangup, Outcome{cause.AgentHangup, record.DispositionAnswered, 16, false}},
		{487, cause.CallerCancelled, Outcome{cause.CallerCancelled, record.DispositionCancelled, 31, false}},
		{487, cause.RingTimeout, Outcome{cause.RingTimeout, record.DispositionNoAnswer, 31, true}},
		{0, cause.TargetUnreachable, Outcome{cause.TargetUnreachable, record.DispositionFailed, 0, true}},
		{0, cause.PrepareFailed, Outcome{cause.PrepareFailed, record.DispositionFailed, 0, true}},
		{302, cause.None, Outcome{cause.TargetError, record.DispositionFailed, 0, true}},
		{401, cause.None, Outcome{cause.TargetError, record.DispositionFailed, 21, true}},
		{403, cause.None, Outcome{cause.TargetRefused, record.DispositionFailed, 21, false}},
		{404, cause.None, Outcome{cause.TargetRefused, record.DispositionFailed, 1, false}},
		{408, cause.None, Outcome{cause.TargetError, record.DispositionNoAnswer, 102, true}},
		{480, cause.None, Outcome{cause.TargetRefused, record.DispositionNoAnswer, 18, false}},
		{484, cause.None, Outcome{cause.TargetRefused, record.DispositionFailed, 28, false}},
		{486, cause.None, Outcome{cause.TargetBusy, record.DispositionBusy, 17, false}},
		{503, cause.None, Outcome{cause.TargetError, record.DispositionFailed, 41, true}},
		{600, cause.None, Outcome{cause.TargetBusy, record.DispositionBusy, 17, false}},
		{603, cause.None, Outcome{cause.TargetRefused, record.DispositionFailed, 21, false}},
		{607, cause.None, Outcome{cause.TargetRefused, record.DispositionFailed, 21, false}},
		{608, cause.None, Outcome{cause.TargetRefused, record.DispositionFailed, 21, false}},
		{699, cause.None, Outcome{cause.TargetError, record.DispositionFailed, 0, true}},
	} {
		if got := OutcomeOf(tt.status, tt.why); got != tt.want {
			t.Errorf("%d %s: got %+v; want %+v", tt.status, tt.why, got, tt.want)
		}
	}
}
