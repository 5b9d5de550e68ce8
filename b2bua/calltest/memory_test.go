package calltest

import (
	"testing"
)

// While memory is scarce, new calls get a 503 that leaves no state, and live calls continue. When memory is no longer
// scarce, new calls are accepted again.
func TestScarceMemory(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		w.admission.Scarce(true)
		over := w.carrier.dials("+15075785607")
		if m := over.learn(w.carrier.expect("SIP/2.0 503")); m.value("Retry-After") == "" {
			t.Errorf("503 without Retry-After:\n%s", m.raw)
		}
		w.carrier.ackRefused(over)
		if n := w.server.Rejected().Memory.Load(); n != 1 || w.server.Calls() != 1 {
			t.Errorf("%d rejected for memory, %d calls; want one of each", n, w.server.Calls())
		}
		w.admission.Scarce(false)
		w.callerEnds(w.agent, d)
		d, _ = w.established()
		w.callerEnds(w.agent, d)
	})
}
