package follow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// TestDead: a target is dead if its newest 12 finished calls that tell, of 6 numbers, have no word of the agent.
func TestDead(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	mute := &record.Talk{Confidence: record.TalkGood, FirstAgentReason: "silent"}
	noRTP := &record.Talk{Confidence: "not_measured", Reason: "no_audio", FirstAgentReason: "no_audio"}
	slow := &record.Talk{Confidence: record.TalkGood, FirstAgentMS: new(int64(9000)), AgentDeadAirMS: new(int64(60_000))}
	unknown := &record.Talk{Confidence: "not_measured", Reason: "kernel", FirstAgentReason: "kernel"}
	for _, tt := range []struct {
		name    string
		calls   int
		numbers int
		change  func(i int, r *record.Record)
		dead    string
	}{
		{"silent", 12, 12, nil, "its last 12 calls, of 12 numbers, have no word of the agent"},
		{"few", 11, 11, nil, ""},
		{"six numbers", 12, 6, nil, "of 6 numbers"},
		{"five numbers", 30, 5, nil, ""},
		{"withheld", 30, 30, func(_ int, r *record.Record) { r.Lead = "anonymous" }, ""},
		{"too short for words", 30, 30, func(_ int, r *record.Record) { r.DurationMS = 2900 }, ""},
		{"not measured", 30, 30, func(_ int, r *record.Record) { r.Talk = unknown }, ""},
		{"a part not measured", 24, 24, func(i int, r *record.Record) {
			if i%2 == 0 {
				r.Talk = unknown
			}
		}, "of 12 numbers"},
		{"no RTP", 12, 12, func(_ int, r *record.Record) { r.Talk = noRTP }, "of 12 numbers"},
		{"slow", 30, 30, func(_ int, r *record.Record) { r.Talk = slow }, ""},
		{"one with words", 12, 12, func(i int, r *record.Record) {
			if i == 0 {
				r.Talk = slow
			}
		}, ""},
		{"12 after one with words", 13, 13, func(i int, r *record.Record) {
			if i == 0 {
				r.Talk = slow
			}
		}, "of 12 numbers"},
		{"12 before one with words that began earlier", 13, 13, func(i int, r *record.Record) {
			if i == 12 {
				r.Talk, r.StartedAt = slow, record.TimeOf(begin.Add(-time.Hour))
			}
		}, "of 12 numbers"},
		{"rescued", 30, 30, func(_ int, r *record.Record) { r.Attempts = []record.Attempt{{Reason: record.ReasonRescue}} }, ""},
	} {
		l, dead := Last{}, ""
		for i := range tt.calls {
			r := record.Record{Target: "a", Lead: fmt.Sprint(1000 + i%tt.numbers), DurationMS: 9000, Talk: mute, StartedAt: record.TimeOf(begin.Add(time.Duration(i)))}
			if tt.change != nil {
				tt.change(i, &r)
			}
			dead = l.Add(&r)
		}
		if (tt.dead == "") != (dead == "") || !strings.Contains(dead, tt.dead) || len(l["a"]) > silentCalls {
			t.Errorf("%s: %q; want %q", tt.name, dead, tt.dead)
		}
	}
}

