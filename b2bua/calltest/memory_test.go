package calltest

import (
	"testing"
)

// While memory is scarce, new calls get 503 without state. Live calls continue, and new ones are accepted again when it
// is no longer scarce.
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
