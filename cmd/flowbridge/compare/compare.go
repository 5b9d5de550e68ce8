// Package compare sums up records by group, so that two agents, platforms or trunks can be compared on live callers. It
// has no clock and no I/O.
//
// A call counts in the group that its caller was first assigned to, whatever the result: otherwise a failing target
// would look good. Its conversation counts only if that group's target held it, and only if its figures are reliable.
//
// Each figure comes with its number of calls and its 95 % interval. For shares it is Wilson's interval. For quantiles
// it goes from the lowest to the highest rank that the quantile can have (a binomial, approximated by a normal
// distribution). The turns of a call resemble each other. They count as one turn, so that intervals are not too narrow.
package compare

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"flowbridge/store/record"
)

// By returns the properties that calls can be grouped by.
func By() []string { return []string{"target", "trunk", "route", "split"} }

// Share is a proportion, with its interval.
type Share struct {
	Of       int        `json:"of"`
	Share    float64    `json:"share"`
	Interval [2]float64 `json:"interval"`
}

// Durations holds quantiles of durations, in milliseconds, with their intervals.
type Durations struct {
	N           int      `json:"n"`
	P50         int64    `json:"p50_ms"`
	P50Interval [2]int64 `json:"p50_interval_ms"`
	P95         int64    `json:"p95_ms"`
	P95Interval [2]int64 `json:"p95_interval_ms"`
	Independent float64  `json:"-"` // effective sample size: N, or less if calls have several durations
}

// Group describes the calls of a group. A figure is nil if there are no calls to compute it from.
type Group struct {
	Name       string     `json:"name"`
	Calls      int        `json:"calls"`
	Answered   *Share     `json:"answered"` // share of the calls that were not placed by a request
	SetUp      *Durations `json:"set_up"`
	DurationMS *int64     `json:"mean_duration_ms"` // mean over the calls that an agent answered
	Rescued    *Share     `json:"rescued"`          // share of the answered calls

	Measured      *Share     `json:"measured"` // share of the answered calls whose conversation counts below
	FirstAgent    *Durations `json:"first_agent"`
	Turns         *Durations `json:"turns"`
	BargeIns      *Durations `json:"barge_ins"`
	Ignored       *Share     `json:"barge_ins_ignored"`      // share of all interruptions
	AgentDeadAir  *int64     `json:"mean_agent_dead_air_ms"` // mean per call
	CutOffsPerMin *float64   `json:"cut_offs_per_minute"`
}

// Groups collects records by group.
type Groups struct {
	by  string
	all map[string]*sums
}

type sums struct {
	calls, decided, answered, rescued, measured int // decided excludes placed calls
	setUp, first, turns, bargeIns               []int64
	durationMS, deadMS, measuredMS              int64
	ignored, cutOffs                            int64

	// Sums of the squared numbers of turns, barge-ins, and interruptions of either kind in a call.
	turnsSquared, bargeInsSquared, interruptionsSquared int
}

// New returns empty groups. by is one of By.
func New(by string) *Groups { return &Groups{by: by, all: map[string]*sums{}} }

// Add counts a record.
func (g *Groups) Add(r *record.Record) {
	name, holds, ok := g.groupOf(r)
	if !ok {
		return
	}
	s := g.all[name]
	if s == nil {
		s = &sums{}
		g.all[name] = s
	}
	s.calls++
	switch {
	case r.IsPlaced(): // whether and when a customer answers does not depend on the agent
		if !r.IsConnected() {
			return
		}
	case r.AnsweredAt.IsZero():
		s.decided++
		return
	default:
		s.decided++
		s.setUp = append(s.setUp, r.SetupMS)
	}
	s.answered++
	s.durationMS += r.DurationMS
	if slices.ContainsFunc(r.Attempts, func(a record.Attempt) bool { return a.Reason == record.ReasonRescue }) {
		s.rescued++
	}
	if t := r.Talk; holds && t != nil && t.Confidence == record.TalkGood {
		s.converse(t)
	}
}

// groupOf returns the name of a record's group, and whether the record's conversation belongs to the group.
func (g *Groups) groupOf(r *record.Record) (name string, holds, ok bool) {
	switch g.by {
	case "trunk":
		return cmp.Or(r.Trunk, "-"), true, true
	case "route":
		return cmp.Or(r.Route, "-"), true, true
	}
	first, attempts := r.Target, r.Attempts
	for len(attempts) > 0 && attempts[0].Reason == record.ReasonCustomer {
		attempts = attempts[1:]
	}
	switch {
	case len(attempts) < len(r.Attempts) && len(attempts) == 0:
		return "", false, false // the call reached no agent
	case slices.ContainsFunc(attempts, func(a record.Attempt) bool { return a.Target == r.Target }):
		first = attempts[0].Target
	} // else the target itself placed the call
	if g.by == "split" {
		if len(attempts) == 0 || attempts[0].Reason != record.ReasonSplit {
			return "", false, false
		}
		return fmt.Sprintf("%s %s", r.Route, first), first == r.Target, true
	}
	return cmp.Or(first, "-"), first == r.Target, true
}

