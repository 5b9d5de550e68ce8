package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"flowbridge/cmd/flowbridge/compare"
	"flowbridge/config"
)

// Verdict says whether an expectation was met.
type Verdict struct {
	Name    string `json:"name"`
	Figure  string `json:"figure"`
	Bound   string `json:"bound"`
	N       int    `json:"n"`       // figures that count
	Verdict string `json:"verdict"` // met, missed or undecided
}

// The verdicts.
const (
	met       = "met"
	missed    = "missed"
	undecided = "undecided"
)

// bound is an expectation.
type bound config.Expectation

// judge compares runs with all that is expected.
func judge(t *config.Conversation, runs []Run) []Verdict {
	v := Verdict{Name: "conversation", Bound: "as the steps say", N: len(runs), Verdict: met}
	good, why := len(runs), ""
	for i := range runs {
		if runs[i].Failed != "" {
			good, v.Verdict, why = good-1, missed, "; "+runs[i].Failed
		}
	}
	v.Figure = fmt.Sprintf("%d of %d%s", good, len(runs), why)
	all := []Verdict{v}
	for _, x := range t.Expect {
		if b := bound(x); b.Text != "" {
			all = append(all, b.judgeText(runs))
		} else {
			all = append(all, b.judge(runs))
		}
	}
	return all
}

// judge compares the figures of runs with one bound.
func (b *bound) judge(runs []Run) Verdict {
	samples, left, noisy := collect(runs, b.Figure, b.Step)
	v := Verdict{Name: b.Name, N: len(samples), Bound: "at most " + shown(b.Figure, b.Limit), Verdict: undecided}
	beyond := "over"
	if b.Least {
		v.Bound, beyond = "at least "+shown(b.Figure, b.Limit), "below"
	}
	if v.N == 0 {
		v.Figure = cmp.Or(noisy, "not measured")
		return v
	}
	over := 0
	for _, s := range samples {
		if b.badness(s) > b.badness(Sample{Value: b.Limit}) {
			over++
		}
	}
	slices.SortFunc(samples, func(x, y Sample) int { return cmp.Compare(b.badness(x), b.badness(y)) })
	at := samples[max(int(math.Ceil(b.Share*float64(v.N)))-1, 0)]
	if v.Figure = shown(b.Figure, at.Value); at.Never {
		v.Figure = "not within " + v.Figure
	}
	switch v.Verdict = met; {
	case len(runs) > 1 && b.Share < 1:
		b.chance(&v, samples, over)
	case b.badness(at) > b.badness(Sample{Value: b.Limit}):
		v.Verdict = missed
	}
	if v.N > 1 {
		v.Figure += fmt.Sprintf("; %d of %d %s %s", over, v.N, beyond, shown(b.Figure, b.Limit))
	}
	if left > 0 {
		v.Figure += fmt.Sprintf("; without %d noisy runs", left)
	}
	return v
}

// chance judges a quantile of several runs: by the share of the figures over the limit, and the interval of that share.
// The figures of a run resemble each other, and count as one.
func (b *bound) chance(v *Verdict, samples []Sample, over int) {
	allowed, d := 1-b.Share, durations(samples)
	if v.Figure = interval(d.P95, d.P95Interval); b.Share == 0.5 {
		v.Figure = interval(d.P50, d.P50Interval)
	}
	switch share := compare.ShareOf(over, v.N, squared(samples)); {
	case share.Interval[0] > allowed:
		v.Verdict = missed
	case share.Interval[1] > allowed+1e-9:
		v.Verdict, v.Figure = undecided, v.Figure+"; too few calls for a verdict"
	}
}

// badness is greater for a worse figure.
func (b *bound) badness(s Sample) float64 {
	switch {
	case b.Least:
		return -s.Value
	case s.Never:
		return s.Value + never
	}
	return s.Value
}

// judgeText compares a figure that is a text.
func (b *bound) judgeText(runs []Run) Verdict {
	v := Verdict{Name: b.Name, Bound: b.Text, N: len(runs), Figure: b.Text, Verdict: met}
	for i := range runs {
		got := cmp.Or(runs[i].Texts[b.Figure], "none")
		if user, _, _ := strings.Cut(got, "@"); got != b.Text && user != b.Text { // a transfer may be to a URI
			v.Figure, v.Verdict = got, missed
		}
	}
	return v
}

// collect returns the figures of runs, how many runs are left out, and why.
func collect(runs []Run, figure string, step int) (all []Sample, left int, noisy string) {
	for i := range runs {
		if runs[i].Noisy != "" && isHeard(figure) {
			left, noisy = left+1, "noisy: "+runs[i].Noisy
			continue
		}
		for _, s := range runs[i].Figures {
			if s.Figure == figure && (step == 0 || s.Step == step) {
				s.run = i
				all = append(all, s)
			}
		}
	}
	return all, left, noisy
}

// spread returns the times of all runs. How long something did not happen is none of them.
func spread(runs []Run) map[string]*compare.Durations {
	all := map[string]*compare.Durations{}
	for _, name := range []string{answeredWithin, firstAudio, answer, stopsWithin} {
		samples, _, _ := collect(runs, name, 0)
		samples = slices.DeleteFunc(samples, func(s Sample) bool { return s.Never })
		if len(samples) > 0 {
			all[name] = durations(samples)
		}
	}
	return all
}

// never is longer than any time, in milliseconds.
const never = math.MaxInt32

func durations(samples []Sample) *compare.Durations {
	var all []int64
	for _, s := range samples {
		if s.Never {
			s.Value = never
		}
		all = append(all, int64(s.Value))
	}
	return compare.DurationsOf(all, squared(samples))
}

// squared returns the sum of the squared numbers of figures in a run.
func squared(samples []Sample) (sum int) {
	of := map[int]int{}
	for _, s := range samples {
		of[s.run]++
	}
	for _, n := range of {
		sum += n * n
	}
	return sum
}

// leastCompared is the effective number of calls that have an interval of their p50: with a smaller one it would reach
// beyond their figures. Eight calls have it, also if one has a figure less than the others.
const leastCompared = 7.3

// worse compares the median of each time with the median in earlier runs. A median is worse if its whole 95 % interval
// lies above the earlier interval.
func worse(earlier, runs []Run) (all []Verdict) {
	before, now := spread(earlier), spread(runs)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		a, b := before[name], cmp.Or(now[name], &compare.Durations{})
		v := Verdict{
			Name: name + " p50 of before", N: b.N, Verdict: met, Figure: interval(b.P50, b.P50Interval),
			Bound: "not above " + interval(a.P50, a.P50Interval),
		}
		if min(a.Independent, b.Independent) < leastCompared {
			v.Verdict, v.Figure = undecided, fmt.Sprintf("%s of %d; each test needs 8 calls, or more where some have most of the figures", v.Figure, b.N)
		} else if b.P50Interval[0] > a.P50Interval[1] {
			v.Verdict = missed
		}
		all = append(all, v)
	}
	return all
}

// interval writes a time with its interval.
func interval(ms int64, i [2]int64) string {
	seconds := fmt.Sprintf("%.2f s [%.2f-%.2f]", float64(ms)/1000, float64(i[0])/1000, float64(i[1])/1000)
	return strings.ReplaceAll(seconds, fmt.Sprintf("%.2f", never/1000.), "never")
}
