package follow

import (
	"cmp"
	"fmt"
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
	// Moved is when they last changed, from when figures count. Why says why. Looked is when the last look was.
	Moved  time.Time `json:"moved,omitzero"`
	Why    string    `json:"why,omitempty"`
	Looked time.Time `json:"looked,omitzero"`
	Pinned bool      `json:"pinned,omitempty"` // an operator has set the weights
	// Returned is when weights last went back toward the file's. They do so again only Rest after a move.
	Returned time.Time     `json:"returned,omitzero"`
	Rest     time.Duration `json:"rest,omitempty"`
	// Left has the share of bad events with which a target last lost weight, by target and number of the figure.
	Left map[string]map[int]float64 `json:"left,omitempty"`
	// Seen says of each target what the last look saw: its figures beside their bounds, and why nothing moved.
	Seen map[string]string `json:"seen,omitempty"`
}

// Window returns the times between which a call must have begun to count: the last move, but at most a day ago, and 20
// minutes ago. A later call may still be up, so it has no record, while one that was refused has one already.
func (s State) Window(now time.Time) (since, until time.Time) {
	back := min(day, now.Sub(s.Moved)) // negative if clocks differ: no call counts
	return now.Add(-back), now.Add(-20 * time.Minute)
}

// The errors of the decisions: a move by chance in a week, and a target that comes back too early.
const weekly, returning, day, week = 0.05, 0.01, 24 * time.Hour, 7 * 24 * time.Hour

// decision is a look at a split.
type decision struct {
	follow    *config.Follow
	file, now map[string]int // percent
	all       map[string][]measure
	alpha     float64           // error of a test
	seen      map[string]string // as in State
}

// Decide looks at the figures since the last move, and returns the state after the look.
func Decide(r *config.Route, s State, g Gathered, now time.Time) State {
	d := decision{follow: r.Follow, file: Percent(r), now: maps.Clone(s.Weights)}
	d.all, d.seen = map[string][]measure{}, map[string]string{}
	s.Looked, s.Seen = now, d.seen
	if d.now == nil {
		d.now = maps.Clone(d.file)
	}
	few := false
	for name := range d.file {
		f := cmp.Or(g[name], &figures{})
		few, d.all[name] = few || f.answered < enough, f.measures(r.Follow)
		d.alpha = weekly * float64(r.Follow.Every) / float64(week) / float64(len(d.file)*len(d.all[name]))
		d.see(name, f.answered)
	}
	if few {
		return s
	}
	left := map[string]map[int]float64{}
	maps.Copy(left, s.Left)
	why := d.leave(left)
	switch rest := min(max(s.Rest, day), week); {
	case why != "" && now.Sub(s.Returned) <= rest: // only many calls make it slow, or it was not mended
		s.Rest = min(max(2*min(s.Rest, week), day), week)
	case why != "":
		s.Rest = 0
	case s.Weights == nil || !d.mended(left):
		return s
	case now.Sub(s.Moved) < min(s.Rest, week):
		for name := range d.seen {
			d.seen[name] += "; after a relapse, weights go back " + s.Moved.Add(min(s.Rest, week)).UTC().Format(time.DateTime) + " UTC at the earliest"
		}
		return s
	default:
		why, s.Returned = "all targets are within their bounds", now
		d.comeBack()
	}
	s.Weights, s.Left, s.Moved, s.Why = d.now, left, now, why
	if maps.Equal(d.now, d.file) {
		s.Weights, s.Left = nil, nil
	}
	return s
}

// see writes what is known of a target that has answered so many calls.
func (d *decision) see(name string, answered int) {
	var all []string
	for _, m := range d.all[name] {
		switch {
		case !m.known:
			all = append(all, m.words+": too few")
		case m.share() <= m.bound:
			all = append(all, m.words+": within")
		case chance(m, constant(m.bound)) < d.alpha:
			all = append(all, m.words+": outside")
		default:
			all = append(all, m.words+": outside, but not beyond chance")
		}
	}
	if answered < enough {
		all = append(all, fmt.Sprintf("answered %d of the %d calls that a move takes", answered, enough))
	}
	d.seen[name] = strings.Join(all, "; ")
}

// worst returns the figure of a target that is outside of its bound with the least probability by chance, or -1.
func (d *decision) worst(name string) (index int) {
	index, least := -1, d.alpha
	for i, m := range d.all[name] {
		if m.known && m.share() > m.bound && chance(m, constant(m.bound)) < least {
			index, least = i, chance(m, constant(m.bound))
		}
	}
	return index
}

// within reports whether all figures of a target are known and within their bounds.
func (d *decision) within(name string) bool {
	return !slices.ContainsFunc(d.all[name], func(m measure) bool { return !m.known || m.share() > m.bound })
}

// leave takes weight from the targets outside of their bounds, and returns why, or "" if it takes none.
func (d *decision) leave(left map[string]map[int]float64) string {
	var why []string
	for _, name := range slices.Sorted(maps.Keys(d.all)) {
		index, loss, better := d.worst(name), min(d.follow.Step, d.now[name]-d.follow.Floor), map[string]int{}
		if index < 0 {
			continue
		} else if loss <= 0 {
			d.seen[name] += "; it keeps the floor"
			continue
		}
		m := d.all[name][index]
		for other, all := range d.all {
			if d.within(other) && chance(m, all[index]) < d.alpha {
				better[other] = d.now[other]
			}
		}
		if len(better) == 0 {
			d.seen[name] += "; no other target is within its bounds and better, beyond chance"
			continue
		}
		d.now[name] -= loss
		for to, part := range divide(loss, better) {
			d.now[to] += part
		}
		left[name] = map[int]float64{index: m.share()}
		why = append(why, name+" "+m.words)
	}
	return strings.Join(why, "; ")
}

// mended reports whether all targets are within their bounds, and each that has lost weight is better than when it lost
// it.
func (d *decision) mended(left map[string]map[int]float64) bool {
	mended := true
	for name, all := range d.all {
		mended = mended && d.within(name)
		for i, m := range all {
			share, lost := left[name][i]
			if lost && d.now[name] < d.file[name] && chance(constant(share), m) > returning {
				d.seen[name] += "; not better than when it lost weight, beyond chance"
				mended = false
			}
		}
	}
	return mended
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
