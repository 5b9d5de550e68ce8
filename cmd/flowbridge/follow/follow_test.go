package follow

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
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

// agent is how an agent serves calls.
type agent struct {
	median                    float64 // of its answers, in ms; each call has its own level, and answers scatter around it
	dead, lost, rescue, noisy float64 // shares of calls
	mute                      bool    // it sends nothing, or only silence
	load                      float64 // what each percent of the calls adds to median
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
	for range 1 + r.IntN(3) {
		talk.Turns.Values = append(talk.Turns.Values, uint16(min(65_535, a.median*level*math.Exp(0.3*r.NormFloat64()))))
	}
	if r.Float64() < a.dead {
		*talk.AgentDeadAirMS = 4000
	}
	switch {
	case a.mute && r.IntN(2) == 0:
		talk = &record.Talk{Confidence: "not_measured", Reason: "no_audio", FirstAgentReason: "no_audio"}
	case a.mute:
		talk = &record.Talk{Confidence: record.TalkGood, FirstAgentReason: "silent"}
	case r.Float64() < a.noisy:
		talk.Confidence = "noisy"
	}
	rec.Talk = talk
	return rec
}

// call is a call whose record is there when it ends.
type call struct {
	begins, ends time.Time
	record.Record
}

// newCall returns a call. An unanswered one ends at once.
func newCall(r *rand.Rand, rec record.Record, begins time.Time, mean time.Duration) call {
	c := call{begins, begins, rec}
	if rec.Attempts[0].Cause == "" {
		c.ends = begins.Add(time.Duration(r.ExpFloat64() * float64(mean)))
	}
	return c
}

// gather returns the figures of the calls that a look sees.
func gather(s State, calls []call, now time.Time) Gathered {
	g := Gathered{}
	since, until := s.Window(now)
	for i := range calls {
		if c := &calls[i]; !c.begins.Before(since) && c.begins.Before(until) && !c.ends.After(now) {
			g.Add(&c.Record)
		}
	}
	return g
}

// TestLongCalls: two targets answer equally many of many calls, and one of them has longer calls, whose records come
// later. No look tells the two apart.
func TestLongCalls(t *testing.T) {
	random, moved := rand.New(rand.NewPCG(1, 2)), time.Unix(1_800_000_000, 0)
	r, s := route(t, "{a: 50, b: 50}", "{answered: 97%}"), State{Moved: moved}
	var calls []call
	for i := range 30_000 {
		is, name, mean := agent{median: 700, lost: 0.02}, "a", 8*time.Minute
		if i%2 == 0 {
			name, mean = "b", time.Minute
		}
		calls = append(calls, newCall(random, is.call(random, name), moved.Add(time.Duration(i)*time.Minute/1000), mean))
	}
	for minutes := 5; minutes < 60; minutes += 5 {
		now := moved.Add(time.Duration(minutes) * time.Minute)
		g := gather(s, calls, now)
		if next := Decide(r, s, g, now); next.Weights != nil {
			t.Errorf("after %d minutes: %+v", minutes, next)
		}
		if f := g["a"]; f != nil && f.attempts-f.answered > f.attempts*26/1000 {
			t.Errorf("after %d minutes: %d of %d unanswered", minutes, f.attempts-f.answered, f.attempts)
		}
	}
}

// result is what became of a week's calls, and how many the target a had.
type result struct {
	looks, moves, back int // back: moves that gave a target weight again
	calls, ofA         int
	last               map[string]int
	why                string
}

// simulate lives through a week with some 10,000 calls. load is the calls of a look, relative to the mean.
func simulate(seed uint64, r *config.Route, load func(hours float64) float64, of map[string]func(hours float64) agent) (out result) {
	random, begin, s := rand.New(rand.NewPCG(seed, seed)), time.Unix(1_800_000_000, 0), State{}
	var window []call
	for out.looks = range 672 {
		hours := float64(out.looks) / 4
		begins := begin.Add(time.Duration(hours * float64(time.Hour)))
		weights := s.Weights
		if weights == nil {
			weights = Percent(r)
		}
		n := int(10_000.0/672*load(hours) + random.Float64())
		for i := range n {
			name := "b"
			if random.IntN(100) < weights["a"] {
				name = "a"
				out.ofA++
			}
			out.calls++
			is := of[name](hours)
			is.median += is.load * float64(weights[name])
			begins := begins.Add(time.Duration(i) * 15 * time.Minute / time.Duration(n))
			window = append(window, newCall(random, is.call(random, name), begins, 3*time.Minute))
		}
		was, now := s, begins.Add(15*time.Minute)
		since, _ := s.Window(now)
		for len(window) > 0 && window[0].begins.Before(since) {
			window = window[1:]
		}
		if s = Decide(r, s, gather(s, window, now), now); s.Moved != was.Moved {
			if out.moves++; s.Why == "all targets are within their bounds" {
				out.back++
			} else {
				out.why = s.Why
			}
		}
	}
	out.looks++
	out.last = s.Weights
	return out
}

