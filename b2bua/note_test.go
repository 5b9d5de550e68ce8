package b2bua

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/b2bua/kept"
)

// answeredCall gives a call that is up, and is not to be touched by anybody else.
func answeredCall(w *world) *Call {
	w.talk(nil, nil)
	return w.server.registry.All()[0]
}

// encode encodes the call as a note does, and says how many bytes it takes.
func encode(c *Call) (int, error) {
	sheet := kept.TakeSheet()
	defer sheet.Release()
	c.notes.state(sheet)
	text, err := sheet.Encode()
	return len(text), err
}

// A state is small.
func TestNoteIsSmall(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := answeredCall(w)
		if n, err := encode(c); err != nil || n > 4096 {
			t.Errorf("%v, %d bytes; want at most 4096", err, n)
		}
		w.server.HangupAll()
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
	})
}

// A note says what the call has lasted, because a record of an interrupted call goes on from there.
func TestNoteHasDuration(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := answeredCall(w)
		time.Sleep(50*time.Minute - time.Since(c.times.answered))
		synctest.Wait()
		c.notes.write(nil)
		w.sink.mu.Lock()
		noted := w.sink.journal[len(w.sink.journal)-1]
		w.sink.mu.Unlock()
		if noted.DurationMS != (50 * time.Minute).Milliseconds() {
			t.Errorf("lasted %d ms", noted.DurationMS)
		}
		w.server.HangupAll()
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
	})
}

// BenchmarkNote is the state of a call that is up, without the store's part (BenchmarkJournal).
func BenchmarkNote(b *testing.B) {
	b.ReportAllocs()
	inBubble(b, func() {
		w := newWorld(b, talkYAML("", ""), func(*Options) {})
		defer w.close()
		c := answeredCall(w)
		began := cpuTime(b)
		for range b.N {
			if _, err := encode(c); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/note") // the clock of a bubble stands still
	})
}

func cpuTime(b *testing.B) int64 {
	b.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		b.Fatal(err)
	}
	return now.Nano()
}

// inBubble runs a part of a benchmark in a bubble, which only tests have.
func inBubble(b *testing.B, do func()) {
	b.Helper()
	if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: b.Name(), F: func(t *testing.T) { synctest.Test(t, func(*testing.T) { do() }) },
	}}) {
		b.Fatal("the bubble failed")
	}
}
