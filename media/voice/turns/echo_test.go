package turns

import (
	"testing"
	"time"
)

// TestEcho: an echo repeats utterances with one delay; other speech over the caller, and answers that repeat words, do
// not.
func TestEcho(t *testing.T) {
	caller := []utterance{{1000, 2500}, {5000, 5900}, {9000, 12_000}, {15_000, 15_700}}
	later := func(by ...int64) (all []utterance) {
		for i, u := range caller {
			d := by[i%len(by)]
			all = append(all, utterance{u.from + d, u.to + d})
		}
		return all
	}
	for name, c := range map[string]struct {
		agent []utterance
		want  time.Duration
	}{
		"an echo":                       {later(300), 300 * time.Millisecond},
		"an echo with jitter":           {later(300, 320, 290, 310), 310 * time.Millisecond},
		"an echo beside its own speech": {append([]utterance{{100, 900}}, append(later(300)[:3], utterance{16_500, 19_000})...), 300 * time.Millisecond},
		"nothing":                       {nil, 0},
		"words repeated after the end":  {[]utterance{{3100, 4600}, {6500, 7400}, {12_600, 15_600}}, 0},
		"at the same time":              {later(0), 0},
		"delays of all kinds":           {later(100, 700, 1200, 400), 0},
		"speech over the caller":        {[]utterance{{1300, 4200}, {5200, 8000}, {9500, 14_000}, {15_300, 19_000}}, 0},
		"music":                         {[]utterance{{100, 20_000}}, 0},
		"one word by chance":            {[]utterance{{1300, 2800}, {6500, 8000}}, 0},
	} {
		var s State
		for p, all := range [...][]utterance{Caller: caller, Agent: c.agent} {
			var last int64
			for _, u := range all {
				s.Sides[p].Spans = s.Sides[p].Spans.add(time.Duration(last)*time.Millisecond,
					time.Duration(u.from)*time.Millisecond, time.Duration(u.to)*time.Millisecond)
				last = u.to
			}
		}
		if got := s.echo(); got != c.want {
			t.Errorf("%s: got %v; want %v", name, got, c.want)
		}
	}
}
