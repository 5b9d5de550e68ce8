package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Follow is the section `routes[].follow`: what callers hear moves the weights of the split. It needs a bound.
type Follow struct {
	// How long callers wait for an agent's answer at most, in 95 of 100 answers, from 100ms to 30s. 0: any time.
	AnswerP95 time.Duration `key:"answer_p95" is:"answer-p95" default:"0"`
	// The most calls with a silence of 3 s or more in which the agent was to speak: 1%. Empty: any.
	DeadAir float64 `key:"dead_air" is:"share"`
	// The fewest calls that a target has to answer itself: 97%. Empty: any.
	Answered float64 `key:"answered" is:"share"`
	// The most calls that need a rescue because the agent's leg dies: 1%. Empty: any.
	Rescued float64 `key:"rescued" is:"share"`
}

// FollowFloor is the least weight that follow leaves a target, in percent of the route's calls. With fewer, its
// recovery could not be seen.
const FollowFloor = 5

// parseShare parses a percentage between 0 and 100, such as "0.5%". It returns it as a part of 1.
func parseShare(t string) (float64, complaint) {
	number, ok := strings.CutSuffix(t, "%")
	f, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(f > 0 && f < 100) { // NaN is neither
		return 0, refuse("is not a percentage between 0 and 100, to which no target keeps", "write one like 1% or 97%")
	}
	return f / 100, complaint{}
}

// checkFollow checks a route's follow against its split.
func (r *Route) checkFollow(s section) {
	f := r.Follow
	if f == nil {
		return
	}
	v := s.fields["follow"]
	switch {
	case !s.has("split"):
		v.fail("has no effect without split", "write the shares to begin with: split: {new: 10, old: 90}")
	case r.Name == "":
		v.fail("needs the route's name: its weights are kept under it", "write name: in the route")
	case f.AnswerP95 == 0 && f.DeadAir+f.Answered+f.Rescued == 0:
		v.fail("has no bound, so no target is outside of one", "write answer_p95, dead_air, answered or rescued")
	case slices.ContainsFunc(r.Split, func(s Share) bool { return 100*s.Weight < FollowFloor*r.Total() }):
		v.fail(fmt.Sprintf("leaves each target %d percent of the calls, and one of split has less", FollowFloor),
			"write a larger share")
	}
}
