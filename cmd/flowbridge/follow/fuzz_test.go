package follow

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// FuzzState: a look ends with any state that a database may have.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"weights":{"a":40,"b":60},"moved":"2026-11-27T14:15:00Z","why":"a","left":{"a":{"0":0.2}}}`))
	f.Add([]byte(`{"weights":{"a":-1,"x":9223372036854775807},"left":{"a":{"7":1e300,"-1":-1}}}`))
	r := route(f, "{a: 50, b: 50}", "{answered: 97%}")
	f.Fuzz(func(t *testing.T, text []byte) {
		var s State
		if json.Unmarshal(text, &s) != nil {
			return
		}
		for _, answered := range []int{60, 90} {
			since, until := s.Window(time.Unix(0, 0))
			g := NewGathered(until)
			g.calls["a"], g.calls["b"] = outcomes(since, until, 90, 90-answered, 0, 0), outcomes(since, until, 90, 0, 0, 0)
			s = Hear(r, s, Last{"a": slices.Repeat([]heard{{number: "1"}}, silentCalls), "b": {{words: true}}}, time.Unix(0, 0))
			s = Decide(r, s, g, time.Unix(0, 0))
		}
	})
}
