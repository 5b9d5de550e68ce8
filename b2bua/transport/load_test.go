package transport

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/sim/siptest"
)

// A queue that stays full for an interval means overload. A queue that drains from time to
// time does not, however long it gets.
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

// The interval is as long as the limit for waiting, but at least long enough for two
// measurements.
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

// Setting back the clock does not stop the measurements.
func TestLoadWhenTheClockIsSetBack(t *testing.T) {
	l := &load{limit: time.Second}
	now := time.Now()
	l.waited(now, 0)
	l.waited(siptest.SetBack(t, now.Add(probeEvery), time.Hour), 2*time.Second)
	if l.since.IsZero() {
		t.Error("the second datagram is not measured")
	}
}

// The time that a message waited in the socket counts. If many datagrams come at once, the
// first one is measured.
func TestLoadOfDatagrams(t *testing.T) {
	l, now := &load{limit: 500 * time.Millisecond}, time.Now()
	l.waited(now, 501*time.Millisecond)
	l.waited(now.Add(probeEvery-1), 0)
	if l.since.IsZero() {
		t.Error("two datagrams at the same moment are measured")
	}
	l.waited(now.Add(probeEvery), 0)
	if !l.since.IsZero() {
		t.Error("nothing is over 500 ms")
	}
}

// The time until a goroutine runs counts. Only one message at a time is measured.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{limit: 500 * time.Millisecond}
		var waiting []func()
		run := func(f func()) { waiting = append(waiting, f) }
		for range 3 {
			l.probe(run, time.Now())
		}
		time.Sleep(501 * time.Millisecond)
		l.probe(run, time.Now())
		if len(waiting) != 1 {
			t.Fatalf("%d messages are measured; want 1", len(waiting))
		}
		waiting[0]()
		if l.since.IsZero() {
			t.Error("501 ms are not over 500 ms")
		}
		l.probe(run, time.Now())
		if len(waiting) != 1 {
			t.Fatal("two messages at the same moment are measured")
		}
		time.Sleep(probeEvery)
		l.probe(run, time.Now())
		waiting[1]()
		if !l.since.IsZero() {
			t.Error("nothing is over 500 ms")
		}
	})
}
