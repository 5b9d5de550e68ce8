package transport

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/internal/siptest"
)

// A queue that stands for an interval is overload; one that drains now and then
// is not, however long it gets.
func TestLoad(t *testing.T) {
	const ms = time.Millisecond
	type measured struct {
		at, delay time.Duration
		want      bool
	}
	for name, series := range map[string][]measured{
		"quiet":              {{0, 0, false}, {50 * ms, ms, false}, {900 * ms, 100 * ms, false}},
		"one burst":          {{0, 900 * ms, false}, {50 * ms, 900 * ms, false}, {99 * ms, 900 * ms, false}, {120 * ms, 0, false}},
		"a standing queue":   {{0, 101 * ms, false}, {50 * ms, 600 * ms, false}, {99 * ms, 600 * ms, false}, {100 * ms, 101 * ms, true}, {300 * ms, 2 * time.Second, true}},
		"it drains":          {{0, 600 * ms, false}, {100 * ms, 600 * ms, true}, {150 * ms, 100 * ms, false}, {160 * ms, 600 * ms, false}},
		"drained in between": {{0, 600 * ms, false}, {90 * ms, 90 * ms, false}, {100 * ms, 600 * ms, false}, {200 * ms, 600 * ms, true}},
		"rare bursts":        {{0, 600 * ms, false}, {2 * time.Second, 600 * ms, false}, {4 * time.Second, 600 * ms, false}},
		"one measurement":    {{0, time.Hour, false}},
	} {
		t.Run(name, func(t *testing.T) {
			l, start := &load{limit: 100 * ms}, time.Now()
			for _, m := range series {
				now := start.Add(m.at)
				l.note(now, m.delay)
				if got := l.overloaded(now); got != m.want {
					t.Errorf("after %v: %v; want %v", m.at, got, m.want)
				}
			}
			if last := start.Add(series[len(series)-1].at); l.overloaded(last.Add(loadMemory + ms)) {
				t.Error("overloaded although nothing comes any more")
			}
		})
	}
}

// The interval is as long as the limit, and no shorter than it takes to measure twice.
func TestLoadInterval(t *testing.T) {
	const ms = time.Millisecond
	for limit, interval := range map[time.Duration]time.Duration{ms: 2 * probeEvery, 50 * ms: 50 * ms, time.Second: time.Second} {
		l, start := &load{limit: limit}, time.Now()
		for at := time.Duration(0); at <= interval; at += ms {
			if l.overloaded(start.Add(at)) {
				t.Fatalf("limit %v: overloaded after %v; want %v", limit, at, interval)
			}
			l.note(start.Add(at), limit+ms)
		}
		if !l.overloaded(start.Add(interval)) {
			t.Errorf("limit %v: not overloaded after %v", limit, interval)
		}
	}
}

// A clock that is set back does not end the measuring.
func TestProbeWhenTheClockIsSetBack(t *testing.T) {
	l := &load{limit: time.Second}
	measured := 0
	run := func(f func()) { measured++; f() }
	now := time.Now()
	l.probe(run, 0, now)
	l.probe(run, 0, siptest.SetBack(t, now.Add(probeEvery), time.Hour))
	if measured != 2 {
		t.Errorf("%d messages are measured; want 2", measured)
	}
}

// The wait for a goroutine counts, and that in the socket; one message is
// measured at a time, and not each.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{limit: 500 * time.Millisecond}
		var waiting []func()
		run := func(f func()) { waiting = append(waiting, f) }
		for range 3 {
			l.probe(run, 300*time.Millisecond, time.Now())
		}
		time.Sleep(250 * time.Millisecond)
		l.probe(run, 0, time.Now())
		if len(waiting) != 1 {
			t.Fatalf("%d messages are measured; want 1", len(waiting))
		}
		waiting[0]()
		if l.since.IsZero() {
			t.Error("550 ms are not over 500 ms")
		}
		l.probe(run, 0, time.Now())
		waiting[1]()
		if !l.since.IsZero() {
			t.Error("nothing is over 500 ms")
		}
		l.probe(run, 0, time.Now())
		if len(waiting) != 2 {
			t.Error("two messages at the same moment are measured")
		}
	})
}
