package b2bua

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/internal/siptest"
	"flowbridge/store"
)

// refusedCall makes a call that comes to nothing, and gives its record.
func (w *world) refusedCall(number string) store.Record {
	w.t.Helper()
	d := w.carrier.newCall(number)
	w.carrier.invite(d)
	d.learn(w.carrier.expect("SIP/2.0 180"))
	w.carrier.expect("SIP/2.0 503")
	w.carrier.ackRefused(d)
	return w.record()
}

// A connection over which a target said nothing is not used for the next call:
// its other end may be gone without a word.
func TestSilentConnectionIsNotUsedAgain(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		agents := w.streamAgent(agentAddr)
		defer agents.l.Close()
		for range 3 {
			go func() {
				agent := agents.accept()
				agent.expect("INVITE")
				defer agent.conn.Close()
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
				time.Sleep(noTCPFor)
			}
			d := w.overBudget()
			w.agent.reply(w.agent.expect("INVITE"), 486, "Busy Here", "a", "")
			w.agent.expect("ACK")
			w.carrier.expect("SIP/2.0 486")
			w.carrier.ackRefused(d)
			w.record()
			if w.dials.Load() != wanted {
				t.Errorf("call %d: %d connections were tried; want %d", i+1, w.dials.Load(), wanted)
			}
		}
	})
}

// A target that does not read what comes over its connection holds up neither
// UDP nor the renewal of its listener.
func TestUnreadConnectionHoldsNobodyUp(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		w.server.stack.maxSources = 1
		agents := w.streamAgent(agentAddr)
		defer agents.l.Close()
		for range 90 { // more INVITEs than a connection holds
			d := w.carrier.newCall("+15075785607")
			w.carrier.invite(d)
		}
		synctest.Wait()
		time.Sleep(100 * time.Millisecond) // the renewal begins
		w.carrier.rest()
		begin := time.Now()
		d := w.carrier.newCall("+15095785607")
		w.carrier.invite(d)
		w.agent2.reply(w.agent2.expect("INVITE"), 486, "Busy Here", "a", "")
		w.agent2.expect("ACK")
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("a call over UDP took %v to get through", took)
		}
		w.drain(3 * time.Minute)
		w.sink.mu.Lock()
		w.sink.done = nil
		w.sink.mu.Unlock()
	})
}

// How long messages wait is also looked at where they come over connections.
func TestOverloadOverConnections(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		p := w.connect(carrierAddr.Addr())
		defer p.conn.Close()
		p.send(siptest.OptionsOverTCP)
		p.expect("SIP/2.0 200")
		synctest.Wait()
		if w.server.load.probed.Load() == 0 {
			t.Error("nothing was measured")
		}
	})
}

// Peers can have us open connections; not more than the limits allow.
func TestOpenedConnectionsAreBounded(t *testing.T) {
	yaml := strings.Replace(streamConfig, "connections: 40", "connections: 1", 1)
	inWorldWith(t, yaml, func(w *world) {
		s := w.server.stack.streams
		if !s.leaves() {
			t.Fatal("the first connection is too many")
		}
		if r := w.refusedCall("+15075785607"); r.Cause != string(cause.TargetUnreachable) || w.dials.Load() != 0 {
			t.Errorf("cause %s after %d connections", r.Cause, w.dials.Load())
		}
		s.left()
		w.refusedCall("+15075785607")
		if w.dials.Load() != 1 || s.dialled != 0 {
			t.Errorf("%d connections were tried, %d are counted", w.dials.Load(), s.dialled)
		}
	})
}

// What comes late for a leg that is over counts on no connection any more.
func TestClosedWireHasNoFlow(t *testing.T) {
	c := &stream{}
	w := newWire(&stack{}, leg.Local{}, c, func(leg.Input) bool { return false })
	w.close()
	w.setFlow(c)
	if n := c.users.Load(); n != 0 || w.flow != nil {
		t.Errorf("%d users, flow %v", n, w.flow)
	}
}
