package circuit

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

var settings = Settings{Failures: 3, Pause: time.Second, MaxPause: 8 * time.Second}

// clock is a breaker whose time a test sets.
type clock struct {
	*Breaker
	now     time.Time
	changes []string
}

func newClock(s Settings) *clock {
	c := &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	began := c.now
	c.Breaker = New("x", s, func(h Change) {
		c.changes = append(c.changes, fmt.Sprintf("%v %v after %v", h.State, h.Pause+h.For, c.now.Sub(began)))
	})
	return c
}

// ends makes an attempt with this outcome, which takes some time. It reports whether the breaker let the attempt
// through.
func (c *clock) ends(o Outcome, took time.Duration) bool {
	try, ok := c.Begin(c.now)
	if c.now = c.now.Add(took); ok {
		c.End(c.now, &try, o)
	}
	return ok
}

func (c *clock) wantChanges(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(c.changes, want) {
		t.Errorf("changes %q; want %q", c.changes, want)
	}
}

// The API hangs at 50 calls a second. The first timeout opens the circuit, and after that only one call waits after
// each pause.
func TestHangingAPI(t *testing.T) {
	c := newClock(settings)
	type call struct {
		try   Try
		until time.Time
	}
	var waiting []call
	waited := 0
	for range 50 * 30 {
		for len(waiting) > 0 && !waiting[0].until.After(c.now) {
			c.End(c.now, &waiting[0].try, Silent)
			waiting = waiting[1:]
		}
		if try, ok := c.Begin(c.now); ok {
			waited++
			waiting = append(waiting, call{try, c.now.Add(3 * time.Second)})
		}
		c.now = c.now.Add(20 * time.Millisecond)
	}
	c.wantChanges(t, "open 1s after 3s", "open 2s after 7s", "open 4s after 12s", "open 8s after 19s")
	if s := c.Status(); waited != 150+4 || s.State != HalfOpen || s.Refused != 50*30-154 {
		t.Errorf("%d waited, %+v", waited, s)
	}
}

// A platform that fails every second call is still used.
func TestHalfOfThemFail(t *testing.T) {
	c := newClock(settings)
	for i := range 10_000 {
		o := Succeeded
		if i%2 == 0 || i%64 < 10 { // with rows of ten failures as well
			o = Failed
		}
		if !c.ends(o, 20*time.Millisecond) {
			t.Fatal("refused")
		}
	}
	c.wantChanges(t)
}

// Several failures within a moment do not open the circuit. The same failures over a second do.
func TestBurst(t *testing.T) {
	c := newClock(settings)
	for range 100 {
		c.ends(Failed, 5*time.Millisecond)
	}
	c.ends(Succeeded, time.Millisecond)
	c.wantChanges(t)
	for range 100 {
		c.ends(Failed, 20*time.Millisecond)
	}
	c.wantChanges(t, "open 1s after 1.501s")
}

// If some attempts are slow while others are answered, the circuit stays closed, however many are slow.
func TestOneIsSlow(t *testing.T) {
	for _, o := range []Outcome{Failed, Silent} {
		c := newClock(settings)
		slow, _ := c.Begin(c.now)
		for range 100 {
			c.Begin(c.now)
		}
		c.now = c.now.Add(2900 * time.Millisecond)
		c.ends(Succeeded, 100*time.Millisecond)
		for range 2 {
			try := slow
			c.End(c.now, &try, o) // counts separately
		}
		c.wantChanges(t)
	}
}

// A platform that answers in 100 ms is still used at 50 calls a second, even if several lookups in a row take too long.
func TestSomeAreSlow(t *testing.T) {
	c := newClock(settings)
	type call struct {
		try   Try
		until time.Time
		o     Outcome
	}
	var waiting []call
	for i := range 50 * 30 {
		waiting = slices.DeleteFunc(waiting, func(w call) bool {
			if w.until.After(c.now) {
				return false
			}
			c.End(c.now, &w.try, w.o)
			return true
		})
		try, ok := c.Begin(c.now)
		if !ok {
			t.Fatalf("call %d is refused: %+v", i, c.Status())
		}
		w := call{try, c.now.Add(100 * time.Millisecond), Succeeded}
		if i%100 < 4 {
			w.until, w.o = c.now.Add(3*time.Second), Silent
		}
		waiting = append(waiting, w)
		c.now = c.now.Add(20 * time.Millisecond)
	}
	c.wantChanges(t)
}

