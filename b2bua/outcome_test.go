package b2bua

import (
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/store"
)

func TestDisposition(t *testing.T) {
	for _, tt := range []struct {
		cause  cause.Cause
		status int
		want   string
	}{
		{cause.CallerCancelled, 487, store.DispositionCancelled},
		{cause.CallerCancelled, 0, store.DispositionCancelled},
		{cause.TargetBusy, 486, store.DispositionBusy},
		{cause.TargetBusy, 600, store.DispositionBusy},
		{cause.RingTimeout, 503, store.DispositionNoAnswer},
		{cause.TargetRefused, 480, store.DispositionNoAnswer},
		{cause.TargetError, 408, store.DispositionNoAnswer},
		{cause.TargetRefused, 404, store.DispositionFailed},
		{cause.TargetRefused, 603, store.DispositionFailed},
		{cause.TargetRefused, 487, store.DispositionFailed}, // the target's own, not the caller's
		{cause.NoRoute, 404, store.DispositionFailed},
		{cause.TargetSilent, 503, store.DispositionFailed},
		{cause.Shutdown, 503, store.DispositionFailed},
		{cause.InternalError, 500, store.DispositionFailed},
	} {
		if got := dispositionOf(tt.cause, tt.status); got != tt.want {
			t.Errorf("%s with %d: %s; want %s", tt.cause, tt.status, got, tt.want)
		}
	}
}
