package calltest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// upgraded replaces the server. It fails the test if the upgrade is refused.
func (w *world) upgraded() {
	w.t.Helper()
	synctest.Wait()
	must(w.t, w.upgrade())
}

// TestMediaGoOnWhileARecordWaits: while a record can't be written, media is not frozen. If it takes too long, the
// upgrade fails and the old server continues.
func TestMediaGoOnWhileARecordWaits(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		over, c := w.talk(nil, nil), w.talk(nil, nil)
		w.sink.hold = make(chan struct{})
		w.callerHangsUp(over.d)
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		frozen := 0
		err := w.server.Freeze(ctx, func() { frozen++ })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "records of calls are") || frozen != 0 {
			t.Errorf("%v, frozen %d times", err, frozen)
		}
		close(w.sink.hold)
		w.record()
		w.upgraded()
		c.hangsUp()
	})
}

// TestSetUpIsBegunAgain: the new process restarts a call in set-up under the same id. The target gets CANCEL and a new
// INVITE, and the caller gets nothing but another 180.
func TestSetUpIsBegunAgain(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d, in := w.ringing()
		w.upgraded()
		again := w.cancelledAndAgain(in)
		if again.value("Call-ID") == in.value("Call-ID") {
			t.Errorf("the same Call-ID:\n%s", again.raw)
		}
		w.carrier.expect("SIP/2.0 180")
		w.agent.answer(again, "agent2")
		ok := w.carrier.expect("SIP/2.0 200")
		d.learn(ok)
		w.carrier.ack(d)
		w.agent.expect("ACK")
		time.Sleep(time.Second)
		w.callerEnds(w.agent, d)
	})
}

// TestMaskedWhileItIsSetUp: keys that an operator masked before the answer are still masked when the call restarts.
func TestMaskedWhileItIsSetUp(t *testing.T) {
	inRecordedWorld(t, recordingYAML("mask_dtmf: on_demand", ""), func(w *recorded) {
		d, in := w.ringing()
		w.orders(bridge.OrderMask, true)
		w.upgraded()
		again := w.cancelledAndAgain(in)
		w.carrier.expect("SIP/2.0 180")
		w.agent.answer(again, "agent2")
		w.carrier.isAnswered(d)
		w.agent.expect("ACK")
		synctest.Wait()
		if live := w.server.Live(w.t.Context())[0]; !live.Masked || !w.session().masks[media.SideA].On {
			t.Errorf("masked %v, by the session %+v", live.Masked, w.session().masks[media.SideA])
		}
		w.callerEnds(w.agent, d)
	})
}

// TestKilledAfterTheHandOver: a new process is killed right after it has taken over, or after it has restarted the
// calls in set-up. The process after it ends these calls: the caller gets 500, the target gets CANCEL, and there is one
// record.
func TestKilledAfterTheHandOver(t *testing.T) {
	for name, serves := range map[string]bool{"at once": false, "when it serves": true} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			d, in := w.ringing()
			h, err := w.handOver()
			must(w.t, err)
			w.beginWith(nil, h)
			if serves {
				w.serves()
				in = w.cancelledAndAgain(in)
				w.carrier.expect("SIP/2.0 180")
			}
			synctest.Wait() // otherwise the process might be killed before it gets the first target's 487
			w.life.dead.Store(true)
			left := w.sink.left()
			w.server.Stack().Serve() // so that the old server can end
			if err := w.server.Close(); err != nil {
				w.t.Error(err)
			}
			w.begin(left)
			w.carrier.isRefused(d, "500")
			w.cancelled(in)
			w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
			synctest.Wait()
			if left := w.die(); len(left) != 0 {
				w.t.Errorf("%d calls are left", len(left))
			}
			w.begin(nil)
		})
	}
}

// TestSetUpIsNotBegunAgain: if the new process refuses to restart a call, the call still gets its record.
func TestSetUpIsNotBegunAgain(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		_, in := w.ringing()
		h, err := w.handOver()
		must(t, err)
		w.beginWith(nil, h)
		w.server.Drain()
		w.serves()
		w.carrier.expect("SIP/2.0 503")
		w.cancelled(in)
		w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
	})
}

// ringing sets up a call until its target rings. It returns the dialogue and the target's INVITE.
func (w *world) ringing() (*dialogue, received) {
	w.t.Helper()
	d := w.carrier.dialsTillRung("+15075785607")
	in := w.agent.progresses(180, "Ringing", "agent1", "")
	synctest.Wait()
	return d, in
}

// cancelled expects the CANCEL of an INVITE, and answers both.
func (w *world) cancelled(in received) {
	w.t.Helper()
	w.agent.takesCancel(in, "agent1")
}

// cancelledAndAgain expects the CANCEL of an INVITE and a new INVITE, in any order. It returns the new INVITE.
func (w *world) cancelledAndAgain(in received) (again received) {
	w.t.Helper()
	for _, m := range w.agent.rest() {
		switch {
		case strings.HasPrefix(m.raw, "CANCEL "):
			w.agent.reply(m, 200, "OK", "agent1", "")
			w.agent.reply(in, 487, "Terminated", "agent1", "")
		case strings.HasPrefix(m.raw, "INVITE "):
			again = m
		default:
			w.t.Errorf("unexpected:\n%s", m.raw)
		}
	}
	if again.raw == "" {
		w.t.Fatal("no INVITE")
	}
	w.agent.expect("ACK")
	return again
}

// TestUpgradeWithoutItsAddress: if the new configuration lacks the address of a call in set-up, the old process must
// continue. Otherwise neither the caller nor the target would get an answer.
func TestUpgradeWithoutItsAddress(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		_, in := w.ringing()
		h, err := w.handOver()
		must(t, err)
		o := w.options
		o.Before = h
		if o.Config, err = config.Parse("test.yaml", []byte(strings.Replace(talkYAML("", ""), "198.51.100.1:5060", "198.51.100.1:5070", 1)), func(string) (string, bool) { return "x", true }); err != nil {
			t.Fatal(err)
		}
		if _, err := b2bua.NewServer(o); !isStopped(err, "its SIP address is not listened on any more") {
			t.Errorf("got %v", err)
		}
		w.beginWith(nil, h)
		w.server.Drain()
		w.serves()
		w.carrier.expect("SIP/2.0 503")
		w.cancelled(in)
		w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
	})
}
