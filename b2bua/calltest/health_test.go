package calltest

import (
	"context"
	"testing"
	"time"
)

// A process is healthy if any of its calls responds within the given time, and otherwise it
// is not.
func TestResponsive(t *testing.T) {
	inWorld(t, func(w *world) {
		probe := func() (took time.Duration, err error) {
			ctx, cancel := context.WithTimeout(w.t.Context(), 7*time.Second)
			defer cancel()
			begin := time.Now()
			err = w.server.Responsive(ctx)
			return time.Since(begin), err
		}
		if took, err := probe(); err != nil || took != 0 {
			t.Errorf("without calls: %v after %v", err, took)
		}
		hold := make(chan struct{})
		w.relay.hold = hold
		stuck := w.carrier.dials("+15075785607")
		w.carrier.expect("SIP/2.0 100")
		if took, err := probe(); err == nil || took != 7*time.Second {
			t.Errorf("with a call that is stuck: %v after %v", err, took)
		}
		d, _ := w.established()
		if took, err := probe(); err != nil || took != 0 {
			t.Errorf("with one that answers beside it: %v after %v", err, took)
		}
		w.carrier.cancel(stuck)
		w.carrier.expect("SIP/2.0 200")
		close(hold)
		w.carrier.isRefused(stuck, "487")
		w.record()
		w.callerEnds(w.agent, d)
	})
}
