package follow

import (
	"fmt"
	"math"
	"slices"

	"flowbridge/config"
	"flowbridge/store/record"
)

// enough is how many answered calls a target needs before its figures say anything.
const enough = 50

// figures are what calls say about one target.
type figures struct {
	attempts, answered, rescued int
	measured, dead              int     // conversations with reliable figures, and those with dead air
	waits                       []int64 // for the agent's answers, in milliseconds
	turnsSquared                int     // sum of the squared numbers of turns in a call
}

// Gathered has the figures of a route's targets.
type Gathered map[string]*figures

// Add counts the record of a call whose target the route's split chose. It leaves out attempts that the caller gave up,
// or that a limit or a circuit prevented.
func (g Gathered) Add(r *record.Record) {
	i := slices.IndexFunc(r.Attempts, func(a record.Attempt) bool { return a.Reason == record.ReasonSplit })
	if i < 0 || r.Attempts[i].Cause == "caller_cancelled" || r.Attempts[i].SIPCallID == "" && !r.Attempts[i].Prepared() {
		return
	}
	a := &r.Attempts[i]
	if g[a.Target] == nil {
		g[a.Target] = &figures{}
	}
	f := g[a.Target]
	if f.attempts++; a.Cause != "" || a.SIPStatus != 200 {
		return
	}
	f.answered++
	if slices.ContainsFunc(r.Attempts, func(a record.Attempt) bool { return a.Reason == record.ReasonRescue }) {
		f.rescued++
	}
	if a.Target == r.Target && r.Talk != nil {
		f.converse(r.Talk, r.DurationMS)
	}
}

// converse counts a conversation. A caller who never hears the agent has waited for an answer until the end.
func (f *figures) converse(t *record.Talk, duration int64) {
	const deadAir = 3000 // milliseconds, as in the figures of a conversation
	before := len(f.waits)
	good, dead := t.Confidence == record.TalkGood, t.AgentDeadAirMS != nil && *t.AgentDeadAirMS >= deadAir
	switch mute := t.FirstAgentReason == "no_audio" && t.Reason == "no_audio" || t.FirstAgentReason == "silent" && good; {
	case !mute && !good, mute && duration < deadAir:
		return
	case mute:
		dead, f.waits = true, append(f.waits, duration)
	case t.Turns != nil:
		for _, ms := range t.Turns.Values {
			f.waits = append(f.waits, int64(ms))
		}
	}
	if f.measured++; dead {
		f.dead++
	}
	f.turnsSquared += (len(f.waits) - before) * (len(f.waits) - before)
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
	part := func(bad, n int, bound float64, known bool, what string) measure {
		words := fmt.Sprintf("%s %.1f%%, bound %.3g%%, %d calls", what, 100*float64(bad)/float64(max(n, 1)), 100*bound, n)
		return measure{float64(bad), float64(n), bound, known && n > 0, words}
	}
	all := []measure{
		part(f.dead, f.measured, of.DeadAir, talked, "dead air"),
		part(f.attempts-f.answered, f.attempts, 1-of.Answered, true, "unanswered"),
		part(f.rescued, f.answered, of.Rescued, true, "rescued"),
	}
	if turns := float64(len(f.waits)); of.AnswerP95 > 0 && turns == 0 {
		words := fmt.Sprintf("answers p95, bound %.1f s, 0 calls", of.AnswerP95.Seconds())
		all = append(all, measure{bound: 0.05, words: words})
	} else if of.AnswerP95 > 0 {
		slices.Sort(f.waits)
		first, _ := slices.BinarySearch(f.waits, of.AnswerP95.Milliseconds()+1)
		n, p95 := turns*turns/float64(f.turnsSquared), f.waits[int(math.Ceil(0.95*turns))-1]
		all = append(all, measure{n * (turns - float64(first)) / turns, n, 0.05, talked, fmt.Sprintf(
			"answers p95 %.1f s, bound %.1f s, %d calls", float64(p95)/1000, of.AnswerP95.Seconds(), f.measured)})
	}
	return slices.DeleteFunc(all, func(m measure) bool { return m.bound == 0 || m.bound == 1 })
}

// chance returns the probability that a has so many of the bad events of a and b, if both are equally good: Fisher's
// exact test. If b is a constant share, that is the binomial test.
func chance(a, b measure) (sum float64) {
	k, n, m := int(a.bad), int(math.Ceil(a.of)), int(b.of) // rounded so that they differ less
	both := k + int(math.Ceil(b.bad))
	for i := k; i <= min(n, both); i++ {
		sum += math.Exp(choose(n, i) + choose(m, both-i) - choose(n+m, both))
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