// TestAWeek lives through weeks of 10,000 calls. Weights follow what callers hear and nothing else: equal targets move at
// less than 2 % of the looks, wherever their figures lie, and so do targets whose figures are noisy.
func TestAWeek(t *testing.T) {
	const all = "{answer_p95: 1500ms, dead_air: 1%, answered: 97%, rescued: 1%, floor: 5, step: 10, every: 15m}"
	is := func(a agent) func(float64) agent { return func(float64) agent { return a } }
	good, slow := agent{median: 700}, agent{median: 1400}
	steady := func(float64) float64 { return 1 }
	daily := func(hours float64) float64 { return 1 + math.Sin(2*math.Pi*hours/24) }
	between := func(from, to float64) func(float64) agent {
		return func(hours float64) agent {
			if hours >= from && hours < to {
				return slow
			}
			return good
		}
	}
	busy := func(hours float64) agent { return agent{median: 700 + 300*daily(hours)} } // slow when there are many calls
	for _, c := range []struct {
		name        string
		seeds       uint64
		load        func(float64) float64
		a, b        func(float64) agent
		moves, back [2]int // at least, at most
		least, most int    // calls of a
		last        string
		why         string
	}{
		{name: "equal", seeds: 3, load: steady, a: is(good), b: is(good), most: 5200},
		{name: "equal at the bound", seeds: 5, load: steady, a: is(agent{median: 868, dead: 0.01, lost: 0.03}), b: is(agent{median: 868, dead: 0.01, lost: 0.03}), moves: [2]int{0, 1}, back: [2]int{0, 1}, most: 5200},
		{name: "equal and bad", seeds: 1, load: daily, a: is(slow), b: is(slow), most: 5200},
		{name: "both slow at the same hours", seeds: 1, load: daily, a: busy, b: busy, most: 5200},
		{name: "an outage of both", seeds: 1, load: steady, a: is(agent{lost: 1}), b: is(agent{lost: 1}), most: 5200},
		{name: "an outage of one", seeds: 1, load: steady, a: is(agent{lost: 1}), b: is(good), most: 5200},
		{name: "worse", seeds: 1, load: daily, a: is(slow), b: is(good), moves: [2]int{5, 5}, most: 1200, last: "map[a:5 b:95]", why: "a answers p95 2."},
		{name: "silent", seeds: 1, load: steady, a: is(agent{mute: true}), b: is(good), moves: [2]int{5, 5}, most: 900, last: "map[a:5 b:95]", why: "a dead air 100.0%, bound 1%, 5"},
		{name: "noisy", seeds: 1, load: steady, a: is(agent{median: 1400, noisy: 0.9}), b: is(good), most: 5200},
		{name: "worse than a noisy one", seeds: 1, load: steady, a: is(slow), b: is(agent{median: 700, noisy: 0.9}), most: 5200},
		{name: "answers less", seeds: 1, load: daily, a: is(agent{median: 700, lost: 0.12}), b: is(good), moves: [2]int{5, 5}, most: 1200, why: "a unanswered 1"},
		{name: "dies", seeds: 1, load: steady, a: is(agent{median: 700, rescue: 0.1}), b: is(good), moves: [2]int{5, 5}, most: 1200, why: "a rescued "},
		{name: "fails, and mends itself", seeds: 1, load: steady, a: between(48, 96), b: is(good), moves: [2]int{10, 10}, back: [2]int{5, 5}, least: 2500, most: 4000},
		{name: "slow with many calls", seeds: 3, load: steady, a: is(agent{median: -100, load: 24}), b: is(good), moves: [2]int{2, 8}, back: [2]int{1, 4}, most: 5200},
	} {
		for seed := range c.seeds {
			got := simulate(seed, route(t, "{a: 50, b: 50}", all), c.load, map[string]func(float64) agent{"a": c.a, "b": c.b})
			last := ""
			if got.last != nil {
				last = fmt.Sprint(got.last)
			}
			if got.moves < c.moves[0] || got.moves > c.moves[1] || got.back < c.back[0] || got.back > c.back[1] ||
				got.ofA < c.least || got.ofA > c.most || c.last != "" && last != c.last || !strings.Contains(got.why, c.why) {
				t.Errorf("%s, seed %d: %+v", c.name, seed, got)
			}
			t.Logf("%s, seed %d: %d moves at %d looks, %d of them back; %d of %d calls met a (fixed: %d)", c.name, seed,
				got.moves, got.looks, got.back, got.ofA, got.calls, got.calls/2)
		}
	}
}

