package follow

import (
	"fmt"
	"math"
	"slices"
	"time"

	"flowbridge/config"
	"flowbridge/store/record"
)

// enough is how many answered calls a target needs before its figures say anything. perNumber is how many calls of a
// number count in a look. ofWithheld is how many calls with a number it takes that one without counts.
const enough, perNumber, ofWithheld = 50, 3, 9

// outcome is what a call says about its target.
type outcome struct {
	at                                time.Time // when the call began
	answered, rescued, measured, dead bool      // measured: a conversation with reliable figures; dead: with dead air
	waits                             []int64   // for the agent's answers, in milliseconds
}

// Gathered has what a look sees of a route's calls.
type Gathered struct {
	until           time.Time
	calls, withheld map[string][]outcome // by target; withheld: of calls that withhold the number
	numbers         map[string]int       // how many calls of a number count
	later           map[string]int       // by target: calls that do not count yet
}

// NewGathered returns what a look sees before it has seen a call. Calls that begin at until or later do not count.
func NewGathered(until time.Time) *Gathered {
	return &Gathered{until, map[string][]outcome{}, map[string][]outcome{}, map[string]int{}, map[string]int{}}
}

// Add counts the record of a call whose target the route's split chose. It leaves out attempts that the caller gave up,
// or that a limit or a circuit prevented, and calls of a number that has three already.
func (g *Gathered) Add(r *record.Record) {
	i := slices.IndexFunc(r.Attempts, func(a record.Attempt) bool { return a.Reason == record.ReasonSplit })
	if i < 0 || r.Attempts[i].Cause == "caller_cancelled" || r.Attempts[i].SIPCallID == "" && !r.Attempts[i].Prepared() {
		return
	}
	a := &r.Attempts[i]
	o := outcome{at: r.StartedAt.Time, answered: a.Cause == "" && a.SIPStatus == 200}
	if o.answered {
		o.rescued = slices.ContainsFunc(r.Attempts, func(a record.Attempt) bool { return a.Reason == record.ReasonRescue })
		if a.Target == r.Target && r.Talk != nil {
			o.converse(r.Talk, r.DurationMS)
		}
	}
	switch number := numberOf(r); {
	case !o.at.Before(g.until):
		g.later[a.Target]++
	case number == "":
		g.withheld[a.Target] = append(g.withheld[a.Target], o)
	case g.numbers[number] < perNumber:
		g.numbers[number]++
		g.calls[a.Target] = append(g.calls[a.Target], o)
	}
}

// first returns when the first call began that counts since a time: a time without calls shows nothing.
func (g *Gathered) first(since time.Time) time.Time {
	first := g.until
	for _, all := range g.calls {
		for i := range all {
			if at := all[i].at; at.Before(first) && !at.Before(since) {
				first = at
			}
		}
	}
	return first
}

// numberOf returns the customer's number, or "" if it is withheld.
func numberOf(r *record.Record) string {
	if config.IsDialString(r.Lead) {
		return r.Lead
	}
	return ""
}

// converse notes a conversation. A caller who never hears the agent has waited for an answer until the end.
func (o *outcome) converse(t *record.Talk, duration int64) {
	good := t.Confidence == record.TalkGood
	switch mute := isMute(t) && (good || t.Reason == "no_audio"); {
	case !mute && !good, mute && duration < record.DeadAirMS:
	case mute:
		o.measured, o.dead, o.waits = true, true, []int64{duration}
	default:
		o.measured, o.dead = true, t.AgentDeadAirMS != nil && *t.AgentDeadAirMS >= record.DeadAirMS
		if t.Turns != nil {
			for _, ms := range t.Turns.Values {
				o.waits = append(o.waits, int64(ms))
			}
		}
	}
}

// isMute reports whether a caller has heard no word of the agent.
func isMute(t *record.Talk) bool {
	return t.FirstAgentReason == "silent" || t.FirstAgentReason == "no_audio" && t.Reason == "no_audio"
}

// counts are the calls of a target in some time.
type counts struct {
	attempts, answered, rescued int
	measured, dead              int
	turns, late                 int // answers, and those later than the bound
}

// figures are what calls of a time say about one target.
type figures struct {
	counts
	waits        []int64
	turnsSquared int      // sum of the squared numbers of turns in a call
	slots        []counts // the time in equal parts
}

// A time is divided into so many slots, of slotLeast at least.
const slotsMost, slotLeast = 12, 10 * time.Minute

// figures returns the figures of a target's calls since a time, as many without a number among them as may count.
func (g *Gathered) figures(name string, since time.Time, of *config.Follow) *figures {
	length := max(g.until.Sub(since), 1)
	f := &figures{slots: make([]counts, max(min(slotsMost, int(length/slotLeast)), 1))}
	add := func(all []outcome, most int) (added int) {
		for i := range all {
			if o := &all[i]; !o.at.Before(since) && added < most {
				slot := int(time.Duration(len(f.slots)) * o.at.Sub(since) / length)
				f.add(o, &f.slots[min(max(slot, 0), len(f.slots)-1)], of.AnswerP95.Milliseconds())
				added++
			}
		}
		return added
	}
	n := add(g.calls[name], math.MaxInt)
	add(g.withheld[name], n/ofWithheld)
	for _, s := range f.slots {
		f.attempts, f.answered, f.rescued = f.attempts+s.attempts, f.answered+s.answered, f.rescued+s.rescued
		f.measured, f.dead = f.measured+s.measured, f.dead+s.dead
		f.turns, f.late = f.turns+s.turns, f.late+s.late
	}
	slices.Sort(f.waits)
	return f
}

