package peers

import (
	"slices"
	"sync"
	"time"
)

// answersLeast is the number of answers from which a target's usual time to answer is known: the median of the last
// answersKept.
const (
	answersLeast = 10
	answersKept  = 32
)

// answers has the times that a target has taken to answer. It outlives reloads.
type answers struct {
	mu   sync.Mutex
	last [answersKept]time.Duration // a ring
	seen int
}

// AnsweredAfter notes how long a target took to answer, from the beginning of the attempt.
func (a *answers) AnsweredAfter(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last[a.seen%answersKept] = d
	a.seen++
}

// UsualAnswer returns how long the target usually takes to answer, or 0 if that is not known yet.
func (a *answers) UsualAnswer() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen < answersLeast {
		return 0
	}
	known := slices.Clone(a.last[:min(a.seen, answersKept)])
	slices.Sort(known)
	return known[len(known)/2]
}
