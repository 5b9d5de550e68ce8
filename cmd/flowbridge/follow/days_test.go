package follow

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// days returns how many tenths of the days of a simulation are lived through: FLOWBRIDGE_MEASURE=10 lives through all.
// The constants of this package were chosen by days with seeds below judged; tests use others.
func days(n int) int {
	if tenths, err := strconv.Atoi(os.Getenv("FLOWBRIDGE_MEASURE")); err == nil {
		return n * tenths / 10
	}
	return n / 10
}

const judged = 1000

// follows are the bounds that days are simulated with.
const follows = "{answer_p95: 1500ms, dead_air: 1%, answered: 97%, rescued: 1%}"

// trouble is an agent in bursts of trouble: several a day, of some minutes, each of one kind.
func trouble(seed uint64, days float64, usual agent, perDay, minutes float64) func(hours float64) agent {
	type burst struct {
		from, to float64
		agent    agent
	}
	random, all := rand.New(rand.NewPCG(seed, 77)), []burst(nil)
	for at := random.ExpFloat64() * 24 / perDay; at < 24*days; at += random.ExpFloat64() * 24 / perDay {
		is, share := usual, 0.3+0.4*random.Float64()
		switch random.IntN(3) {
		case 0:
			is.dead = share
		case 1:
			is.lost = share
		case 2:
			is.median *= 1.5 + random.Float64()
		}
		all = append(all, burst{at, at + minutes/60*(0.5+random.Float64()), is})
	}
	return func(hours float64) agent {
		for _, b := range all {
			if hours >= b.from && hours < b.to {
				return b.agent
			}
		}
		return usual
	}
}

func steady(float64) float64 { return 1 }

func daily(hours float64) float64 { return 1 + math.Sin(2*math.Pi*hours/24) }

// TestQuietDays: two equal targets keep their weights, near their bounds, with few and with many calls.
func TestQuietDays(t *testing.T) {
	moves, n := 0, days(280)
	for i := range n {
		is := agent{median: 700 + 30*float64(i%6), dead: 0.002 * float64(i%5), lost: 0.005 * float64(i%6), noisy: 0.1}
		of := func(float64) agent { return is }
		w := world{1, []float64{300, 1500, 3000}[i%3], daily, map[string]func(float64) agent{"a": of, "b": of}}
		if got := w.simulate(judged+uint64(i), route(t, "{a: 50, b: 50}", follows)); got.moves > 0 {
			moves++
		}
	}
	if t.Logf("%d of %d quiet days have a move", moves, n); moves > 0 {
		t.Error("equal targets are told apart")
	}
}

// TestBusyDays: two targets that have bursts of trouble alike, each at its own times, mostly keep their weights.
func TestBusyDays(t *testing.T) {
	moves, n := 0, days(150)
	for i := range n {
		seed := judged + uint64(i)
		of := func(k uint64) func(float64) agent {
			return trouble(2*seed+k, 1, agent{median: 700, dead: 0.003, lost: 0.005}, []float64{3, 6, 12}[i%3], []float64{8, 15, 30}[i/3%3])
		}
		w := world{1, []float64{1500, 4000}[i%2], daily, map[string]func(float64) agent{"a": of(0), "b": of(1)}}
		got := w.simulate(seed, route(t, "{a: 50, b: 50}", follows))
		if got.moves > 0 {
			moves++
			t.Logf("seed %d, %v calls, burst kind %d %d: %d moves, first %v: %s", seed, w.perDay, i%3, i/3%3, got.moves, got.first, got.why)
		}
	}
	if t.Logf("%d of %d busy days have a move", moves, n); moves > n/10 {
		t.Error("bursts of trouble tell equal targets apart")
	}
}

// TestSilentTarget: at 1,500 calls a day and a floor of 5, at most a tenth of the callers of six hours hear nothing of a
// target of two that falls silent.
func TestSilentTarget(t *testing.T) {
	all, silent, n := 0, 0, days(60)
	for i := range n {
		of := func(hours float64) agent { return agent{median: 700, mute: hours >= 6 && hours < 12} }
		good := func(float64) agent { return agent{median: 700} }
		w := world{0.5, 1500, steady, map[string]func(float64) agent{"a": of, "b": good}}
		got := w.simulate(judged+uint64(i), route(t, "{a: 50, b: 50}", follows))
		all, silent = all+got.calls/2, silent+got.silent
	}
	share := 100 * float64(silent) / float64(all)
	if t.Logf("%.1f %% of the callers of 6 h hear nothing, on %d days", share, n); share > 10 {
		t.Error("too many callers hear nothing")
	}
}

// TestBadTarget says how long a target keeps its weight that serves some callers badly.
func TestBadTarget(t *testing.T) {
	if os.Getenv("FLOWBRIDGE_MEASURE") == "" {
		t.Skip("FLOWBRIDGE_MEASURE=10 measures")
	}
	for _, is := range []agent{{median: 700, dead: 0.5}, {median: 700, dead: 0.1}, {median: 1400}, {median: 3000}, {median: 700, lost: 0.12}} {
		moved, n := 0, days(20)
		var first time.Duration
		met := 0
		for i := range n {
			of := func(hours float64) agent {
				if hours >= 24 {
					return is
				}
				return agent{median: 700}
			}
			good := func(float64) agent { return agent{median: 700} }
			w := world{2, 1500, steady, map[string]func(float64) agent{"a": of, "b": good}}
			got := w.simulate(judged+uint64(i), route(t, "{a: 50, b: 50}", follows))
			if met += got.ofA; got.moves > 0 {
				first, moved = first+got.first-24*time.Hour, moved+1
			}
		}
		t.Logf("%+v: first step after %v, on %d of %d days; %d of %d calls met it on two days", is, first/time.Duration(max(moved, 1)), moved, n, met/n, 3000)
	}
}
