package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/report"
	"flowbridge/scripts/internal/sip"
)

// begin starts the nodes and the load, and returns after the given time under full load.
func (l *lab) begin(under time.Duration) (stop func()) {
	if l.start(); l.err != nil {
		return func() {}
	}
	stop = l.startLoad()
	l.step(func() error {
		return process.Until(time.Duration(l.held/50+20)*time.Second, func() error {
			if n := l.carrier.count(upAndHeld); n < l.held {
				return fmt.Errorf("%d of %d calls are up", n, l.held)
			}
			return nil
		})
	})
	l.wait(warmUp + under)
	l.audio.gaps()
	l.audio.lull()
	return stop
}

func upAndHeld(g *leg) bool { return g.kind == held && g.established() }

// refusedBy503 reports whether a call was refused with 503 although the first agent would have taken it.
func refusedBy503(g *leg) bool {
	return g.kind != cancelled && g.kind != busy && g.kind != unheeded && g.kind != elsewhere &&
		slices.ContainsFunc(g.moments, func(m moment) bool { return !m.sent && strings.HasPrefix(m.what, "503 ") })
}

// judge records everything that is known about the calls, and ends them. death is when their owner was lost, or 0.
// gap is how long their audio may have paused, in ms; 0 means any time.
func (l *lab) judge(death time.Duration, gap float64) {
	if l.err != nil {
		return
	}
	l.noteGaps(gap)
	l.noteUnanswered(death)
	l.noteHeld()
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

// noteGaps records the longest gap of each call since the last query.
func (l *lab) noteGaps(most float64) {
	gaps := l.audio.gaps()
	_, late := l.audio.lull()
	p50, longest, ours := report.At(gaps, 0.5), report.At(gaps, 1), float64(late.Milliseconds())
	l.figure("longest gap of each call: p50, max; ours of it", "%.0f, %.0f ms; %.0f ms", p50, longest, ours)
	if most > 0 {
		l.atMost("longest gap of all calls, less what the load was late", most, longest-ours)
	}
}

// unwritten is how long after its INVITE an agent's call may be missing in the database (docs/takeover.md): 0.1 s, and
// its statement.
const unwritten = 200 * time.Millisecond

// learnt reports whether an agent learnt within 5 s of a death that its call is over. judged is false if it did not,
// and no other node could know of the call.
func (g *leg) learnt(death time.Duration) (ok, judged bool) {
	ok = g.fate != open && g.over < death+5*time.Second
	return ok, ok || g.moments[0].at < death-unwritten
}

// underWay reports whether a leg of the lost owner was not over at its death. cut is when its cable was out, or 0. The
// agent's end may read an INVITE that left at that moment a little later, when no other node sends one yet.
func (g *leg) underWay(death, cut time.Duration) bool {
	last := death
	if death > 0 {
		if last = max(death, cut); !g.caller {
			last += unwritten
		}
	}
	return g.moments[0].at < last && (g.fate == open || g.over > death)
}

// noteUnanswered judges the agents whose callers had no answer when the owner died, and still have none: they must
// learn that the call is over. Agents that do not, and their callers, are given up. death is when the fault was
// ordered; until the owner's cable was out, more calls have begun there.
func (l *lab) noteUnanswered(death time.Duration) {
	told, unknown := invariant{name: "agents of unanswered calls are told within 5 s"}, 0
	for g := range legsOf(l.ends()...) { // the carrier comes first
		switch {
		case !g.underWay(death, l.cut):
		case g.caller && !g.answered:
			l.waited[g.number] = true
			g.finish(unheard)
		case !g.caller && l.waited[g.number]:
			if ok, judged := g.learnt(death); judged {
				told.holds(ok, g.number, g.end.Name, g.fate, "invited", death-g.moments[0].at, "before")
			} else {
				unknown++
			}
			g.finish(forgotten)
		}
	}
	l.holdsAll(told)
	if unknown > 0 {
		l.figure("agents left ringing whose INVITE was too new for the database", "%d", unknown)
	}
}

// noteHeld judges the held calls after a takeover: their audio, and a re-INVITE from each side.
func (l *lab) noteHeld() {
	with := cmp.Or(l.heard, l.held)
	l.is("held calls that are up", l.held, l.carrier.count(upAndHeld))
	l.is("of those with RTP: heard at both ends", with, with-len(l.audio.deaf(10*time.Second)))
	answered := [2]int{}
	for side, ends := range [2][]*end{{l.carrier}, {l.first, l.second}} {
		for _, e := range ends {
			answered[side] += e.change()
		}
	}
	l.is("re-INVITE of the carrier answered by 200", l.held, answered[0])
	l.is("re-INVITE of the agent answered by 200", l.held, answered[1])
}

// change makes the end change the session of each held call, and counts the answers.
func (e *end) change() int {
	e.eachUp(upAndHeld, func(g *leg) { g.change("INVITE", g.contact()+sip.WithBody(g.description())) })
	_ = process.Until(10*time.Second, func() error {
		if e.count(func(g *leg) bool { return g.asking }) > 0 {
			return errors.New("not all are answered")
		}
		return nil
	})
	return e.count(func(g *leg) bool { return g.kind == held && g.changed > 0 })
}

// sides returns all legs, except for callers that were given up.
func (l *lab) sides() (all []side) {
	for g := range legsOf(l.ends()...) {
		if !g.caller || g.answered || !l.waited[g.number] {
			all = append(all, g.side)
		}
	}
	return all
}

// noteRecords checks that the database has one record of each answered call.
func (l *lab) noteRecords(all []side) {
	answered, got := 0, 0
	for _, s := range all {
		if s.caller && s.answered {
			answered++
		}
	}
	const from, wasAnswered = " FROM flowbridge_calls WHERE ", "answered_at IS NOT NULL"
	cause := func(is string) int {
		return l.ask("SELECT count(*)" + from + wasAnswered + " AND record->>'cause' " + is)
	}
	_ = process.Until(20*time.Second, func() error {
		got = l.ask("SELECT count(DISTINCT record->>'sip_call_id')" + from + wasAnswered)
		if got < answered {
			return errors.New("records are still to come")
		}
		return nil
	})
	l.is("records of answered calls in PostgreSQL", answered, got)
	l.noteTwice()
	l.is("records there of answered calls that were cut off", 0,
		cause("IN ('interrupted', 'media_timeout', 'process_restart')"))
	l.figure("records there of answered calls whose end was missed", "%d", cause("= 'missed_hangup'"))
}

// noteTwice checks that no call has two records in the database.
func (l *lab) noteTwice() {
	const twice = `SELECT "to" || ' ' || id || ' of ' || node || ', started ' || started_at::time(3) || ', answered ' ||
		coalesce(answered_at::time(3)::text, 'never') || ', ' || cause ||
		', restored ' || coalesce(record ->> 'restored', '0')
		FROM flowbridge_calls WHERE sip_call_id IN
			(SELECT sip_call_id FROM flowbridge_calls GROUP BY 1 HAVING count(*) > 1) ORDER BY sip_call_id, started_at`
	calls := l.ask("SELECT count(DISTINCT sip_call_id) FROM flowbridge_calls")
	i := invariant{name: "no call has two records there", of: calls}
	text, err := l.command("query", twice).CombinedOutput()
	if text := strings.TrimSpace(string(text)); err != nil || text != "" {
		i.broken = strings.Split(text, "\n")
	}
	l.holdsAll(i)
}

// holdsAll records invariants. It shows the first broken ones, and what both ends of their calls saw.
func (l *lab) holdsAll(all ...invariant) {
	for _, i := range all {
		shown := i.broken[:min(3, len(i.broken))]
		was := strings.Join(append([]string{fmt.Sprintf("%d of %d", len(i.broken), i.of)}, shown...), "\n      ")
		l.holds("broken: "+i.name, len(i.broken) == 0, "0", was)
		for _, text := range shown {
			if number, _, _ := strings.Cut(text, " "); strings.HasPrefix(number, prefix) {
				l.ladder(number)
			}
		}
	}
}
