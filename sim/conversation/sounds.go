package conversation

import (
	"math"
	"math/rand/v2"

	"flowbridge/sim/speech"
)

// rate is the sample rate of all sounds, in Hz.
const rate = speech.Rate

// Sounds are the material of conversations: samples at 8 kHz at any level.
type Sounds struct {
	Caller, Agent [][]float64            // utterances, with or without surrounding silence
	Noise         map[string][][]float64 // on the caller's side, by name: line, babble, street, music
}

// Synthetic returns sounds generated from a seed: four callers and two agents. Different seeds have no voice
// in common.
func Synthetic(seed uint64) Sounds {
	rng := rand.New(rand.NewPCG(seed, 0x70ca1))
	s := Sounds{Noise: map[string][][]float64{}}
	for range 4 {
		v := speech.New(rng)
		for range 10 {
			s.Caller = append(s.Caller, v.Say(rng, 1+rng.IntN(14)))
		}
	}
	for range 2 {
		v := speech.New(rng)
		for range 12 {
			s.Agent = append(s.Agent, v.Say(rng, 6+rng.IntN(22)))
		}
	}
	const n = 30 * rate
	s.Noise["line"] = [][]float64{fill(n, rng.NormFloat64)}
	s.Noise["street"] = [][]float64{street(rng, n)}
	for range 3 {
		s.Noise["music"] = append(s.Noise["music"], music(rng, n))
	}
	babble := make([]float64, n)
	for range 8 {
		v := speech.New(rng)
		for at := 0; at < n; {
			said := v.Say(rng, 8+rng.IntN(16))
			at += add(babble, said, at, 1)
		}
	}
	s.Noise["babble"] = [][]float64{babble}
	return s
}

// street returns rumble with passing cars.
func street(rng *rand.Rand, n int) []float64 {
	low, car := 0.0, 0.0
	return fill(n, func() float64 {
		car *= 1 - 0.4/rate
		if rng.IntN(5*rate) == 0 {
			car += 0.8 + 0.8*rng.Float64()
		}
		x := rng.NormFloat64()
		low += 0.08 * (x - low)
		return (low + 0.1*x) * (0.5 + car)
	})
}

// music returns a melody over chords, with a drum.
func music(rng *rand.Rand, n int) []float64 {
	out := make([]float64, n)
	beat := rate * 60 / (80 + rng.IntN(70))
	key := 110 * math.Pow(2, float64(rng.IntN(12))/12)
	scale := []float64{0, 2, 4, 5, 7, 9, 11, 12, 14, 16}
	note := func(at, length int, step, level float64) {
		f := 2 * math.Pi * key * math.Pow(2, step/12) / rate
		for i := 0; i < length && at+i < n; i++ {
			x, t := f*float64(i), float64(i)/float64(length)
			out[at+i] += level * math.Exp(-2.5*t) * (math.Sin(x) + 0.5*math.Sin(2*x) + 0.3*math.Sin(3*x) + 0.1*math.Sin(5*x))
		}
	}
	for at, i := 0, 0; at < n; at, i = at+beat/2, i+1 {
		if rng.IntN(4) > 0 {
			note(at, beat, 12+scale[rng.IntN(len(scale))], 0.5)
		}
		if i%4 == 0 {
			root := rng.IntN(6)
			for k := range 3 {
				note(at, 3*beat, scale[root+k], 0.3)
			}
		}
		if i%2 == 0 {
			drum := fill(beat/4, rng.NormFloat64)
			for j := range drum {
				drum[j] *= math.Exp(-float64(j) / 120)
			}
			add(out, drum, at, 0.4)
		}
	}
	return out
}

func fill(n int, next func() float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = next()
	}
	return out
}

// add adds a sound to another one at a position and returns its length.
func add(to, s []float64, at int, gain float64) int {
	for i := 0; i < len(s) && at+i < len(to); i++ {
		to[at+i] += s[i] * gain
	}
	return len(s)
}
