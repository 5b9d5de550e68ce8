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

// upgraded replaces the server, or fails the test.
func (w *world) upgraded() {
	w.t.Helper()
	synctest.Wait()
	must(w.t, w.upgrade())
}

// TestMediaGoOnWhileARecordWaits: media is not frozen while a record is not written, and the server continues when its
// time is over.
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

// TestSetUpIsBegunAgain: the other process restarts a call in set-up as the same call. Its target is cancelled and
// called again, and the caller only gets another 180.
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

// TestKilledAfterTheHandOver: a process that is killed right after it has taken over, or after it has restarted the
// calls in set-up, leaves them to the next one: the caller gets 500, the target CANCEL, and there is one record.
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
			synctest.Wait() // otherwise the first target's 487 may be unknown when the process dies
			w.life.dead.Store(true)
			left := w.sink.left()
			w.server.Stack().Serve() // so that it can end
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

// TestSetUpIsNotBegunAgain: a call that the other process refuses gets its record.
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

// ringing returns a call whose target rings.
func (w *world) ringing() (*dialogue, received) {
	w.t.Helper()
	d := w.carrier.dialsTillRung("+15075785607")
	in := w.agent.progresses(180, "Ringing", "agent1", "")
	synctest.Wait()
	return d, in
}

// cancelled takes the CANCEL of an INVITE.
func (w *world) cancelled(in received) {
	w.t.Helper()
	w.agent.takesCancel(in, "agent1")
}

// cancelledAndAgain takes the CANCEL of an INVITE and the next INVITE, in any order.
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

// TestUpgradeWithoutItsAddress: a call in set-up at an address that the new configuration lacks keeps the old process
// running, because otherwise neither the caller nor the target would get any answer.
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