// TestSteps: with any figures of three targets, weights stay percent, no target has less than the floor or loses more
// than a step, only targets within their bounds gain, and the same figures move the same.
func TestSteps(t *testing.T) {
	r, random, s, moves := route(t, "{a: 20, b: 30, c: 50}", "{answered: 97%, dead_air: 5%, floor: 7, step: 9}"), rand.New(rand.NewPCG(1, 2)), State{}, 0
	for range 3000 {
		g := Gathered{}
		for _, name := range []string{"a", "b", "c"} {
			n := 40 + random.IntN(300)
			f := &figures{attempts: n, measured: n, answered: n - random.IntN(1+random.IntN(n/2))}
			f.dead = random.IntN(1 + random.IntN(1+n/10))
			g[name] = f
		}
		was := s.Weights
		if was == nil {
			was = Percent(r)
		}
		next := Decide(r, s, g, s.Moved.Add(time.Hour))
		if fmt.Sprint(next) != fmt.Sprint(Decide(r, s, g, s.Moved.Add(time.Hour))) {
			t.Fatal("the same figures move differently")
		}
		if s = next; s.Weights == nil {
			continue
		}
		moves++
		sum := 0
		for name, w := range s.Weights {
			sum += w
			d := decision{all: map[string][]measure{name: g[name].measures(r.Follow)}}
			if w < 7 || was[name]-w > 9+1 || w > was[name] && !d.within(name) {
				t.Fatalf("%s from %v to %v by %+v", name, was, s.Weights, g[name])
			}
		}
		if sum != 100 {
			t.Fatalf("%v", s.Weights)
		}
	}
	if moves < 100 {
		t.Errorf("%d moves", moves)
	}
}

// TestChance compares with known values: Fisher's exact test of 3 of 4 beside 1 of 4, and binomial ones.
func TestChance(t *testing.T) {
	for _, c := range []struct {
		a, b measure
		want float64
	}{
		{measure{bad: 3, of: 4}, measure{bad: 1, of: 4}, 17.0 / 70},
		{measure{bad: 2, of: 2}, constant(0.5), 0.25},
		{measure{bad: 8, of: 10}, constant(0.5), 56.0 / 1024},
		{measure{bad: 0, of: 10}, constant(0.5), 1},
		{constant(0.2), measure{bad: 0, of: 20}, math.Pow(0.8, 20)}, // at most 0 of 20
		{measure{}, measure{}, 1},
	} {
		if got := chance(c.a, c.b); math.Abs(got-c.want) > 1e-4*c.want {
			t.Errorf("%v beside %v: %v; want %v", c.a, c.b, got, c.want)
		}
	}
}

// TestSeen: a look says of each target how its figures lie beside their bounds, and why nothing moves.
func TestSeen(t *testing.T) {
	r := route(t, "{a: 50, b: 50}", "{answered: 90%, answer_p95: 1500ms, floor: 5, step: 10}")
	of := func(attempts, lost, slow int) *figures {
		f := &figures{attempts: attempts, answered: attempts - lost, measured: attempts - lost, turnsSquared: attempts - lost}
		for i := range f.measured {
			ms := int64(1000)
			if i < slow {
				ms = 2000
			}
			f.waits = append(f.waits, ms)
		}
		return f
	}
	for _, tt := range []struct {
		a, b    *figures
		weights map[string]int
		want    string
	}{
		{of(100, 2, 0), of(100, 0, 0), nil, "unanswered 2.0%, bound 10%, 100 calls: within; answers p95 1.0 s, bound 1.5 s, 98 calls: within"},
		{of(100, 11, 0), of(100, 0, 0), nil, "unanswered 11.0%, bound 10%, 100 calls: outside, but not beyond chance; answers p95 1.0 s, bound 1.5 s, 89 calls: within"},
		{of(100, 0, 6), of(100, 0, 0), nil, "unanswered 0.0%, bound 10%, 100 calls: within; answers p95 2.0 s, bound 1.5 s, 100 calls: outside, but not beyond chance"},
		{of(40, 0, 0), of(100, 0, 0), nil, "unanswered 0.0%, bound 10%, 40 calls: within; answers p95 1.0 s, bound 1.5 s, 40 calls: too few; answered 40 of the 50 calls that a move takes"},
		{nil, of(100, 0, 0), nil, "unanswered 0.0%, bound 10%, 0 calls: too few; answers p95, bound 1.5 s, 0 calls: too few; answered 0 of the 50 calls that a move takes"},
		{of(200, 100, 0), of(200, 100, 0), nil, "unanswered 50.0%, bound 10%, 200 calls: outside; answers p95 1.0 s, bound 1.5 s, 100 calls: within; no other target is within its bounds and better, beyond chance"},
		{of(200, 100, 0), of(200, 0, 0), map[string]int{"a": 5, "b": 95}, "unanswered 50.0%, bound 10%, 200 calls: outside; answers p95 1.0 s, bound 1.5 s, 100 calls: within; it keeps the floor"},
	} {
		s := Decide(r, State{Weights: tt.weights}, Gathered{"a": tt.a, "b": tt.b}, time.Unix(1_800_000_000, 0))
		if s.Seen["a"] != tt.want || !s.Moved.IsZero() || len(s.Seen) != 2 {
			t.Errorf("%q\nwant %q, %+v", s.Seen["a"], tt.want, s)
		}
	}
	now := time.Unix(1_800_000_000, 0)
	relapsed := State{Weights: map[string]int{"a": 40, "b": 60}, Moved: now, Rest: 48 * time.Hour}
	s := Decide(r, relapsed, Gathered{"a": of(100, 0, 0), "b": of(100, 0, 0)}, now.Add(time.Hour))
	if !strings.HasSuffix(s.Seen["a"], "within; after a relapse, weights go back 2027-01-17 08:00:00 UTC at the earliest") || !s.Moved.Equal(now) {
		t.Errorf("%+v", s)
	}
}
