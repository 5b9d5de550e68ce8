package turns

import (
	"math/rand/v2"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// TestStatesAreChecked: a saved state that no call can have is refused.
func TestStatesAreChecked(t *testing.T) {
	for name, change := range map[string]func(s *State){
		"version":   func(s *State) { s.Version = 9 },
		"time":      func(s *State) { s.Quiet = -1 },
		"late":      func(s *State) { s.Sides[1].Until = lifetime + 1 },
		"order":     func(s *State) { s.Sides[0].Ahead = []span{{From: 5, To: 4}} },
		"speaks":    func(s *State) { s.Sides[0].Speaks = true },
		"party":     func(s *State) { s.Waiting = 7 },
		"values":    func(s *State) { s.Latency.Values = make([]uint16, sampleMax) },
		"marks":     func(s *State) { s.Marks = make([]mark, marksMax+1) },
		"mark":      func(s *State) { s.Marks = []mark{{At: -5}} },
		"utterance": func(s *State) { s.Sides[0].Ahead = make([]span, aheadMax+1) },
	} {
		s := New(answered).State()
		change(&s)
		if _, err := Resume(answered, s); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// FuzzState restores a state from arbitrary bytes. An impossible state must be refused, and any other must be able to
// follow a call.
func FuzzState(f *testing.F) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 6))
		both, end := random(rng)
		talk := live(New(answered), both, end/int(1+seed), rng, func(t *Talk) *Talk {
			if rng.IntN(50) == 0 {
				t.Pause(Hold, at(rng.IntN(end)))
			}
			return t
		})
		b, err := cbor.Marshal(talk.State())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, seed)
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var s State
		if cbor.Unmarshal(b, &s) != nil {
			return
		}
		talk, err := Resume(answered, s)
		if err != nil {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 7))
		both, end := random(rng)
		live(talk, both, end, rng, func(t *Talk) *Talk {
			t.Cut(at(rng.IntN(end)))
			return t
		})
		_, _, _ = talk.Waiting()
		after := talk.State()
		if fig := talk.Figures(); fig.Measured < s.Measured && fig.Confidence != NotMeasured || len(after.Sides[0].Ahead) > aheadMax || len(after.Marks) > marksMax {
			t.Errorf("%+v", after)
		}
	})
}
