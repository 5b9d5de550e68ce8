package follow

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"flowbridge/config"
	"flowbridge/store/record"
)

// route returns a route whose split follows these bounds.
func route(tb testing.TB, split, follow string) *config.Route {
	tb.Helper()
	file := fmt.Sprintf(`
trunks: [{name: carrier, sources: [192.0.2.1]}]
targets:
- {name: a, kind: sip, uri: "sip:a@192.0.2.2"}
- {name: b, kind: sip, uri: "sip:b@192.0.2.2"}
- {name: c, kind: sip, uri: "sip:c@192.0.2.2"}
routes: [{name: main, trunk: carrier, targets: [a, b, c], split: %s, follow: %s}]
`, split, follow)
	cfg, err := config.Parse("f.yaml", []byte(file), func(string) (string, bool) { return "", false })
	if err != nil {
		tb.Fatal(err)
	}
	return &cfg.Routes[0]
}

// agent is how an agent serves the calls of a simulation at a time of the week.
type agent struct {
	median             float64 // of its answers, in ms; a call's own level and each answer scatter around it
	dead, lost, rescue float64 // shares of calls
	noisy              float64
}

func (a agent) call(r *rand.Rand, name string) record.Record {
	rec := record.Record{
		Target: name, DurationMS: 60_000, Attempts: []record.Attempt{{Target: name, Reason: record.ReasonSplit, SIPStatus: 200, SIPCallID: "x"}},
	}
	if r.Float64() < a.lost {
		rec.Attempts[0].SIPStatus, rec.Attempts[0].Cause = 503, "target_error"
		return rec
	}
	if r.Float64() < a.rescue {
		rec.Attempts = append(rec.Attempts, record.Attempt{Reason: record.ReasonRescue})
	}
	level, talk := math.Exp(0.15*r.NormFloat64()), &record.Talk{Confidence: record.TalkGood, Turns: &record.Durations{}, AgentDeadAirMS: new(int64)}
	for range 3 + r.IntN(10) {
		talk.Turns.Values = append(talk.Turns.Values, uint16(min(65_535, a.median*level*math.Exp(0.3*r.NormFloat64()))))
	}
	if r.Float64() < a.dead {
		*talk.AgentDeadAirMS = 4000
	}
	if r.Float64() < a.noisy {
		talk.Confidence = "noisy"
	}
	rec.Talk = talk
	return rec
}

// result is what a week did.
type result struct {
	looks, moves, turns int // turns: how often a target lost weight right after it had gained some, or the reverse
	calls, slow         int // calls, and those that the first target had
	last                map[string]int
}

// simulate lives through a week of calls. load is the calls of a look, relative to the others.
func simulate(seed uint64, route *config.Route, calls int, load func(at time.Duration) float64, of map[string]func(at time.Duration) agent) (out result) {
	r := rand.New(rand.NewPCG(seed, seed))
	type call struct {
		at time.Duration
		record.Record
	}
	var window []call
	var s State
	begin := time.Unix(1_800_000_000, 0)
	was := map[string]int{}
	for at := time.Duration(0); at < week; at += route.Follow.Every {
		now := Percent(route)
		if s.Weights != nil {
			now = s.Weights
		}
		n := float64(calls) / (float64(week) / float64(route.Follow.Every)) * load(at)
		for range int(n + r.Float64()) {
			left, chosen := r.IntN(100), ""
			for _, name := range []string{"a", "b", "c"} {
				if left -= now[name]; left < 0 {
					chosen = name
					break
				}
			}
			if out.calls++; chosen == "a" {
				out.slow++
			}
			window = append(window, call{at, of[chosen](at).call(r, chosen)})
		}
		g := Gathered{}
		for i := range window {
			if c := &window[i]; c.at >= at-24*time.Hour && !begin.Add(c.at).Before(s.Moved) {
				g.Add(&c.Record)
			}
		}
		next, moved := Decide(route, s, g)
		if out.looks++; moved {
			next.Moved = begin.Add(at + route.Follow.Every)
			out.moves++
			after := next.Weights
			if after == nil {
				after = Percent(route)
			}
			for name := range now {
				d := after[name] - now[name]
				if d*was[name] < 0 {
					out.turns++
				}
				if d != 0 {
					was[name] = d
				}
			}
		}
		s, out.last = next, next.Weights
	}
	return out
}

func TestProbe(t *testing.T) {
	steady := func(time.Duration) float64 { return 1 }
	diurnal := func(at time.Duration) float64 { return 1 + math.Sin(2*math.Pi*at.Hours()/24) }
	always := func(a agent) func(time.Duration) agent { return func(time.Duration) agent { return a } }
	rt := route(t, "{a: 50, b: 50}", "{answer_p95: 1500ms, dead_air: 1%, answered: 97%, rescued: 1%, floor: 5, step: 10, every: 15m}")
	for name, c := range map[string]struct {
		a, b func(time.Duration) agent
		load func(time.Duration) float64
	}{
		"equal good":   {always(agent{median: 700}), always(agent{median: 700}), steady},
		"equal edge":   {always(agent{median: 870}), always(agent{median: 870}), steady},
		"equal bad":    {always(agent{median: 1000}), always(agent{median: 1000}), steady},
		"worse":        {always(agent{median: 1300}), always(agent{median: 700}), steady},
		"little worse": {always(agent{median: 1000}), always(agent{median: 800}), diurnal},
		"mends": {func(at time.Duration) agent {
			if at > 48*time.Hour && at < 96*time.Hour {
				return agent{median: 1500}
			}
			return agent{median: 700}
		}, always(agent{median: 700}), diurnal},
		"dead": {always(agent{median: 700, dead: 0.05}), always(agent{median: 700}), diurnal},
		"lost": {always(agent{median: 700, lost: 0.1}), always(agent{median: 700}), diurnal},
	} {
		for seed := range uint64(5) {
			got := simulate(seed, rt, 10_000, c.load, map[string]func(time.Duration) agent{"a": c.a, "b": c.b})
			t.Logf("%s: %+v", name, got)
		}
	}
}
