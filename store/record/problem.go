package record

import (
	"context"
	"slices"
)

// ProblemNotTold is the problem of an answered call whose caller was not told the whole statement of its route, or has
// not accepted where a key is asked for.
const ProblemNotTold = "not-told"

// Problems returns the words for problems that a call may have. Only ProblemsOf defines their meaning: the page, the
// commands and the API use it.
func Problems() []string {
	return []string{"one-way", "silent", "loss", "dead-air", "echo", "no-answer", "rescue", ProblemNotTold}
}

// ProblemsOf returns the problems that a record shows.
func ProblemsOf(r *Record) (words []string) {
	is := []bool{
		r.Media.OneWay != "",
		len(r.Media.Silences) > 0,
		r.Media.A.loses() || r.Media.B.loses(),
		r.hasDeadAir(),
		r.Talk != nil && r.Talk.EchoMS > 0,
		!r.EndedAt.IsZero() && r.AnsweredAt.IsZero(),
		slices.ContainsFunc(r.Attempts, func(a Attempt) bool { return a.Reason == ReasonRescue }),
		!r.AnsweredAt.IsZero() && r.Told != nil && !r.Told.Counts(),
	}
	for i, word := range Problems() {
		if is[i] {
			words = append(words, word)
		}
	}
	return words
}

// DeadAirMS is how long a silence must last to be dead air, in milliseconds, as in media/voice/turns.
const DeadAirMS = 3000

// hasDeadAir reports whether both sides were silent for too long. Without packets that is certain, however noisy the
// voices are: neither side sent any, or one sent none and nobody was heard to speak.
func (r *Record) hasDeadAir() bool {
	t := r.Talk
	heard := t != nil && t.LongestDeadAirMS != nil && *t.LongestDeadAirMS > DeadAirMS
	return r.Media.NoRTPMS > DeadAirMS || heard && (t.Confidence == TalkGood || len(r.Media.Silences) > 0)
}

// loses reports whether more than 2 % of a side's packets could not be heard.
func (s *MediaSide) loses() bool { return 50*s.Missed() > s.Rx+s.Lost }

// searched bounds how many records List reads for one page of calls with a problem: about a second of work.
const searched = 20_000

// List is from.List with Filter.Problem applied. A page of calls with a problem may be shorter than its limit, or
// empty, although more follow; in that case next is set.
func List(ctx context.Context, from Lister, f Filter) (found []Record, next string, err error) {
	if f.Problem == "" {
		return from.List(ctx, f)
	}
	limit, found := f.PageSize(), []Record{}
	f.Limit = eachStep
	for range searched / eachStep {
		all, next, err := from.List(ctx, f)
		for i := range all {
			if !slices.Contains(all[i].Problems, f.Problem) {
				continue
			}
			found = append(found, all[i])
			if len(found) == limit {
				return found, CursorOf(all[i]), nil
			}
		}
		f.Cursor = next
		if next == "" || err != nil {
			return found, next, err
		}
	}
	return found, f.Cursor, nil
}
