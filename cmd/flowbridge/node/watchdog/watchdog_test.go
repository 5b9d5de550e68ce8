package watchdog

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/testlog"
)

// works is a part for the watchdog, played by a test.
type works struct {
	mu    sync.Mutex
	steps map[string]uint64
	block chan struct{} // nil: it does not
}

func (w *works) set(id string, step uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.steps == nil {
		w.steps = map[string]uint64{}
	}
	if w.steps[id] = step; step == 0 {
		delete(w.steps, id)
	}
}

func (w *works) underway(yield func(string, uint64)) {
	w.mu.Lock()
	block := w.block
	w.mu.Unlock()
	if block != nil {
		<-block
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, step := range w.steps {
		yield(id, step)
	}
}

// inWatch runs test in a synctest bubble while a watchdog watches two parts and logs to out: calls, which is vital, and
// disk, which is not.
func inWatch(t *testing.T, test func(t *testing.T, s *Watchdog, out *testlog.Log, calls, disk *works)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		calls, disk, out := &works{}, &works{}, &testlog.Log{}
		s := New(zerolog.New(out), Part{Name: "call", Vital: true, Looks: 2, Underway: calls.underway}, Part{Name: "store", Looks: 4, Underway: disk.underway})
		ctx, stop := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { s.Watch(ctx) })
		time.Sleep(lookEvery / 2) // between two looks
		test(t, s, out, calls, disk)
		stop()
		watching.Wait()
	})
}

// looks waits for some looks.
func looks(n int) {
	time.Sleep(time.Duration(n) * lookEvery)
	synctest.Wait()
}

func stalledParts(s *Watchdog) string {
	var all []string
	s.Gauges(func(name, _ string, value float64, labels ...string) {
		all = append(all, fmt.Sprintf("%s %s %v", name, labels[1], value))
	})
	return strings.Join(all, ", ")
}

// What does not get on is named once when that begins, and once when it ends. Only what is vital is told to the supervisor.
func TestWatchdogStalls(t *testing.T) {
	inWatch(t, func(t *testing.T, s *Watchdog, out *testlog.Log, calls, disk *works) {
		for step := range uint64(20) { // busy, and well
			calls.set("1", step+1)
			looks(1)
		}
		calls.set("1", 0)
		if out.String() != "" || len(s.Troubles()) > 0 {
			t.Fatalf("a busy call stands still: %s", out.String())
		}
		disk.set("writer", 7)
		looks(4)
		if out.String() != "" {
			t.Errorf("told too early: %s", out.String())
		}
		looks(6)
		if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), `"level":"warn","part":"store","id":"writer"`) {
			t.Errorf("told: %s", out.String())
		}
		if err := s.Vital(t.Context()); err != nil {
			t.Errorf("a store that stands still is told to the supervisor: %v", err)
		}
		if got := s.Troubles(); len(got) != 1 || !strings.HasPrefix(got[0], "store writer stands still since 2000-01-01T00:00:2") {
			t.Errorf("troubles %q", got)
		}
		calls.set("2", 1)
		looks(3)
		if err := s.Vital(t.Context()); err == nil || !strings.Contains(err.Error(), "call 2 stands still") {
			t.Errorf("vital: %v", err)
		}
		if got, want := stalledParts(s), "stalled call 1, stalls_total call 1, stalled store 1, stalls_total store 1"; got != want {
			t.Errorf("figures %s; want %s", got, want)
		}
		calls.set("2", 2)
		disk.set("writer", 0)
		looks(1)
		if got, want := stalledParts(s), "stalled call 0, stalls_total call 1, stalled store 0, stalls_total store 1"; got != want {
			t.Errorf("figures %s; want %s", got, want)
		}
		if err := s.Vital(t.Context()); err != nil || strings.Count(out.String(), `"level":"info"`) != 2 || strings.Count(out.String(), "\n") != 4 {
			t.Errorf("%v, told: %s", err, out.String())
		}
		calls.set("2", 0)
	})
}

// Many calls that stand still have ten lines, and count one by one.
func TestWatchdogStallsOfMany(t *testing.T) {
	inWatch(t, func(t *testing.T, s *Watchdog, out *testlog.Log, calls, _ *works) {
		for i := range 25 {
			calls.set(fmt.Sprint(i), 1)
		}
		looks(5)
		if n := strings.Count(out.String(), "\n"); n != maxNamed {
			t.Errorf("%d lines; want %d", n, maxNamed)
		}
		if got := s.Troubles(); len(got) != maxNamed+1 || got[maxNamed] != "15 more things stand still" {
			t.Errorf("troubles %q", got)
		}
		if !strings.HasPrefix(stalledParts(s), "stalled call 25, stalls_total call 25") {
			t.Error(stalledParts(s))
		}
		for i := range 25 {
			calls.set(fmt.Sprint(i), 0)
		}
		looks(1)
		if n := strings.Count(out.String(), `"level":"info"`); n != maxNamed {
			t.Errorf("%d lines of the end; want %d", n, maxNamed)
		}
	})
}

// A process that was stopped as a whole says so, and no part of it seems to have stood still.
func TestWatchdogStallsOfAll(t *testing.T) {
	out, calls := &testlog.Log{}, &works{}
	s := New(zerolog.New(out), Part{Name: "call", Vital: true, Looks: 2, Underway: calls.underway})
	at := *s.looked.Load()
	calls.set("1", 1)
	for _, after := range []time.Duration{time.Second, time.Minute} {
		at = at.Add(after)
		s.look(at)
	}
	for len(s.lines) > 0 {
		(<-s.lines)()
	}
	if got, want := out.String(), `{"level":"warn","dur_ms":59000,"message":"the whole process stood still"}`+"\n"; got != want || len(s.Troubles()) > 0 {
		t.Errorf("told %s; want %s; troubles %q", got, want, s.Troubles())
	}
}

// A watchdog that does not look any more is no sign of life. One that was late is waited for.
func TestWatchdogStallsOfTheWatchdog(t *testing.T) {
	inWatch(t, func(t *testing.T, s *Watchdog, _ *testlog.Log, calls, _ *works) {
		block := make(chan struct{})
		calls.mu.Lock()
		calls.block = block
		calls.mu.Unlock()
		looks(8)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := s.Vital(ctx); err == nil {
			t.Error("a watchdog that hangs is a sign of life")
		}
		late := make(chan error, 1)
		go func() { late <- s.Vital(t.Context()) }()
		synctest.Wait()
		close(block)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
	})
}

// A log that takes nothing holds up neither the watchdog nor the supervisor's sign of life.
func TestWatchdogStallsOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, full := &works{}, make(chan struct{})
		s := New(zerolog.New(writerFunc(func(p []byte) (int, error) { <-full; return len(p), nil })), Part{Name: "call", Looks: 1, Underway: calls.underway})
		ctx, stop := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { s.Watch(ctx) })
		for i := range uint64(4 * maxUnlogged) {
			calls.set("1", 1+i/4)
			time.Sleep(lookEvery)
		}
		if err := s.Vital(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(full)
		stop()
		watching.Wait()
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