// If a circuit opens repeatedly, the pause before a trial gets longer. After the circuit has been closed for long
// enough, the pause is short again.
func TestFlapping(t *testing.T) {
	c := newClock(settings)
	flap := func() {
		for c.Status().State != Open {
			c.ends(Failed, time.Second)
		}
		c.now = c.Status().RetryAt
		if !c.ends(Succeeded, 0) || c.Status().State != Closed {
			t.Fatal("not closed")
		}
	}
	for range 5 {
		flap()
	}
	if s := c.Status(); !s.Since.Equal(c.now) {
		t.Errorf("closed since %v; want %v", s.Since, c.now)
	}
	c.wantChanges(t, "open 1s after 3s", "closed 1s after 4s", "open 2s after 7s", "closed 2s after 9s", "open 4s after 12s",
		"closed 4s after 16s", "open 8s after 19s", "closed 8s after 27s", "open 8s after 30s", "closed 8s after 38s")
	c.changes = nil
	c.now = c.now.Add(time.Minute)
	flap()
	c.wantChanges(t, "open 1s after 1m41s", "closed 1s after 1m42s")
}

// While one attempt is let through as a trial, all others are refused. If the trial has no clear result, the next
// attempt is let through.
func TestHalfOpen(t *testing.T) {
	c := newClock(settings)
	late, _ := c.Begin(c.now)
	for c.Status().State == Closed {
		c.ends(Failed, 400*time.Millisecond)
	}
	c.End(c.now, &late, Succeeded) // begun before the circuit changed, so it does not count
	if c.Status().State != Open || c.ends(Succeeded, 0) {
		t.Errorf("%+v; want it open", c.Status())
	}
	since := c.now
	c.now = c.Status().RetryAt
	try, ok := c.Begin(c.now)
	_, second := c.Begin(c.now)
	if !ok || second {
		t.Errorf("let through: %v, %v", ok, second)
	}
	c.End(c.now, &try, Neutral)
	c.End(c.now, &try, Failed) // the trial has ended already
	if try, ok = c.Begin(c.now); !ok || c.Status().State != HalfOpen {
		t.Errorf("the next: %v, %+v", ok, c.Status())
	}
	if s := c.Status(); !s.Since.Equal(since) {
		t.Errorf("out of use since %v; want %v, when it opened", s.Since, since)
	}
	c.End(c.now, &try, Succeeded)
	if c.Status().State != Closed || !c.ends(Succeeded, 0) {
		t.Errorf("%+v; want it closed", c.Status())
	}
}

// A provisional answer closes a half-open circuit. At a closed circuit it does not end a row of failures, but it shows
// that silence concerns only one attempt.
func TestHeard(t *testing.T) {
	c := newClock(settings)
	refused := func(took time.Duration) {
		try, ok := c.Begin(c.now)
		if !ok {
			t.Fatal("refused")
		}
		c.Provisional(c.now, try)
		c.now = c.now.Add(took)
		c.End(c.now, &try, Failed)
	}
	for range 3 {
		refused(time.Second)
	}
	c.wantChanges(t, "open 1s after 3s")
	c.now = c.Status().RetryAt
	try, _ := c.Begin(c.now)
	c.Provisional(c.now.Add(time.Millisecond), try)
	if c.Status().State != Closed || !c.ends(Neutral, 0) {
		t.Errorf("%+v; want it closed", c.Status())
	}
	c.End(c.now, &try, Failed) // begun before the circuit changed, so it does not count
	silent, _ := c.Begin(c.now)
	for range 100 {
		c.now = c.now.Add(time.Millisecond)
		rings, _ := c.Begin(c.now)
		c.Provisional(c.now, rings)
	}
	c.now = c.now.Add(4 * time.Second)
	c.End(c.now, &silent, Silent)
	c.wantChanges(t, "open 1s after 3s", "closed 1.001s after 4s")
	(*Breaker)(nil).Provisional(c.now, try)
}

