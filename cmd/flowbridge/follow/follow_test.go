package follow

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
		Target: name, Lead: fmt.Sprintf("+1507%09d", r.IntN(1e9)), DurationMS: 60_000,
		Attempts: []record.Attempt{{Target: name, Reason: record.ReasonSplit, SIPStatus: 200, SIPCallID: "x"}},
	}
	if r.Float64() < a.lost {
		rec.Attempts[0].SIPStatus, rec.Attempts[0].Cause = 503, "target_error"
		return rec
	}
	if r.Float64() < a.rescue {
		rec.Attempts = append(rec.Attempts, record.Attempt{Reason: record.ReasonRescue})
	}
	level, talk := math.Exp(0.15*r.NormFloat64()), &record.Talk{Confidence: record.TalkGood, Turns: &record.Durations{}, AgentDeadAirMS: new(int64)}
	talk.FirstAgentMS = new(int64)
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
	ends time.Time
	record.Record
}

// newCall returns a call. An unanswered one ends at once.
func newCall(r *rand.Rand, rec record.Record, begins time.Time, mean time.Duration) call {
	rec.StartedAt = record.TimeOf(begins)
	c := call{begins, rec}
	if rec.Attempts[0].Cause == "" {
		c.ends = begins.Add(time.Duration(r.ExpFloat64() * float64(mean)))
		c.DurationMS = c.ends.Sub(begins).Milliseconds()
	}
	return c
}

