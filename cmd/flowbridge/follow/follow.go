package follow

import (
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
	// Silent are the targets that have the floor because their calls were silent, and since when. Heard is when the last
	// one of them was heard again: figures count from then.
	Silent map[string]time.Time `json:"silent,omitempty"`
	Heard  time.Time            `json:"heard,omitzero"`
	// Seen says of each target what the last look saw: its figures beside their bounds, and why nothing moved.
	Seen map[string]string `json:"seen,omitempty"`
}

// Window returns the times between which a call must have begun to count: the last move, but at most a day ago, and 20
// minutes ago. A later call may still be up, so it has no record, while one that was refused has one already.
func (s State) Window(now time.Time) (since, until time.Time) {
	from := s.Moved
	if s.Heard.After(from) {
		from = s.Heard
	}
	back := min(day, now.Sub(from)) // negative if clocks differ: no call counts
	return now.Add(-back), now.Add(-lag)
}

// The errors of the decisions: a move by chance in a week, and a target that comes back too early. lag is how old calls
// must be to count. A move takes figures of settled at least, so that they show whether trouble passes. The figures of
// recent are looked at, too, because trouble that has just begun is little among those of a day.
const (
	weekly, returning = 0.05, 0.01
	lag, settled      = 20 * time.Minute, 100 * time.Minute
	recent, day, week = 3 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour
)

// Every is the time between two looks at the figures. step is what a target loses at once, in percent of the route's
// calls; it loses several times that where chance is very unlikely.
const (
	Every = 15 * time.Minute
	step  = 10
)

// decision is a look at a split.
type decision struct {
	file, now map[string]int // percent
	all       map[string][]measure
	alpha     float64           // error of a test: a look has two times
	seen      map[string]string // as in State
}

// newDecision begins a look at the calls since a time. It also returns whether a target has too few of them.
func newDecision(r *config.Route, s State, g *Gathered, since time.Time) (d *decision, few bool) {
	d = &decision{file: Percent(r), now: inForce(r, s)}
	d.all, d.seen = map[string][]measure{}, map[string]string{}
	for name := range d.file {
		f := g.figures(name, since, r.Follow)
		few, d.all[name] = few || f.answered < enough, f.measures(r.Follow)
		d.alpha = weekly / 2 * float64(Every) / float64(week) / float64(len(d.file)*len(d.all[name]))
		d.see(name, f, g)
	}
	return d, few
}

// inForce returns the weights in force, in percent.
func inForce(r *config.Route, s State) map[string]int {
	if s.Weights == nil {
		return Percent(r)
	}
	return maps.Clone(s.Weights)
}

// Decide looks at the figures since the last move, and returns the state after the look.
func Decide(r *config.Route, s State, g *Gathered, now time.Time) State {
	since, until := s.Window(now)
	since = g.first(since)
	d, few := newDecision(r, s, g, since)
	if s.Looked, s.Seen = now, d.seen; few {
		return s
	}
	left, why := map[string]map[int]float64{}, ""
	maps.Copy(left, s.Left)
	if until.Sub(since) >= settled {
		why = d.leave(left)
	}
	if why == "" && until.Sub(since) > recent {
		if late, few := newDecision(r, s, g, until.Add(-recent)); !few {
			if why = late.leave(left); why != "" {
				d.now = late.now
			}
		}
	}
	switch {
	case why != "":
		s.rest(now)
	case s.Weights == nil || !d.mended(left, s.Silent):
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

// rest makes the next return wait if a target loses weight soon after one: only many calls make it slow, or it was not
// mended.
func (s *State) rest(now time.Time) {
	if now.Sub(s.Returned) <= min(max(s.Rest, day), week) {
		s.Rest = min(max(2*min(s.Rest, week), day), week)
	} else {
		s.Rest = 0
	}
}

// see writes what is known of a target.
func (d *decision) see(name string, f *figures, g *Gathered) {
	var all []string
	later := g.later[name]
	if f.attempts > 0 || later == 0 {
		for _, m := range d.all[name] {
			all = append(all, m.words+": "+d.verdict(m))
		}
		if f.answered < enough {
			all = append(all, fmt.Sprintf("answered %d of the %d calls that a move takes", f.answered, enough))
		}
	}
	if later > 0 {
		all = append(all, fmt.Sprintf("%d calls of the last %d minutes do not count yet", later, int(lag.Minutes())))
	}
	d.seen[name] = strings.Join(all, "; ")
}

func (d *decision) verdict(m measure) string {
	switch {
	case !m.known:
		return "too few"
	case m.share() <= m.bound:
		return "within"
	case chance(m, constant(m.bound)) < d.alpha:
		return "outside"
	default:
		return "outside, but not beyond chance"
	}
}

// worst returns the figure of a target that is least likely to be outside of its bound by chance, or -1, and how likely
// it is.
func (d *decision) worst(name string) (index int, least float64) {
	index, least = -1, d.alpha
	for i, m := range d.all[name] {
		if m.known && m.share() > m.bound && chance(m, constant(m.bound)) < least {
			index, least = i, chance(m, constant(m.bound))
		}
	}
	return index, least
}

// evident is how many times less than the error of a test the probability by chance must be for each further step.
const evident = 1e-3

// steps returns how many steps a target loses at once, by the probability by chance.
func (d *decision) steps(p float64) (n int) {
	for n = 1; n < 100 && p < d.alpha*evident; n++ {
		p /= evident
	}
	return n
}

// within reports whether all figures of a target are known and within their bounds.
func (d *decision) within(name string) bool {
	return !slices.ContainsFunc(d.all[name], func(m measure) bool { return !m.known || m.share() > m.bound })
}

// leave takes weight from the targets outside of their bounds, and returns why, or "" if it takes none.
func (d *decision) leave(left map[string]map[int]float64) string {
	var why []string
	for _, name := range slices.Sorted(maps.Keys(d.all)) {
		index, least := d.worst(name)
		most, better := d.now[name]-config.FollowFloor, map[string]int{}
		if index < 0 {
			continue
		} else if most <= 0 {
			d.seen[name] += "; it keeps the floor"
			continue
		}
		m := d.all[name][index]
		for other, all := range d.all {
			if d.within(other) {
				if p := chance(m, all[index]); p < d.alpha {
					better[other], least = d.now[other], max(least, p)
				}
			}
		}
		if len(better) == 0 {
			d.seen[name] += "; no other target is within its bounds and better, beyond chance"
			continue
		}
		loss := min(d.steps(least)*step, most)
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
// it. Silent ones are not mended.
func (d *decision) mended(left map[string]map[int]float64, silent map[string]time.Time) bool {
	mended := len(silent) == 0
	for name, since := range silent {
		d.seen[name] += "; silent since " + since.UTC().Format(time.DateTime) + " UTC: no later call has heard it"
	}
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
	most := step
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