// add counts a call in its slot. bound is how long an answer may take, in milliseconds.
func (f *figures) add(o *outcome, slot *counts, bound int64) {
	count := func(n *int, is bool) {
		if is {
			*n++
		}
	}
	slot.attempts++
	count(&slot.answered, o.answered)
	count(&slot.rescued, o.rescued)
	count(&slot.measured, o.measured)
	count(&slot.dead, o.dead)
	for _, ms := range o.waits {
		slot.turns++
		count(&slot.late, ms > bound)
	}
	f.waits = append(f.waits, o.waits...)
	f.turnsSquared += len(o.waits) * len(o.waits)
}

// measure is one figure of a target: so many bad events among so many independent ones.
type measure struct {
	bad, of, bound float64 // bound is the largest share of bad events that is within; 0 or 1: there is none
	known          bool    // there are enough reliable figures
	words          string
}

func (m *measure) share() float64 { return m.bad / max(m.of, 1) }

// measures returns the figures that have a bound, in the same order for each target.
func (f *figures) measures(of *config.Follow) []measure {
	// A few measured calls among many may be unusual ones.
	talked := f.measured >= enough && 2*f.measured >= f.answered
	part := func(bound float64, known bool, what string, of func(*counts) (bad, n int)) measure {
		bad, n := of(&f.counts)
		words := fmt.Sprintf("%s %.1f%%, bound %.3g%%, %d calls", what, 100*float64(bad)/float64(max(n, 1)), 100*bound, n)
		d := f.dispersion(of)
		return measure{float64(bad) / d, float64(n) / d, bound, known && n > 0, words}
	}
	all := []measure{
		part(of.DeadAir, talked, "dead air", func(c *counts) (bad, n int) { return c.dead, c.measured }),
		part(1-of.Answered, true, "unanswered", func(c *counts) (bad, n int) { return c.attempts - c.answered, c.attempts }),
		part(of.Rescued, true, "rescued", func(c *counts) (bad, n int) { return c.rescued, c.answered }),
	}
	if f.turns == 0 && of.AnswerP95 > 0 {
		words := fmt.Sprintf("answers p95, bound %.1f s, 0 calls", of.AnswerP95.Seconds())
		all = append(all, measure{bound: 0.05, words: words})
	} else if of.AnswerP95 > 0 {
		turns := float64(f.turns)
		n, p95 := turns*turns/float64(f.turnsSquared), f.waits[int(math.Ceil(0.95*turns))-1]
		n /= max(f.dispersion(func(c *counts) (bad, n int) { return c.late, c.turns })*n/turns, 1)
		all = append(all, measure{n * float64(f.late) / turns, n, 0.05, talked, fmt.Sprintf(
			"answers p95 %.1f s, bound %.1f s, %d calls", float64(p95)/1000, of.AnswerP95.Seconds(), f.measured)})
	}
	return slices.DeleteFunc(all, func(m measure) bool { return m.bound == 0 || m.bound == 1 })
}

// dispersion returns how many times more bad events vary over time than independent ones, at least 1: trouble comes in
// bursts, and a burst is one event rather than many. It looks at bursts of one slot to three.
func (f *figures) dispersion(of func(*counts) (bad, n int)) float64 {
	bad, n := of(&f.counts)
	share, most := float64(bad)/float64(max(n, 1)), 1.0
	if share == 0 || share == 1 {
		return 1
	}
	for long := 1; long <= 3; long++ {
		sum, parts := 0.0, 0
		for part := range slices.Chunk(f.slots, long) {
			bad, n := 0, 0
			for i := range part {
				b, of := of(&part[i])
				bad, n = bad+b, n+of
			}
			if n > 0 {
				expected := float64(n) * share
				sum += (float64(bad) - expected) * (float64(bad) - expected) / (expected * (1 - share))
				parts++
			}
		}
		most = max(most, sum/float64(max(parts-1, 1)))
	}
	return most
}

// chance returns the probability that a has so many of the bad events of a and b, if both are equally good: Fisher's
// exact test. If b is a constant share, that is the binomial test.
func chance(a, b measure) float64 {
	k, n, m := int(a.bad), int(math.Ceil(a.of)), int(b.of) // rounded so that they differ less
	both := k + int(math.Ceil(b.bad))
	term := math.Exp(choose(n, k) + choose(m, both-k) - choose(n+m, both))
	sum := 0.0
	for i := k; i <= min(n, both); i++ { // the terms rise to one peak, and then fall
		if sum += term; term < sum*1e-12 && float64(i)*float64(n+m) > float64(n)*float64(both) {
			break
		}
		if rest := m - both + i + 1; rest <= 0 || term == 0 {
			term = math.Exp(choose(n, i+1) + choose(m, both-i-1) - choose(n+m, both))
		} else {
			term *= float64(n-i) / float64(i+1) * float64(both-i) / float64(rest)
		}
	}
	return min(sum, 1)
}

// constant is the figure of a target whose share of bad events is known.
func constant(share float64) measure { return measure{bad: share * 1e8, of: 1e8} }

// choose returns the logarithm of the number of ways to choose k of n.
func choose(n, k int) float64 {
	factorial := func(n int) float64 { f, _ := math.Lgamma(float64(n + 1)); return f } // infinite for negative ones
	return factorial(n) - factorial(k) - factorial(n-k)
}
