package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/report"
	"flowbridge/scripts/internal/sip"
)

// begin starts the nodes and the load, and returns after so long under all of it.
func (l *lab) begin(under time.Duration) (stop func(), err error) {
	if err = l.start(); err != nil {
		return nil, err
	}
	if stop, err = l.hold(); err == nil {
		err = l.pause(under)
	}
	return stop, err
}

// hold has all held calls come up, and the others go on coming until stop.
func (l *lab) hold() (stop func(), err error) {
	stop = l.startLoad()
	err = process.Until(time.Duration(l.held/50+20)*time.Second, func() error {
		if n := l.carrier.count(upAndHeld); n < l.held {
			return fmt.Errorf("%d of %d calls are up", n, l.held)
		}
		return nil
	})
	if err == nil {
		err = l.pause(warmUp)
	}
	l.audio.gaps()
	l.audio.lull()
	if err != nil {
		stop()
	}
	return stop, err
}

func upAndHeld(l *leg) bool { return l.kind == held && l.established() }

// noteGaps notes the longest gap of each call since the last time. 0: it may be any.
func (l *lab) noteGaps(most float64) {
	gaps := l.audio.gaps()
	_, late := l.audio.lull()
	l.figure("longest gap of each call: p50, max; ours of it", "%.0f, %.0f ms; %d ms", report.At(gaps, 0.5),
		report.At(gaps, 1), late.Milliseconds())
	if most > 0 {
		l.atMost("longest gap of all calls, less what the load was late", most, report.At(gaps, 1)-float64(late.Milliseconds()))
	}
}

// noteHeld judges the held calls after a takeover: audio, re-INVITE from both sides, and a BYE from one of them.
func (l *lab) noteHeld() {
	with := l.held
	if l.heard > 0 {
		with = l.heard
	}
	l.is("held calls that are up", l.held, l.carrier.count(upAndHeld))
	l.is("of those with RTP: heard at both ends", with, with-len(l.audio.deaf(10*time.Second)))
	l.change()
	changed := func(g *leg) bool { return g.kind == held && g.changed > 0 }
	l.is("re-INVITE of the carrier answered by 200", l.held, l.carrier.count(changed))
	l.is("re-INVITE of the agent answered by 200", l.held, l.first.count(changed)+l.second.count(changed))
}

// change has each end of the held calls change its session, one end after the other.
func (l *lab) change() {
	for _, e := range l.ends() {
		e.mu.Lock()
		all := append([]*leg(nil), e.all...)
		e.mu.Unlock()
		for n, g := range all {
			e.mu.Lock()
			if upAndHeld(g) {
				g.change("INVITE", g.contact()+sip.WithBody(g.description()))
			}
			e.mu.Unlock()
			if n%20 == 19 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		_ = process.Until(10*time.Second, func() error {
			if e.count(func(g *leg) bool { return g.asking }) > 0 {
				return errors.New("not all are answered")
			}
			return nil
		})
	}
}

// noteEnd ends all calls, and judges all that there were. Callers who had no answer when their machine died have given up.
func (l *lab) noteEnd() {
	l.carrier.mu.Lock()
	for _, g := range l.carrier.all {
		if l.waited[g.number] && !g.answered {
			g.finish(unheard)
		}
	}
	l.carrier.mu.Unlock()
	l.finish()
	ended := 0
	for _, e := range l.ends() {
		ended += e.count(func(g *leg) bool { return g.kind == held && g.wanted && g.why == "" && g.fate == hungUp })
	}
	l.is("held calls whose BYE was answered by 200", l.held, ended)
	all := l.sides()
	l.holdsAll(judgeCalls(all)...)
	l.noteRecords(all)
}

// sides are all legs that there were, but of callers who gave up.
func (l *lab) sides() (all []side) {
	for _, e := range l.ends() {
		e.mu.Lock()
		for _, g := range e.all {
			if !g.caller || g.answered || !l.waited[g.number] {
				all = append(all, g.side())
			}
		}
		e.mu.Unlock()
	}
	return all
}

// noteRecords holds the database to one record of each answered call.
func (l *lab) noteRecords(all []side) {
	answered := 0
	for _, s := range all {
		if s.caller && s.answered {
			answered++
		}
	}
	const count = "SELECT count(DISTINCT record->>'sip_call_id') FROM flowbridge_calls WHERE answered_at IS NOT NULL"
	got := 0
	_ = process.Until(20*time.Second, func() error {
		if got = l.ask(count); got < answered {
			return errors.New("records are still to come")
		}
		return nil
	})
	l.is("records of answered calls in PostgreSQL", answered, got)
	l.is("calls with more than one record there", 0, l.ask("SELECT count(*) - count(DISTINCT record->>'sip_call_id') FROM flowbridge_calls"))
	l.is("records there of calls that were cut off", 0, l.ask(
		"SELECT count(*) FROM flowbridge_calls WHERE record->>'cause' IN ('interrupted', 'media_timeout')"))
	l.figure("records there of calls whose end was missed", "%d", l.ask(
		"SELECT count(*) FROM flowbridge_calls WHERE record->>'cause' = 'missed_hangup'"))
}

// toldWithin is how soon agents must know that a call which nobody answered is over.
const toldWithin = 5 * time.Second

// noteUnanswered judges the agents whose callers had no answer when the owner died.
func (l *lab) noteUnanswered(death time.Duration) {
	l.carrier.mu.Lock()
	for _, g := range l.carrier.all {
		if !answeredBefore(g, death) && g.began() < death && (g.fate == open || g.over > death) {
			l.waited[g.number] = true
		}
	}
	l.carrier.mu.Unlock()
	told := invariant{name: "agents of unanswered calls are told within 5 s"}
	for _, e := range []*end{l.first, l.second} {
		e.mu.Lock()
		for _, g := range e.all {
			if l.waited[g.number] && !l.answered(g.number) && g.began() < death && (g.fate == open || g.over > death) {
				told.holds(g.fate != open && g.over < death+toldWithin, g.number, e.name, g.fate, max(0, g.over-death))
				g.finish(forgotten) // nobody will tell it any more
			}
		}
		e.mu.Unlock()
	}
	l.holdsAll(told)
}

// answered says whether the caller of a number had its 200 by now.
func (l *lab) answered(number string) bool {
	return l.carrier.count(func(g *leg) bool { return g.number == number && g.answered }) > 0
}

// began is when the leg's INVITE was first sent or seen.
func (l *leg) began() time.Duration { return l.moments[0].at }

// answeredBefore says whether the caller had its 200 by a moment.
func answeredBefore(l *leg, moment time.Duration) bool {
	at, ok := l.when(false, "200 OK (1 INVITE)")
	return ok && at <= moment
}

// saw says whether the leg got a message that begins so.
func (l *leg) saw(what string) bool {
	return slices.ContainsFunc(l.moments, func(m moment) bool { return !m.sent && strings.HasPrefix(m.what, what) })
}

// when is the moment at which the leg first sent or got a message.
func (l *leg) when(sent bool, what string) (time.Duration, bool) {
	for _, m := range l.moments {
		if m.sent == sent && m.what == what {
			return m.at, true
		}
	}
	return 0, false
}
