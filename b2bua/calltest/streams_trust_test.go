package calltest

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// refusedCall makes a call that comes to nothing, and gives its record.
func (w *world) refusedCall(number string) record.Record {
	w.t.Helper()
	d := w.carrier.dialsTillRung(number)
	w.carrier.isRefused(d, "503")
	return w.record()
}

// A connection over which a target said nothing is not used for the next call:
// its other end may be gone without a word.
func TestSilentConnectionIsNotUsedAgain(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		agents := w.streamAgent(agentAddr)
		for range 3 {
			go func() {
				agent := agents.accept()
				<-agent.in
				time.Sleep(time.Minute)
			}()
			if r := w.refusedCall("+15075785607"); r.Cause != string(cause.TargetSilent) {
				t.Errorf("cause %s", r.Cause)
			}
		}
		synctest.Wait()
		if w.dials.Load() != 3 {
			t.Errorf("%d connections for 3 calls", w.dials.Load())
		}
	})
}

// A target over UDP that has no TCP is not asked for it by each call whose
// INVITE is over the budget.
func TestNoTCPIsRemembered(t *testing.T) {
	inWorldWith(t, overflowConfig, func(w *world) {
		for i, wanted := range []int32{1, 1, 2} {
			if i == 2 {
				time.Sleep(30 * time.Second)
			}
			d := w.overBudget()
			w.carrier.isBusyAt(w.agent, w.agent.expect("INVITE"), "a", d)
			w.record()
			if w.dials.Load() != wanted {
				t.Errorf("call %d: %d connections were tried; want %d", i+1, w.dials.Load(), wanted)
			}
		}
	})
}