// gather returns the figures of the calls that a look sees.
func gather(s State, calls []call, now time.Time) *Gathered {
	since, until := s.Window(now)
	g := NewGathered(until)
	for i := range calls {
		if c := &calls[i]; !c.StartedAt.Before(since) && !c.ends.After(now) {
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
		calls = append(calls, newCall(random, is.call(random, name), moved.Add(time.Duration(i)*time.Minute/250), mean))
	}
	for minutes := 15; minutes < 120; minutes += 15 {
		now := moved.Add(time.Duration(minutes) * time.Minute)
		g := gather(s, calls, now)
		if next := Decide(r, s, g, now); next.Weights != nil {
			t.Errorf("after %d minutes: %+v", minutes, next)
		}
		if f := g.figures("a", moved, r.Follow); f.attempts-f.answered > f.attempts*26/1000 {
			t.Errorf("after %d minutes: %d of %d unanswered", minutes, f.attempts-f.answered, f.attempts)
		}
	}
}

// result is what became of the calls of some time.
type result struct {
	looks, moves, back int           // back: moves that gave a target weight again
	calls, ofA, silent int           // silent: callers who heard no word
	first              time.Duration // until the first move
	last               map[string]int
	why                string
}

// world is what a simulation is of.
type world struct {
	days, perDay float64
	load         func(hours float64) float64 // calls, relative to the mean
	of           map[string]func(hours float64) agent
}

// simulate lives through days. A target of which calls hear nothing loses its weight when a call ends.
func (w world) simulate(seed uint64, r *config.Route) (out result) {
	random, begin, s, last := rand.New(rand.NewPCG(seed, seed)), time.Unix(1_800_000_000, 0), State{}, Last{}
	var window, open []call
	moved := func(was State, now time.Time) {
		if s.Moved.Equal(was.Moved) {
			return
		}
		if out.moves++; out.moves == 1 {
			out.first = now.Sub(begin)
		}
		if s.Why == "all targets are within their bounds" {
			out.back++
		} else {
			out.why = s.Why
		}
	}
	end := func(now time.Time) {
		slices.SortFunc(open, func(a, b call) int { return a.ends.Compare(b.ends) })
		for len(open) > 0 && !open[0].ends.After(now) {
			last.Add(&open[0].Record)
			was, at := s, open[0].ends
			s = Hear(r, s, last, at)
			moved(was, at)
			open = open[1:]
		}
	}
	every := Every
	looks := int(time.Duration(w.days*24*float64(time.Hour)) / every)
	for out.looks = range looks {
		hours := (time.Duration(out.looks) * every).Hours()
		at := begin.Add(time.Duration(hours * float64(time.Hour)))
		n := int(w.perDay*every.Hours()/24*w.load(hours) + random.Float64())
		for i := range n {
			begins := at.Add(time.Duration(i) * every / time.Duration(n))
			end(begins)
			weights, name := inForce(r, s), "b"
			if random.IntN(100) < weights["a"] {
				name = "a"
				out.ofA++
			}
			out.calls++
			is := w.of[name](begins.Sub(begin).Hours())
			is.median += is.load * float64(weights[name])
			if is.mute {
				out.silent++
			}
			c := newCall(random, is.call(random, name), begins, 3*time.Minute)
			window, open = append(window, c), append(open, c)
		}
		now := at.Add(every)
		end(now)
		was := s
		since, _ := s.Window(now)
		for len(window) > 0 && window[0].StartedAt.Before(since) {
			window = window[1:]
		}
		s = Decide(r, s, gather(s, window, now), now)
		moved(was, now)
	}
	out.looks++
	out.last = s.Weights
	return out
}

// TestAWeek lives through weeks of 10,000 calls. Weights follow what callers hear and nothing else: equal targets move at
// less than 2 % of the looks, wherever their figures lie, and so do targets whose figures are noisy.
func TestAWeek(t *testing.T) {
	const all = "{answer_p95: 1500ms, dead_air: 1%, answered: 97%, rescued: 1%}"
	is := func(a agent) func(float64) agent { return func(float64) agent { return a } }
	good, slow := agent{median: 700}, agent{median: 1400}
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
		{name: "worse", seeds: 1, load: daily, a: is(slow), b: is(good), moves: [2]int{2, 4}, most: 1200, last: "map[a:5 b:95]", why: "a answers p95 2."},
		{name: "silent", seeds: 1, load: steady, a: is(agent{mute: true}), b: is(good), moves: [2]int{1, 1}, most: 600, last: "map[a:5 b:95]", why: "a: its last 12 calls, of 12 numbers, have no word of the agent"},
		{name: "noisy", seeds: 1, load: steady, a: is(agent{median: 1400, noisy: 0.9}), b: is(good), most: 5200},
		{name: "worse than a noisy one", seeds: 1, load: steady, a: is(slow), b: is(agent{median: 700, noisy: 0.9}), most: 5200},
		{name: "answers less", seeds: 1, load: daily, a: is(agent{median: 700, lost: 0.12}), b: is(good), moves: [2]int{3, 5}, most: 1200, why: "a unanswered "},
		{name: "dies", seeds: 1, load: steady, a: is(agent{median: 700, rescue: 0.1}), b: is(good), moves: [2]int{3, 5}, most: 1200, why: "a rescued "},
		{name: "fails, and mends itself", seeds: 1, load: steady, a: between(48, 96), b: is(good), moves: [2]int{7, 10}, back: [2]int{5, 5}, least: 2500, most: 4000},
		{name: "slow with many calls", seeds: 3, load: steady, a: is(agent{median: -100, load: 24}), b: is(good), moves: [2]int{2, 8}, back: [2]int{1, 4}, most: 5200},
	} {
		for seed := range max(uint64(days(10*int(c.seeds)))/10, 1) { // FLOWBRIDGE_MEASURE=10: all of them
			w := world{7, 10_000. / 7, c.load, map[string]func(float64) agent{"a": c.a, "b": c.b}}
			got := w.simulate(seed, route(t, "{a: 50, b: 50}", all))
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

// outcomes returns the calls of a target, spread evenly: so many unanswered, with dead air, and with slow answers.
func outcomes(since, until time.Time, n, lost, dead, slow int) (all []outcome) {
	for i := range n {
		o := outcome{at: since.Add(until.Sub(since) * time.Duration(i) / time.Duration(n)), answered: true, measured: true, waits: []int64{1000}}
		nth := func(k int) bool { return (i+1)*k/n > i*k/n }
		if o.dead = nth(dead); nth(slow) {
			o.waits[0] = 2000
		}
		if nth(lost) {
			o = outcome{at: o.at}
		}
		all = append(all, o)
	}
	return all
}

// TestSteps: with any figures of three targets, weights stay percent, no target has less than the floor, only targets
// within their bounds gain, a target loses more than a step where chance is out of the question, and the same figures
// move the same.
func TestSteps(t *testing.T) {
	r, random, s, moves := route(t, "{a: 20, b: 30, c: 50}", "{answered: 97%, dead_air: 5%}"), rand.New(rand.NewPCG(1, 2)), State{}, 0
	large := 0
	for range 600 {
		now := s.Moved.Add(2 * time.Hour)
		since, until := s.Window(now)
		g := NewGathered(until)
		for _, name := range []string{"a", "b", "c"} {
			n := 40 + random.IntN(300)
			g.calls[name] = outcomes(since, until, n, random.IntN(1+random.IntN(n/2)), random.IntN(1+random.IntN(1+n/10)), 0)
		}
		was := inForce(r, s)
		next := Decide(r, s, g, now)
		if fmt.Sprint(next) != fmt.Sprint(Decide(r, s, g, now)) {
			t.Fatal("the same figures move differently")
		}
		if s = next; s.Weights == nil {
			continue
		}
		moves++
		sum := 0
		for name, w := range s.Weights {
			sum += w
			f := g.figures(name, since, r.Follow)
			d := decision{all: map[string][]measure{name: f.measures(r.Follow)}}
			if w < config.FollowFloor || w > was[name] && !d.within(name) {
				t.Fatalf("%s from %v to %v by %+v", name, was, s.Weights, f)
			}
			if lost := was[name] - w; lost > step+1 {
				large++
			}
		}
		if sum != 100 {
			t.Fatalf("%v", s.Weights)
		}
	}
	if moves < 30 || large == 0 || large > moves {
		t.Errorf("%d moves, %d of them by more than a step", moves, large)
	}
}

// TestRestAfterRelapse: after a relapse, weights go back only a day later. A target that was well for longer than that
// has mended itself: the next time, its weights go back at once.
func TestRestAfterRelapse(t *testing.T) {
	r, s := route(t, "{a: 50, b: 50}", "{answered: 97%}"), State{}
	now := time.Unix(1_800_000_000, 0)
	goes := func(after time.Duration, lost int, way int) {
		t.Helper()
		now = now.Add(after)
		was := inForce(r, s)["a"]
		since, until := s.Window(now)
		g := NewGathered(until)
		g.calls["a"], g.calls["b"] = outcomes(since, until, 300, lost, 0, 0), outcomes(since, until, 300, 0, 0, 0)
		s = Decide(r, s, g, now)
		if is := cmp.Compare(inForce(r, s)["a"], was); is != way {
			t.Errorf("%s: a goes from %d to %d; want %d: %+v", now.Sub(time.Unix(1_800_000_000, 0)), was, inForce(r, s)["a"], way, s)
		}
	}
	const well, ill = 0, 60
	goes(2*time.Hour, ill, -1)
	goes(2*time.Hour, well, 1) // for the first time
	goes(2*time.Hour, ill, -1) // a relapse
	goes(20*time.Hour, well, 0)
	for s.Weights != nil {
		goes(25*time.Hour, well, 1)
	}
	goes(40*time.Hour, ill, -1)
	goes(2*time.Hour, well, 1)
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
	r := route(t, "{a: 50, b: 50}", "{answered: 90%, answer_p95: 1500ms}")
	now := time.Unix(1_800_000_000, 0)
	since, until := State{}.Window(now)
	of := func(attempts, lost, slow int) []outcome { return outcomes(since, until, attempts, lost, 0, slow) }
	look := func(a, b []outcome) *Gathered {
		g := NewGathered(until)
		g.calls["a"], g.calls["b"] = a, b
		return g
	}
	for _, tt := range []struct {
		a, b    []outcome
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
		s := Decide(r, State{Weights: tt.weights}, look(tt.a, tt.b), now)
		if s.Seen["a"] != tt.want || !s.Moved.IsZero() || len(s.Seen) != 2 {
			t.Errorf("%q\nwant %q, %+v", s.Seen["a"], tt.want, s)
		}
	}
	relapsed := State{Weights: map[string]int{"a": 40, "b": 60}, Moved: now, Rest: 48 * time.Hour}
	since, until = relapsed.Window(now.Add(2 * time.Hour))
	again := look(of(100, 0, 0), of(100, 0, 0))
	again.until = until
	s := Decide(r, relapsed, again, now.Add(2*time.Hour))
	if !strings.HasSuffix(s.Seen["a"], "within; after a relapse, weights go back 2027-01-17 08:00:00 UTC at the earliest") || !s.Moved.Equal(now) {
		t.Errorf("%+v", s)
	}
}
