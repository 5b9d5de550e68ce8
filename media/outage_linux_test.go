package media

import (
	"testing"
	"time"
)

// calls are sessions whose worker's clock the test sets.
type calls struct {
	*bench
	told  []Outage
	ended map[uint64]time.Duration // when EventSilent was posted
}

func newCalls(t *testing.T, n int) *calls {
	t.Helper()
	c := &calls{bench: newBench(t, n), ended: map[uint64]time.Duration{}}
	c.w.silence = silenceLimits{start: 20 * sec, mid: 20 * sec, onOutage: func(o Outage) { c.told = append(c.told, o) }}
	for _, r := range c.relays {
		r.onEvent = func(e Event) {
			if _, ok := e.(EventSilent); ok {
				c.ended[r.id] = c.w.now
			}
		}
		r.start(0)
	}
	return c
}

// until advances the clock to at. In that time, these sessions are heard.
func (c *calls) until(at time.Duration, heard ...*relay) {
	for ; c.w.now < at; c.w.now += 250 * ms {
		for i, r := range heard {
			r.hears(Side(i%2), c.w.now)
		}
		c.w.lookForSilence()
	}
}

// TestOutage: calls that fall silent together wait until most of them are heard again. The others end a time-out later.
func TestOutage(t *testing.T) {
	c := newCalls(t, 10)
	c.until(60*sec, c.relays...)
	c.until(120 * sec)
	if len(c.ended) > 0 || len(c.told) != 1 || c.told[0].Sessions != 10 || c.told[0].Over {
		t.Fatalf("a minute without a network: %v have ended; told %+v", c.ended, c.told)
	}
	c.until(130*sec, c.relays[:7]...)
	if len(c.told) != 2 || !c.told[1].Over || c.told[1].Since < 60*sec {
		t.Fatalf("most are heard again: told %+v", c.told)
	}
	c.until(139*sec, c.relays[:7]...)
	if len(c.ended) > 0 {
		t.Fatalf("before a time-out since the network is back: %v have ended", c.ended)
	}
	c.until(142*sec, c.relays[:7]...)
	if len(c.ended) != 3 {
		t.Fatalf("a time-out later: %v have ended; want the three that are not heard", c.ended)
	}
	c.until(200*sec, c.relays[:7]...)
	c.until(230*sec, c.relays[1:7]...) // one call falls silent by itself
	if len(c.ended) != 4 || len(c.told) != 2 {
		t.Errorf("later: %v have ended; told %+v", c.ended, c.told)
	}
	c.until(300 * sec) // the network fails again
	if len(c.ended) != 4 || len(c.told) != 3 {
		t.Errorf("another outage: %v have ended; told %+v", c.ended, c.told)
	}
	c.until(230*sec + outageMost + 2*sec)
	if len(c.ended) != 10 {
		t.Errorf("after five minutes %d have ended; want all", len(c.ended))
	}
}

// TestNoOutage: it is not an outage if there are only a few calls, if calls end one after the other, or if only a part
// of all calls falls silent.
func TestNoOutage(t *testing.T) {
	few := newCalls(t, outageLeast-1)
	few.until(60*sec, few.relays...)
	few.until(82 * sec)
	if len(few.ended) != len(few.relays) {
		t.Errorf("%d of %d calls have ended", len(few.ended), len(few.relays))
	}
	part := newCalls(t, 12)
	part.until(60*sec, part.relays...)
	part.until(82*sec, part.relays[6:]...)
	if len(part.ended) != 6 {
		t.Errorf("%d calls have ended; want the six that are silent, as many are heard", len(part.ended))
	}
	inTurn := newCalls(t, 8)
	for i := range inTurn.relays {
		inTurn.until(time.Duration(60+3*i)*sec, inTurn.relays[i:]...)
	}
	inTurn.until(110 * sec)
	if len(inTurn.ended) != 8 || len(inTurn.told) > 0 {
		t.Errorf("%d of 8 calls have ended, each 3 s after the other; told %+v", len(inTurn.ended), inTurn.told)
	}
	never := newCalls(t, 8)
	never.until(22 * sec)
	if len(never.ended) != 8 {
		t.Errorf("%d of 8 calls without any RTP have ended", len(never.ended))
	}
}

// TestFellSilent: FellSilent reports true from a time-out after most calls have fallen silent until most are heard
// again, or all have ended.
func TestFellSilent(t *testing.T) {
	c, other := newCalls(t, 10), newCalls(t, 10)
	e := &Engine{workers: []*worker{c.w}}
	expect := func(when string, want bool) {
		t.Helper()
		if got := e.FellSilent(); got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	c.until(60*sec, c.relays...)
	other.until(60*sec, other.relays...)
	expect("all are heard", false)
	c.until(79 * sec)
	expect("before the time-out", false)
	c.until(82 * sec)
	expect("all are silent", true)
	e.workers = []*worker{c.w, other.w}
	expect("those of another worker are not", false)
	other.until(82 * sec)
	expect("those of another worker are, too", true)
	e.workers = e.workers[:1]
	c.until(90*sec, c.relays[:7]...)
	expect("most are heard again", false)
	c.until(130 * sec)
	expect("again", true)
	c.until(90*sec + outageMost + sec)
	expect("all have ended", false)
}

// TestDoubt: while the network may be gone, and for a time-out after that, a call that has been heard waits, even if it
// is the only one, but five minutes at most.
func TestDoubt(t *testing.T) {
	one, most, never := newCalls(t, 1), newCalls(t, 2), newCalls(t, 1)
	e := &Engine{workers: []*worker{one.w, most.w, never.w}}
	one.until(60*sec, one.relays...)
	e.Doubt(true)
	one.until(200 * sec)
	e.Doubt(false)
	one.until(219 * sec)
	if len(one.ended) > 0 || e.FellSilent() || len(one.told) > 0 {
		t.Errorf("before a time-out without doubt: %v have ended; told %+v", one.ended, one.told)
	}
	one.until(221 * sec)
	if len(one.ended) != 1 {
		t.Error("a time-out later it has not ended")
	}
	e.Doubt(true)
	most.until(60*sec, most.relays...)
	most.until(59*sec+outageMost, most.relays[0])
	most.until(62*sec+outageMost, most.relays[0])
	if len(most.ended) != 1 || most.ended[1] < 59*sec+outageMost {
		t.Errorf("after five minutes: %v have ended", most.ended)
	}
	never.until(22 * sec)
	if len(never.ended) != 1 {
		t.Error("one that was never heard waits")
	}
}