func (s *sums) converse(t *record.Talk) {
	s.measured++
	if t.FirstAgentMS != nil {
		s.first = append(s.first, *t.FirstAgentMS)
	}
	interruptions := 0
	if t.Ignored != nil {
		interruptions = int(*t.Ignored)
	}
	for _, d := range []struct {
		from    *record.Durations
		to      *[]int64
		squared *int
	}{{t.Turns, &s.turns, &s.turnsSquared}, {t.BargeIns, &s.bargeIns, &s.bargeInsSquared}} {
		if d.from == nil {
			continue
		}
		for _, ms := range d.from.Values {
			*d.to = append(*d.to, int64(ms))
		}
		*d.squared += len(d.from.Values) * len(d.from.Values)
	}
	if t.BargeIns != nil {
		interruptions += len(t.BargeIns.Values)
	}
	s.interruptionsSquared += interruptions * interruptions
	for _, n := range []struct {
		from *int64
		to   *int64
	}{{t.Ignored, &s.ignored}, {t.CutOffs, &s.cutOffs}, {t.AgentDeadAirMS, &s.deadMS}, {t.MeasuredMS, &s.measuredMS}} {
		if n.from != nil {
			*n.to += *n.from
		}
	}
}

// All returns the groups, the largest first.
func (g *Groups) All() []Group {
	all := []Group{}
	for _, name := range slices.Sorted(maps.Keys(g.all)) {
		s := g.all[name]
		v := Group{
			Name: name, Calls: s.calls, DurationMS: mean(s.durationMS, s.answered), AgentDeadAir: mean(s.deadMS, s.measured),
			Answered: ShareOf(len(s.setUp), s.decided, s.decided), Rescued: ShareOf(s.rescued, s.answered, s.answered),
			Measured: ShareOf(s.measured, s.answered, s.answered),
			Ignored:  ShareOf(int(s.ignored), len(s.bargeIns)+int(s.ignored), s.interruptionsSquared),
			SetUp:    DurationsOf(s.setUp, len(s.setUp)), FirstAgent: DurationsOf(s.first, len(s.first)),
			Turns: DurationsOf(s.turns, s.turnsSquared), BargeIns: DurationsOf(s.bargeIns, s.bargeInsSquared),
		}
		if s.measuredMS > 0 {
			v.CutOffsPerMin = new(float64(s.cutOffs) * 60_000 / float64(s.measuredMS))
		}
		all = append(all, v)
	}
	slices.SortStableFunc(all, func(a, b Group) int { return b.Calls - a.Calls })
	return all
}

func mean(sum int64, n int) *int64 {
	if n == 0 {
		return nil
	}
	return new(sum / int64(n))
}

// z is the normal quantile of a 95 % interval.
const z = 1.96

// independent returns Kish's effective sample size of n events: how many calls with one event each would give an
// interval of the same width. It assumes that the events of a call are all alike. squared is the sum over the calls of
// their numbers of events, squared. It is n if each call has one event.
func independent(n, squared int) float64 { return float64(n) * float64(n) / float64(squared) }

// ShareOf returns k of n events, with Wilson's interval. squared is as in independent.
func ShareOf(k, n, squared int) *Share {
	if n == 0 {
		return nil
	}
	of, p := independent(n, squared), float64(k)/float64(n)
	middle := (p + z*z/(2*of)) / (1 + z*z/of)
	half := z / (1 + z*z/of) * math.Sqrt(p*(1-p)/of+z*z/(4*of*of))
	return &Share{Of: n, Share: p, Interval: [2]float64{max(0, middle-half), min(1, middle+half)}}
}

// DurationsOf returns the quantiles of durations in milliseconds, which it sorts. It returns nil if there are none.
// squared is as in independent.
func DurationsOf(all []int64, squared int) *Durations {
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	d := &Durations{N: len(all), Independent: independent(len(all), squared)}
	d.P50, d.P50Interval = quantile(all, 0.5, d.Independent)
	d.P95, d.P95Interval = quantile(all, 0.95, d.Independent)
	return d
}

// quantile returns a quantile of sorted values, and the values at both ends of its interval of ranks. independent is
// their effective sample size.
func quantile(sorted []int64, q, independent float64) (v int64, interval [2]int64) {
	n := float64(len(sorted))
	at := func(rank float64) int64 { return sorted[min(max(int(math.Ceil(rank))-1, 0), len(sorted)-1)] }
	half, one := z*math.Sqrt(independent*q*(1-q)), n/independent // one: the ranks of an independent value
	return at(n * q), [2]int64{at(n*q - half*one), at(n*q + (half+1)*one)}
}
