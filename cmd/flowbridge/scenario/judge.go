package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
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
		if b := bound(x); b.isSaid() {
			all = append(all, b.judgeSaid(runs))
		} else if b.Text != "" {
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
	at := b.quantile(samples, 0)
	if v.Figure = at.shown(); at.Never {
		v.Figure = "not within " + v.Figure
	}
	over, limit := b.over(samples, 0), b.badness(Sample{Value: b.Limit}, 0)
	switch v.Verdict = met; {
	case len(runs) > 1 && b.Share < 1:
		b.chance(&v, samples)
	case b.badness(b.quantile(samples, -1), -1) > limit:
		v.Verdict = missed
	case b.badness(b.quantile(samples, 1), 1) > limit:
		v.Verdict, v.Figure = undecided, v.Figure+"; packets of the caller left late, this machine is busy"
	}
	if v.N > 1 {
		v.Figure += fmt.Sprintf("; %d of %d %s %s", over, v.N, beyond, shown(b.Figure, b.Limit))
	}
	if left > 0 {
		v.Figure += fmt.Sprintf("; without %d noisy runs", left)
	}
	return v
}

// quantile returns the figure that the bound is for, if each is off by so much of what it may be off.
func (b *bound) quantile(samples []Sample, off float64) Sample {
	slices.SortFunc(samples, func(x, y Sample) int { return cmp.Compare(b.badness(x, off), b.badness(y, off)) })
	return samples[max(int(math.Ceil(b.Share*float64(len(samples))))-1, 0)]
}

// over counts the figures beyond the limit, if each is off by so much of what it may be off.
func (b *bound) over(samples []Sample, off float64) (n int) {
	for _, s := range samples {
		if b.badness(s, off) > b.badness(Sample{Value: b.Limit}, 0) {
			n++
		}
	}
	return n
}

// chance judges a quantile of several runs: by the share of the figures over the limit, and the interval of that share.
// The figures of a run resemble each other, and count as one.
func (b *bound) chance(v *Verdict, samples []Sample) {
	allowed, d := 1-b.Share, durations(samples)
	if v.Figure = interval(d.P95, d.P95Interval); b.Share == 0.5 {
		v.Figure = interval(d.P50, d.P50Interval)
	}
	share := func(off float64) [2]float64 {
		return compare.ShareOf(b.over(samples, off), v.N, squared(samples)).Interval
	}
	switch {
	case share(-1)[0] > allowed:
		v.Verdict = missed
	case share(1)[1] > allowed+1e-9:
		v.Verdict, v.Figure = undecided, v.Figure+"; too few calls for a verdict"
	}
}

// badness is greater for a worse figure. off is the part of s.Off by which the figure is worse than it seems: -1 to 1.
func (b *bound) badness(s Sample, off float64) float64 {
	switch off *= s.Off; {
	case b.Least:
		return off - s.Value
	case s.Never:
		return s.Value + never
	default:
		return s.Value + off
	}
}

// judgeText compares a figure that is a text.
func (b *bound) judgeText(runs []Run) Verdict {
	v := Verdict{Name: b.Name, Bound: b.Text, N: len(runs), Figure: b.Text, Verdict: met}
	for i := range runs {
		got := cmp.Or(runs[i].Texts[b.Figure], "none")
		if !b.is(got) {
			v.Figure, v.Verdict = got, missed
		} else if v.Verdict == met {
			v.Figure = got
		}
	}
	return v
}

// is reports whether a text is the expected one. A transfer is also named by the URI without its scheme, or by the user
// part of it.
func (b *bound) is(got string) bool {
	bare := got
	if b.Figure == transferTo {
		bare = scheme.ReplaceAllString(got, "")
	}
	user, _, _ := strings.Cut(bare, "@")
	number, _, _ := strings.Cut(user, ";")
	return slices.Contains([]string{got, bare, user}, b.Text) || b.Figure == transferTo && number == b.Text
}

var scheme = regexp.MustCompile("^(?i:sips?|tel):")

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

// spread returns the times of all runs, if each is off by so much of what it may be off. How long something did not
// happen is none of them.
func spread(runs []Run, off float64) map[string]*compare.Durations {
	all := map[string]*compare.Durations{}
	for _, name := range []string{answeredWithin, firstAudio, answer, stopsWithin} {
		samples, _, _ := collect(runs, name, 0)
		samples = slices.DeleteFunc(samples, func(s Sample) bool { return s.Never })
		for i := range samples {
			samples[i].Value = max(samples[i].Value+off*samples[i].Off, 0)
		}
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
	before, now, latest, soonest := spread(earlier, 0), spread(runs, 0), spread(earlier, 1), spread(runs, -1)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		a, b := before[name], cmp.Or(now[name], &compare.Durations{})
		v := Verdict{
			Name: name + " p50 of before", N: b.N, Verdict: met, Figure: interval(b.P50, b.P50Interval),
			Bound: "not above " + interval(a.P50, a.P50Interval),
		}
		if min(a.Independent, b.Independent) < leastCompared {
			v.Verdict, v.Figure = undecided, fmt.Sprintf("%s of %d; each test needs 8 calls, or more where some have most of the figures", v.Figure, b.N)
		} else if soonest[name].P50Interval[0] > latest[name].P50Interval[1] {
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
