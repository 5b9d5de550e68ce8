package media

import (
	"net/netip"
	"testing"
	"time"
)

// quietSession is a session that only the test runs. It records the events that
// the session posts.
type quietSession struct {
	*relay
	t      *testing.T
	events []Event
}

func newQuietSession(t *testing.T) *quietSession {
	t.Helper()
	q := &quietSession{relay: newBench(t, 1).relays[0], t: t}
	q.onEvent = func(e Event) { q.events = append(q.events, e) }
	return q
}

// judge does what the worker does with a session if there is no outage.
func (r *relay) judge(at time.Duration, limits silenceLimits) {
	if r.isSilent(at, limits) {
		r.fallSilent(at)
	}
}

func (q *quietSession) describe(side Side, at time.Duration, change func(*Peer)) {
	q.t.Helper()
	p := *q.party[side].named
	change(&p)
	must(q.t, q.setPeer(side, p, at))
}

// expect runs the checks at a time, and compares the events that they post.
func (q *quietSession) expect(when string, at time.Duration, want ...Event) {
	q.t.Helper()
	q.events = nil
	q.judge(at, silenceLimits{start: 10 * time.Second, mid: 20 * time.Second})
	q.checkOneWay(at)
	q.expectEvents(when, want...)
}

func (q *quietSession) expectEvents(when string, want ...Event) {
	q.t.Helper()
	if len(q.events) != len(want) {
		q.t.Fatalf("%s: got %+v; want %+v", when, q.events, want)
	}
	for i := range want {
		if q.events[i] != want[i] {
			q.t.Errorf("%s: got %+v; want %+v", when, q.events[i], want[i])
		}
	}
}

const sec = time.Second

func TestNeverAnyRTP(t *testing.T) {
	q := newQuietSession(t)
	q.expect("not started", time.Hour)
	q.start(sec)
	q.start(5 * sec) // again: no effect
	q.expect("before", 11*sec-1)
	q.expect("at the time-out", 11*sec, EventSilent{Since: 10 * sec, Never: true})
	q.expect("later", time.Hour)
}

// Early media does not count: the time-out starts with the answer.
func TestSilentSinceTheAnswer(t *testing.T) {
	q := newQuietSession(t)
	q.hears(SideB, 0)
	q.start(sec)
	q.expect("at the time-out", 11*sec, EventSilent{Since: 10 * sec, Never: true})
}

func TestSilentInMidCall(t *testing.T) {
	q := newQuietSession(t)
	q.start(0)
	q.hears(SideA, sec)
	q.hears(SideB, 2*sec)
	q.expect("longer than at the start", 22*sec-1)
	q.expect("at the time-out", 22*sec, EventSilent{Since: 20 * sec})
}

func TestHoldFromTheStart(t *testing.T) {
	q := newQuietSession(t)
	q.describe(SideA, 0, func(p *Peer) { p.Held = true })
	q.start(0)
	q.expect("held", time.Hour)
	q.describe(SideA, time.Hour, func(p *Peer) { p.Held = false })
	q.expect("before", time.Hour+10*sec-1)
	q.expect("a time-out after the hold", time.Hour+10*sec, EventSilent{Since: 10 * sec, Never: true})
}

func TestOneWay(t *testing.T) {
	for _, silent := range []Side{SideA, SideB} {
		q := newQuietSession(t)
		q.hears(silent, 0) // early media, before the answer
		q.start(0)
		q.hears(silent.Other(), 20*ms)
		q.expect("before", oneWayAfter)
		q.expect("within three seconds", oneWayAfter+20*ms, EventOneWay{silent})
		q.expect("later", 9*sec)
		q.events = nil
		q.hears(silent.Other(), 10*sec)
		q.expectEvents("the other side")
		q.hears(silent, 10*sec)
		q.expectEvents("the silent side", EventHeard{silent})
		q.events = nil
		q.hears(silent, 11*sec)
		q.expectEvents("the silent side again")
		q.expect("a quarter of an hour later", 15*sec)
	}
}

func TestNotOneWay(t *testing.T) {
	const late = 8 * sec // before any time-out
	nobody := func(p *Peer) { *p = Peer{} }
	for name, run := range map[string]func(q *quietSession){
		"nobody speaks": func(*quietSession) {},
		"both speak":    func(q *quietSession) { q.hears(SideA, sec); q.hears(SideB, 2*sec) },
		"both, then one": func(q *quietSession) {
			q.hears(SideA, sec)
			q.hears(SideB, sec)
			q.expect("", 3*sec)
			q.hears(SideA, late)
		},
		"one only begins": func(q *quietSession) { q.hears(SideA, late-2*sec) },
		"a side is held": func(q *quietSession) {
			q.describe(SideA, sec, func(p *Peer) { p.Held = true })
			q.hears(SideA, sec)
		},
		"the silent side is mute": func(q *quietSession) {
			q.describe(SideB, 0, func(p *Peer) { p.Mute = true })
			q.hears(SideA, sec)
		},
		"a hold that was": func(q *quietSession) {
			q.hears(SideA, sec)
			q.describe(SideB, sec, func(p *Peer) { p.Held = true })
			q.describe(SideB, late-2*sec, func(p *Peer) { p.Held = false })
		},
		"mute that was": func(q *quietSession) {
			q.hears(SideA, sec)
			q.describe(SideB, sec, func(p *Peer) { p.Mute = true })
			q.describe(SideB, late-2*sec, func(p *Peer) { p.Mute = false })
		},
		"another address": func(q *quietSession) {
			q.hears(SideA, sec)
			q.describe(SideB, late-2*sec, func(p *Peer) { p.RTP = netip.MustParseAddrPort("192.0.2.7:4000") })
		},
		"nobody is there": func(q *quietSession) { q.describe(SideB, 0, nobody); q.hears(SideA, sec) },
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuietSession(t)
			q.start(0)
			run(q)
			q.expect("late", late)
		})
	}
}

// After a hold both sides have to speak again, and one of them does not.
func TestOneWayAfterAHold(t *testing.T) {
	q := newQuietSession(t)
	q.start(0)
	q.hears(SideA, sec)
	q.describe(SideB, sec, func(p *Peer) { p.Held, p.Mute = true, true })
	q.describe(SideB, 9*sec, func(p *Peer) { p.Held, p.Mute = false, false })
	q.expect("before", 9*sec+oneWayAfter-1)
	q.expect("within three seconds", 9*sec+oneWayAfter, EventOneWay{SideB})
}

// The worker runs the checks by itself, and sees only the packets.
func TestOneWayOfAWorker(t *testing.T) {
	b := newBench(t, 1)
	r := b.relays[0]
	var events []Event
	r.onEvent = func(e Event) { events = append(events, e) }
	must(t, b.w.perform(command{op: opStart, relay: r}))
	b.offer(b.from)
	b.carry()
	b.w.now += time.Minute
	b.w.lookForSilence()
	if len(events) != 2 || events[1] != (EventOneWay{SideB}) {
		t.Errorf("got %+v; want a lock, and that nothing is heard of side b", events)
	}
}
