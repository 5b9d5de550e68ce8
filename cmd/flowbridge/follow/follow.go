package follow

import (
	"maps"
	"slices"
	"strings"
	"time"

	"flowbridge/config"
)

// State is what is kept of a split.
type State struct {
	// Weights are those in force, in percent unless they are pinned. Nil: the file's.
	Weights map[string]int `json:"weights,omitempty"`
	// Moved is when they last changed, and Why says why. Figures count from then on.
	Moved time.Time `json:"moved,omitzero"`
	Why   string    `json:"why,omitempty"`
	// Pinned says that an operator has set the weights.
	Pinned bool `json:"pinned,omitempty"`
	// Looked is when the last look was.
	Looked time.Time `json:"looked,omitzero"`
	// Left has the share of bad events with which a target last lost weight, by target and figure.
	Left map[string]map[string]float64 `json:"left,omitempty"`
}

// The errors of the decisions: a move by chance in a week, and a target that comes back too early.
const (
	weekly    = 0.05
	returning = 0.01
	week      = 7 * 24 * time.Hour
)

// decision is a look at a split.
type decision struct {
	follow    *config.Follow
	file, now map[string]int // percent
	all       map[string][]measure
	alpha     float64 // error of a test
}

// Decide looks at the figures since the last move. It returns the state after the look, and reports whether weights
// have changed; Moved and Looked are the caller's.
func Decide(r *config.Route, s State, g Gathered) (next State, moved bool) {
	d := decision{follow: r.Follow, file: Percent(r), now: maps.Clone(s.Weights), all: map[string][]measure{}}
	if d.now == nil {
		d.now = maps.Clone(d.file)
	}
	next = s
	next.Left = maps.Clone(s.Left)
	for name := range d.file {
		f := g[name]
		if f == nil || f.answered < enough {
			return next, false
		}
		d.all[name] = f.measures(r.Follow)
		d.alpha = weekly * float64(r.Follow.Every) / float64(week) / float64(len(d.file)*len(d.all[name]))
	}
	switch why := d.leave(&next, g); {
	case why != "":
		next.Why = why
	case s.Weights != nil && d.mended(s.Left):
		next.Why = "all targets are within their bounds"
		d.comeBack()
	default:
		return next, false
	}
	if next.Weights = d.now; maps.Equal(d.now, d.file) {
		next.Weights, next.Left = nil, nil
	}
	return next, true
}

// worst returns the figure of a target that is outside of its bound with the least probability by chance, or -1.
func (d *decision) worst(name string) (index int) {
	index, least := -1, d.alpha
	for i, m := range d.all[name] {
		if p := chance(m, constant(m.bound)); m.known && p < least {
			index, least = i, p
		}
	}
	return index
}

// within reports whether all figures of a target are known and within their bounds.
func (d *decision) within(name string) bool {
	return !slices.ContainsFunc(d.all[name], func(m measure) bool { return !m.known || m.share() > m.bound })
}

// leave takes weight from the targets outside of their bounds, and returns why, or "" if it takes none.
func (d *decision) leave(s *State, g Gathered) string {
	var why []string
	before := maps.Clone(d.now)
	for _, name := range slices.Sorted(maps.Keys(d.all)) {
		index, loss, better := d.worst(name), min(d.follow.Step, before[name]-d.follow.Floor), map[string]int{}
		if index < 0 || loss <= 0 {
			continue
		}
		m := d.all[name][index]
		for other, all := range d.all {
			if d.within(other) && chance(m, all[index]) < d.alpha {
				better[other] = before[other]
			}
		}
		if len(better) == 0 {
			continue
		}
		d.now[name] -= loss
		for to, part := range divide(loss, better) {
			d.now[to] += part
		}
		if s.Left == nil {
			s.Left = map[string]map[string]float64{}
		}
		s.Left[name] = map[string]float64{m.what: m.share()}
		why = append(why, name+" "+g[name].words(m, d.follow))
	}
	return strings.Join(why, "; ")
}

// mended reports whether all targets are within their bounds, and those that have lost weight are better than they were
// then.
func (d *decision) mended(left map[string]map[string]float64) bool {
	for name, all := range d.all {
		for _, m := range all {
			share, lost := left[name][m.what]
			worse := lost && d.now[name] < d.file[name] && chance(constant(share), m) > returning
			if worse || !d.within(name) {
				return false
			}
		}
	}
	return true
}

// comeBack moves the weights toward the file's, by a step at most.
func (d *decision) comeBack() {
	step, most := d.follow.Step, d.follow.Step
	for name := range d.file {
		most = max(most, d.file[name]-d.now[name], d.now[name]-d.file[name])
	}
	for name := range d.file {
		d.now[name] = d.now[name]*(most-step) + d.file[name]*step
	}
	d.now = divide(100, d.now)
}

// Percent returns the weights of the file in percent. They add up to 100.
func Percent(r *config.Route) map[string]int {
	weights := map[string]int{}
	for _, s := range r.Split {
		weights[s.Name] = s.Weight
	}
	return divide(100, weights)
}

// divide divides a number in proportion to weights, in whole parts that add up to it. Every node gets the same.
func divide(n int, weights map[string]int) map[string]int {
	sum, seen, out := 0, 0, make(map[string]int, len(weights))
	for _, w := range weights {
		sum += w
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		before := n * seen / max(sum, 1)
		seen += weights[name]
		out[name] = n*seen/max(sum, 1) - before
	}
	return out
}
