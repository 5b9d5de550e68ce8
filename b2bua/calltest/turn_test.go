package calltest

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// turnsUnderWay returns the number of goroutines that currently run a call.
func turnsUnderWay() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "b2bua.(*Call).run(")
}

// A call that waits for something has no goroutine: while it is prepared, dialled or
// bridged, and while a leg lingers.
func TestCallThatWaitsHasNoGoroutine(t *testing.T) {
	inWorld(t, func(w *world) {
		none := func(when string) {
			t.Helper()
			synctest.Wait()
			if n := turnsUnderWay(); n != 0 {
				t.Errorf("%s: %d goroutines", when, n)
			}
		}
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		none("dialing")
		w.agent.takes(invite, "agent1")
		w.carrier.expect("SIP/2.0 200")
		none("before the ACK")
		w.carrier.ack(d)
		none("bridged")
		time.Sleep(30 * time.Minute)
		none("bridged for long")
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		bye := w.agent.expect("BYE")
		none("in linger")
		w.agent.reply(bye, 200, "OK", "", "")
		w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
	})
}

// When a server stops, it also ends calls that wait without a goroutine.
func TestStopRousesCalls(t *testing.T) {
	inWorld(t, func(w *world) {
		w.established()
		synctest.Wait()
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
		w.wantRecord("answered", cause.Shutdown, record.EndedBySystem)
		for _, p := range []*peer{w.carrier, w.agent} {
			p.expect("BYE")
		}
	})
}

// If a call blocks, other calls continue, even if the blocked call runs on the goroutine
// that reads the socket.
func TestTurnThatWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		hold := make(chan struct{})
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		w.relay.hold = hold
		stuck := w.carrier.dials("+15075785607")
		w.carrier.expect("SIP/2.0 100")
		began := time.Now()
		d, _ := w.established()
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("another call took %v", took)
		}
		w.carrier.cancel(stuck)
		w.carrier.expect("SIP/2.0 200")
		synctest.Wait() // wait until the call handles the CANCEL: otherwise a 180 may come before the 487
		release()
		w.carrier.isRefused(stuck, "487")
		w.wantRecord("cancelled", cause.CallerCancelled, record.EndedByCaller)
		w.callerHangsUp(d)
	})
}