// TestHear: a dead target goes to the floor at once, for targets that calls hear. It comes back by looks, once a later
// call has heard it.
func TestHear(t *testing.T) {
	r, begin := route(t, "{a: 40, b: 40, c: 20}", "{answered: 90%}"), time.Unix(1_800_000_000, 0)
	l := Last{}
	hear := func(target string, n int, at time.Time, words bool) {
		for i := range n {
			l[target] = append(l[target], heard{at, fmt.Sprint(i), words})
		}
		l[target] = l[target][max(len(l[target])-silentCalls, 0):]
	}
	hear("a", 12, begin, false)
	if s := Hear(r, State{}, l, begin); s.Weights != nil || s.Silent != nil {
		t.Errorf("no call hears another target: %+v", s)
	}
	hear("b", 12, begin, false)
	hear("c", 1, begin.Add(1), true)
	s := Hear(r, State{}, l, begin.Add(2))
	if fmt.Sprint(s.Weights) != "map[a:5 b:5 c:90]" || len(s.Silent) != 2 || s.Why != "a: "+l.dead("a")+"; b: "+l.dead("b") {
		t.Errorf("two of three: %+v", s)
	}
	again := Hear(r, s, l, begin.Add(time.Hour))
	if !again.Moved.Equal(s.Moved) {
		t.Errorf("again: %+v", again)
	}
	good := func(s State, now time.Time) *Gathered {
		since, until := s.Window(now)
		g := NewGathered(until)
		for _, name := range []string{"a", "b", "c"} {
			g.calls[name] = outcomes(since, until, 100, 0, 0, 0)
		}
		return g
	}
	now := begin.Add(3 * time.Hour)
	if s = Decide(r, s, good(s, now), now); fmt.Sprint(s.Weights) != "map[a:5 b:5 c:90]" || !strings.Contains(s.Seen["a"], "; silent since 2027-01-15 08:00:00 UTC: no later call has heard it") {
		t.Errorf("silent: %+v", s)
	}
	hear("a", 1, begin.Add(time.Minute), true)
	hear("b", 1, begin.Add(time.Minute), true)
	if s = Hear(r, s, l, now); s.Silent != nil || !s.Heard.Equal(now) {
		t.Errorf("heard: %+v", s)
	}
	now = now.Add(3 * time.Hour)
	if s = Decide(r, s, good(s, now), now); s.Weights["a"] <= 5 || s.Why != "all targets are within their bounds" {
		t.Errorf("back: %+v", s)
	}
}

// TestOneCaller: a number counts three times in a look, and calls that withhold it are a tenth of it.
func TestOneCaller(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r, s := route(t, "{a: 50, b: 50}", "{dead_air: 1%}"), State{Moved: now.Add(-5 * time.Hour)}
	for _, lead := range []string{"+15075550100", "", "anonymous"} {
		since, until := s.Window(now)
		g := NewGathered(until)
		add := func(target, lead string, i, n int, dead int64) {
			g.Add(&record.Record{
				Target: target, Lead: lead, StartedAt: record.TimeOf(since.Add(until.Sub(since) * time.Duration(i) / time.Duration(n))),
				Attempts: []record.Attempt{{Target: target, Reason: record.ReasonSplit, SIPStatus: 200, SIPCallID: "x"}},
				Talk:     &record.Talk{Confidence: record.TalkGood, AgentDeadAirMS: &dead, FirstAgentMS: new(int64)},
			})
		}
		for i := range 300 {
			add([]string{"a", "b"}[i%2], fmt.Sprint(i+1), i, 300, 0)
		}
		for i := range 20 {
			add("a", lead, i, 20, 5000)
		}
		if next := Decide(r, s, g, now); next.Weights != nil {
			t.Errorf("%q moves weights: %+v", lead, next)
		}
		want := map[string]int{"+15075550100": 153}[lead]
		if f := g.figures("a", since, r.Follow); want > 0 && f.attempts != want || f.attempts > 166 {
			t.Errorf("%q: %d calls", lead, f.attempts)
		}
		for i := range 67 {
			add("a", fmt.Sprint(i), 1, 1, 0)
		}
		if next := Decide(r, s, g, now); !strings.Contains(next.Seen["a"], "; 67 calls of the last 20 minutes do not count yet") {
			t.Errorf("seen: %v", next.Seen)
		}
	}
	g := NewGathered(now)
	g.later["a"] = 67
	if next := Decide(r, s, g, now.Add(20*time.Minute)); next.Seen["a"] != "67 calls of the last 20 minutes do not count yet" {
		t.Errorf("seen: %v", next.Seen)
	}
}

// TestBursts: bad calls in one burst are less evidence than as many spread over the time.
func TestBursts(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r, s := route(t, "{a: 50, b: 50}", "{dead_air: 1%}"), State{Moved: now.Add(-2*time.Hour - lag)}
	since, until := s.Window(now)
	for spread, moves := range map[bool]bool{true: true, false: false} {
		g := NewGathered(until)
		g.calls["a"], g.calls["b"] = outcomes(since, until, 120, 0, 20, 0), outcomes(since, until, 120, 0, 0, 0)
		for i := range g.calls["a"] {
			if !spread {
				g.calls["a"][i].dead = i >= 40 && i < 60
			}
		}
		if next := Decide(r, s, g, now); (next.Weights != nil) != moves {
			t.Errorf("spread %v: %+v", spread, next)
		}
	}
}