// Failed probes open the circuit even without calls. While probes run, no call is let through as a trial.
func TestProbes(t *testing.T) {
	s := settings
	s.Probed = true
	c := newClock(s)
	probe := func(answers ...bool) {
		for _, ok := range answers {
			c.now = c.now.Add(time.Second)
			c.Probe(c.now, map[bool]string{false: "no answer"}[ok])
		}
	}
	probe(false, false, true, false, false, false)
	c.wantChanges(t, "open 1s after 6s")
	c.now = c.now.Add(time.Minute)
	if c.ends(Succeeded, 0) {
		t.Error("a call was let through")
	}
	probe(true, false, true, true)
	c.wantChanges(t, "open 1s after 6s", "open 2s after 1m8s", "closed 1m4s after 1m10s")
}

// Without a limit for failures, a circuit never opens. A reload that removes the limit closes an open circuit.
func TestNeverOpens(t *testing.T) {
	c, none := newClock(Settings{}), (*Breaker)(nil)
	for range 100 {
		if try, ok := none.Begin(c.now); !ok || !c.ends(Silent, time.Second) {
			t.Fatal("refused")
		} else {
			none.End(c.now, &try, Silent)
		}
		c.Probe(c.now, "no answer")
	}
	c.Configure(c.now, settings)
	for range 3 {
		c.ends(Silent, time.Second)
	}
	c.Configure(c.now, Settings{})
	c.wantChanges(t, "open 1s after 1m43s", "closed 0s after 1m43s")
	if none.Status() != (Status{}) {
		t.Error("no circuit has a status")
	}
}

// An attempt at a closed circuit must not allocate.
func TestClosedAllocatesNothing(t *testing.T) {
	b := New("x", settings, nil)
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		try, _ := b.Begin(now)
		b.End(now, &try, Succeeded)
		_, _ = b.Begin(now)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkClosed(b *testing.B) {
	c := New("x", settings, nil)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		try, _ := c.Begin(now)
		c.End(now, &try, Succeeded)
	}
}

// TestSilence: a circuit that is open because of silence leaves calls to other destinations, except for one in each pause.
// Neither SIP answers nor good probes close it, only words of a call that began since. Failures open it as ever.
func TestSilence(t *testing.T) {
	c := newClock(settings)
	began := c.now
	c.Silence(c.now, "12 calls")
	c.Silence(c.now, "13 calls")
	if s := c.Status(); s.State != Open || s.Silent != "12 calls" || !s.RetryAt.Equal(c.now.Add(time.Minute)) || s.Opened != 1 {
		t.Errorf("status %+v", s)
	}
	skipped := 0
	for range 180 {
		if c.Skip(c.now) {
			skipped++
		} else if !c.ends(Succeeded, 0) {
			t.Error("the call that tries is refused")
		}
		c.Probe(c.now, "")
		c.Words(c.now, began)
		c.now = c.now.Add(time.Second)
	}
	if skipped != 178 || c.Status().Refused != 178 {
		t.Errorf("%d of 180 skipped, %d", skipped, c.Status().Refused)
	}
	for range 3 {
		c.ends(Failed, time.Second)
	}
	if s := c.Status(); s.State != Open || s.Silent != "" || c.ends(Succeeded, 0) {
		t.Errorf("after failures: %+v", s)
	}
	c.now = c.now.Add(2 * time.Second)
	c.ends(Succeeded, 0)
	c.Words(c.now, began.Add(time.Second))
	if c.Status().State != Closed || c.Skip(c.now) {
		t.Errorf("after words: %+v", c.Status())
	}
	c.wantChanges(t, "open 1m0s after 0s", "open 1s after 3m3s", "closed 2s after 3m5s", "closed 3m5s after 3m5s")
	c.Silence(c.now, "12 calls")
	c.Configure(c.now, Settings{})
	if c.Silence(c.now, "12 calls"); c.Skip(c.now) || c.Status().State != Closed {
		t.Errorf("one that never opens: %+v", c.Status())
	}
}
