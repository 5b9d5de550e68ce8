package turns

import (
	"slices"
	"time"
)

// The agent's side echoes the caller if it repeats utterances with one delay from start to end. A person or a tone that
// speaks over the caller does not end as much later as it began. All values but echoLeast are in milliseconds.
const (
	echoWithin  = 120 // greatest difference of the delays of start and end of an utterance
	echoAlike   = 80  // greatest difference of an utterance's delay from the usual one
	echoSpoken  = 400 // shorter utterances are alike by chance
	echoSoonest = 40
	echoLeast   = 2 // utterances that are repeated, and at least half of all
)

type utterance struct{ from, to int64 }

// echo returns the delay with which the agent's side repeats what the caller says, or 0 if it does not. An answer that
// repeats the caller's words after they end is no echo.
func (s *State) echo() time.Duration {
	var said [2][]utterance
	for p := range said {
		s.Sides[p].Spans.Each(func(from, to int64) {
			if to-from >= echoSpoken {
				said[p] = append(said[p], utterance{from, to})
			}
		})
	}
	var delays []int64
	first := 0
	for _, c := range said[Caller] {
		for first < len(said[Agent]) && said[Agent][first].from < c.from {
			first++
		}
		for _, a := range said[Agent][first:] {
			late, after := a.from-c.from, a.to-c.to
			if a.from >= c.to {
				break
			}
			if late >= echoSoonest && max(late-after, after-late) <= echoWithin {
				delays = append(delays, (late+after)/2)
				break
			}
		}
	}
	if len(delays) < echoLeast {
		return 0
	}
	slices.Sort(delays)
	usual, alike := delays[len(delays)/2], 0
	for _, d := range delays {
		if max(d-usual, usual-d) <= echoAlike {
			alike++
		}
	}
	if alike < echoLeast || 2*alike < len(said[Caller]) {
		return 0
	}
	return time.Duration(usual) * time.Millisecond
}
