package follow

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"flowbridge/config"
	"flowbridge/store/record"
)

// A target is dead if its newest finished calls, so many and of so many numbers, have no word of the agent. Calls that
// withhold the number are of one number.
const silentCalls, silentNumbers = 12, 6

// Last has the newest calls of targets that show whether the agent spoke. It decides when a call ends, and so neither
// calls that are still up nor the lag of a look can bias it.
type Last map[string][]heard

// heard is a finished call.
type heard struct {
	began  time.Time
	number string
	words  bool
}

// Add adds the record of a finished call. It returns why its target is dead, or "" if it is not.
func (l Last) Add(r *record.Record) (dead string) {
	rescue := func(a record.Attempt) bool { return a.Reason == record.ReasonRescue }
	if r.Talk == nil || r.Target == "" || slices.ContainsFunc(r.Attempts, rescue) { // then two targets were heard
		return ""
	}
	words := r.Talk.FirstAgentMS != nil
	if !words && (!isMute(r.Talk) || r.DurationMS < record.DeadAirMS) {
		return "" // unknown, or too short for a word
	}
	all := append(l[r.Target], heard{r.StartedAt.Time, numberOf(r), words})
	slices.SortStableFunc(all, func(a, b heard) int { return a.began.Compare(b.began) })
	l[r.Target] = all[max(len(all)-silentCalls, 0):]
	return l.dead(r.Target)
}

// dead returns why a target is dead, or "".
func (l Last) dead(target string) string {
	numbers := map[string]bool{}
	for _, h := range l[target] {
		if numbers[h.number] = true; h.words {
			return ""
		}
	}
	if len(l[target]) < silentCalls || len(numbers) < silentNumbers {
		return ""
	}
	return fmt.Sprintf("its last %d calls, of %d numbers, have no word of the agent", silentCalls, len(numbers))
}

// since reports whether a call that began after a time has heard the target.
func (l Last) since(target string, at time.Time) bool {
	return slices.ContainsFunc(l[target], func(h heard) bool { return h.words && h.began.After(at) })
}

// hears reports whether calls have heard another target since the first silent call of a dead one began. Otherwise the
// fault may be on this side.
func (l Last) hears(other, dead string) bool {
	return other != dead && l.dead(other) == "" && l.since(other, l[dead][0].began)
}

// HearsAnother reports whether calls have heard any other target since the first silent call of a dead one began.
func (l Last) HearsAnother(dead string) bool {
	for other := range l {
		if l.hears(other, dead) {
			return true
		}
	}
	return false
}

// Hear moves all weight but the floor from dead targets to the targets that calls have heard. It returns the new state.
func Hear(r *config.Route, s State, l Last, now time.Time) State {
	silent, weights, why := maps.Clone(s.Silent), inForce(r, s), []string(nil)
	if silent == nil {
		silent = map[string]time.Time{}
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		if at, is := silent[name]; is && l.since(name, at) {
			delete(silent, name)
			s.Heard = now
		} else if dead := l.dead(name); !is && dead != "" {
			better := map[string]int{}
			for other, weight := range weights {
				if l.hears(other, name) {
					better[other] = weight
				}
			}
			if len(better) == 0 {
				continue
			}
			silent[name] = now
			if loss := weights[name] - config.FollowFloor; loss > 0 {
				weights[name] -= loss
				for to, part := range divide(loss, better) {
					weights[to] += part
				}
				why = append(why, name+": "+dead)
			}
		}
	}
	if s.Silent = silent; len(silent) == 0 {
		s.Silent = nil
	}
	if len(why) > 0 {
		s.rest(now)
		s.Weights, s.Moved, s.Why = weights, now, strings.Join(why, "; ")
	}
	return s
}
