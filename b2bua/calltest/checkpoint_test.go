package calltest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/snapshot"
	"flowbridge/store/record"
)

// maskedYAML returns talkYAML with mask_dtmf: on_demand. Each order to mask or unmask makes the call write a
// checkpoint.
func maskedYAML() string {
	return strings.Replace(talkYAML("", ""), "targets: [agent]}", "targets: [agent], mask_dtmf: on_demand}", 1)
}

// endAll makes the server hang up an established call.
func (w *world) endAll() {
	w.server.HangupAll()
	hungUpOn(w.carrier, w.agent)
}

// noted returns the last checkpoint of the first call.
func (w *world) noted() (r record.Record, state []byte) {
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	r = w.sink.journal[len(w.sink.journal)-1]
	return r, w.sink.states[r.ID].State
}

// TestKeysAreNotedAtOnce: what changes right after the answer is noted together a moment later, but at once if a side has
// SRTP, whichever side that is.
func TestKeysAreNotedAtOnce(t *testing.T) {
	secured, plain := securedAt("192.0.2.20", 30000, cryptoAttr(3, cm80, 'b')), sdpAt("192.0.2.20", 30000)
	for name, tt := range map[string]struct {
		carrier, agent string
		offer, answer  string
		later          bool
	}{
		"none":       {"", "", sdpAt("192.0.2.10", 20000), plain, true},
		"the caller": {bothSecured, "", securedAt("192.0.2.10", 20000, cryptoAttr(1, cm80, 'a')), plain, false},
		"the agent":  {"", bothSecured, sdpAt("192.0.2.10", 20000), secured, false},
	} {
		runIn(t, name, talkYAML(tt.carrier, tt.agent), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = tt.offer
			in := w.carrier.ringsAt(w.agent, d)
			w.carrier.isTakenWith(w.agent, in, "agent1", d, tt.answer)
			notes := func() int {
				synctest.Wait()
				w.sink.mu.Lock()
				defer w.sink.mu.Unlock()
				return len(w.sink.journal)
			}
			before := notes()
			time.Sleep(2 * flushDelay)
			if later := notes() > before; later != tt.later {
				t.Errorf("noted later: %v; want %v", later, tt.later)
			}
			w.callerEnds(w.agent, d)
		})
	}
}

// The state in a checkpoint is small.
func TestNoteIsSmall(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		w.talk(nil, nil)
		time.Sleep(2 * flushDelay)
		synctest.Wait()
		if _, state := w.noted(); len(state) == 0 || len(state) > 4096 {
			t.Errorf("%d bytes; want at most 4096", len(state))
		}
		w.endAll()
	})
}

// A checkpoint has the call's duration so far. If the process is killed, the record gets this duration.
func TestNoteHasDuration(t *testing.T) {
	inWorldWith(t, maskedYAML(), func(w *world) {
		w.talk(nil, nil)
		r, _ := w.noted()
		time.Sleep(50*time.Minute - time.Since(r.AnsweredAt.Time))
		if _, err := w.server.Order(w.t.Context(), r.ID, bridge.OrderMask); err != nil {
			t.Fatal(err)
		}
		if r, _ = w.noted(); r.DurationMS != (50 * time.Minute).Milliseconds() {
			t.Errorf("lasted %d ms", r.DurationMS)
		}
		w.endAll()
	})
}

// lossySink drops checkpoints.
type lossySink struct{ snapshot.Sink }

func (lossySink) Journal(record.Record, []byte) {}

// BenchmarkNote measures an order and the checkpoint that it causes. BenchmarkJournal measures the store's part.
func BenchmarkNote(b *testing.B) {
	b.ReportAllocs()
	inBubble(b, func() {
		w := newWorld(b, maskedYAML(), func(o *b2bua.Options) { o.Sink = lossySink{o.Sink} })
		defer w.close()
		w.talk(nil, nil)
		id := w.server.Live(context.Background())[0].Record.ID
		began := cpuTime(b)
		for range b.N {
			if _, err := w.server.Order(context.Background(), id, bridge.OrderMask); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/note") // a bubble's clock stands still
	})
}

func cpuTime(b *testing.B) int64 {
	b.Helper()
	var now unix.Timespec
	must(b, unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now))
	return now.Nano()
}

// inBubble runs part of a benchmark in a synctest bubble, which package testing/synctest offers only to tests.
func inBubble(b *testing.B, do func()) {
	b.Helper()
	if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, func(*testing.T) { do() }) },
	}}) {
		b.Fatal("the bubble failed")
	}
}

// When both legs of a finished call have nothing left to send, the journal keeps nothing of it.
func TestNothingIsOwedOfAFinishedCall(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		w.callerHangsUp(d)
		w.record()
		time.Sleep(time.Minute)
		if left := w.sink.left(); len(left) != 0 {
			t.Errorf("left: %+v", left)
		}
	})
}

// Where another machine takes over, each call that has not ended is noted, and answered ones are counted.
func TestCallsAreNotedForAnotherMachine(t *testing.T) {
	inWorld(t, func(w *world) {
		ended, _ := w.established()
		w.callerHangsUp(ended)
		w.record()
		first, _ := w.established()
		must(t, w.server.Freeze(context.Background(), nil))
		clear(w.sink.states)
		if n := w.server.NoteAll(); n != 1 {
			t.Errorf("%d answered calls; want 1", n)
		}
		synctest.Wait()
		if len(w.sink.states) != 1 {
			t.Errorf("noted: %+v", w.sink.states)
		}
		w.server.Thaw()
		w.callerHangsUp(first)
	})
}
