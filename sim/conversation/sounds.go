package conversation

import (
	"math"
	"math/rand/v2"
)

// rate is the sample rate of all sounds, in Hz.
const rate = 8000

// Sounds are what conversations are put together from: samples of 8 kHz at any level.
type Sounds struct {
	Caller, Agent [][]float64            // utterances, each with the silence around it or without
	Noise         map[string][][]float64 // of the caller's side by name: line, babble, street, music
}

// Synthetic returns sounds of a seed: four callers and two agents. Two seeds have no voice in common.
func Synthetic(seed uint64) Sounds {
	rng := rand.New(rand.NewPCG(seed, 0x70ca1))
	s := Sounds{Noise: map[string][][]float64{}}
	for range 4 {
		v := newSpeaker(rng)
		for range 10 {
			s.Caller = append(s.Caller, v.say(rng, 1+rng.IntN(14)))
		}
	}
	for range 2 {
		v := newSpeaker(rng)
		for range 12 {
			s.Agent = append(s.Agent, v.say(rng, 6+rng.IntN(22)))
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
		v := newSpeaker(rng)
		for at := 0; at < n; {
			said := v.say(rng, 8+rng.IntN(16))
			at += add(babble, said, at, 1)
		}
	}
	s.Noise["babble"] = [][]float64{babble}
	return s
}

// speaker is one person: pitch, vocal tract, pace, the room around it.
type speaker struct {
	pitch, tract, pace, breath, room float64
}

func newSpeaker(rng *rand.Rand) speaker {
	return speaker{
		pitch: 85 + 140*rng.Float64(), tract: 0.85 + 0.35*rng.Float64(), pace: 0.8 + 0.5*rng.Float64(),
		breath: 0.02 + 0.06*rng.Float64(), room: 0.04 * rng.Float64() * rng.Float64(),
	}
}

// say makes an utterance: syllables of a fricative or stop, a vowel that glides, sometimes a final consonant. Its pitch
// and its level fall towards the end, as those of sentences do. Short pauses lie between phrases.
func (v speaker) say(rng *rand.Rand, syllables int) []float64 {
	var out []float64
	phrase := 3 + rng.IntN(5)
	for i := range syllables {
		fall := 1 - 0.45*float64(i)/float64(syllables)
		level := fall * math.Exp(0.3*rng.NormFloat64())
		switch rng.IntN(4) {
		case 0:
			out = append(out, v.hiss(rng, v.length(rng, 50, 120), 0.12*level)...)
		case 1: // a closed mouth, then a burst
			out = append(out, make([]float64, v.length(rng, 30, 70))...)
			out = append(out, v.hiss(rng, v.length(rng, 8, 25), 0.3*level)...)
		}
		last := i == syllables-1
		n := v.length(rng, 80, 200)
		if last {
			n += n / 2
		}
		out = append(out, v.vowel(rng, n, level, v.pitch*(0.75+0.35*fall), last)...)
		if rng.IntN(5) == 0 {
			out = append(out, v.hiss(rng, v.length(rng, 40, 110), 0.1*level)...)
		}
		if phrase--; phrase == 0 && !last {
			out = append(out, make([]float64, v.length(rng, 90, 320))...)
			phrase = 3 + rng.IntN(5)
		}
	}
	out = append(out, make([]float64, rate/2)...) // the room's tail
	const early = 47 * rate / 1000
	for i := early; i < len(out); i++ {
		out[i] += 0.6*out[i-early]*v.room*8 + v.room*rng.NormFloat64()*math.Abs(out[i-early])
	}
	return out
}

func (v speaker) length(rng *rand.Rand, low, high float64) int {
	return int((low + (high-low)*rng.Float64()) / v.pace * rate / 1000)
}

func (v speaker) vowel(rng *rand.Rand, n int, level, pitch float64, last bool) []float64 {
	formants := [3]resonator{
		newResonator(v.tract*(280+500*rng.Float64()), 70), newResonator(v.tract*(850+1200*rng.Float64()), 100),
		newResonator(v.tract*(2200+600*rng.Float64()), 150),
	}
	gains := [3]float64{1, 0.6, 0.3}
	phase, glide := rng.Float64(), 1+0.25*(rng.Float64()-0.5)
	fade := 0.25
	if last {
		fade = 0.6 // a word fades
	}
	out := make([]float64, n)
	for i := range out {
		at := float64(i) / float64(n)
		x := v.breath * rng.NormFloat64()
		if phase += pitch * (1 + (glide-1)*at) / rate; phase >= 1 {
			phase--
			x += 8
		}
		for f := range formants {
			out[i] += gains[f] * formants[f].step(x)
		}
		out[i] *= level * math.Min(1, at/0.12) * math.Min(1, (1-at)/fade)
	}
	return out
}

func (v speaker) hiss(rng *rand.Rand, n int, level float64) []float64 {
	f := newResonator(v.tract*(1900+1200*rng.Float64()), 700)
	out := fill(n, func() float64 { return f.step(rng.NormFloat64()) })
	for i := range out {
		at := float64(i) / float64(n)
		out[i] *= 3 * level * math.Min(1, math.Min(at, 1-at)*5)
	}
	return out
}

// street is rumble in which cars pass.
func street(rng *rand.Rand, n int) []float64 {
	low, car := 0.0, 0.0
	return fill(n, func() float64 {
		if car *= 1 - 0.4/rate; rng.IntN(5*rate) == 0 {
			car += 0.8 + 0.8*rng.Float64()
		}
		x := rng.NormFloat64()
		low += 0.08 * (x - low)
		return (low + 0.1*x) * (0.5 + car)
	})
}

// music is a melody over chords, with a drum.
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

// resonator is a filter of two poles: one formant.
type resonator struct{ a, b, c, y1, y2 float64 }

func newResonator(freq, width float64) resonator {
	r := math.Exp(-math.Pi * width / rate)
	b, c := 2*r*math.Cos(2*math.Pi*freq/rate), -r*r
	return resonator{a: 1 - b - c, b: b, c: c}
}

func (r *resonator) step(x float64) float64 {
	r.y1, r.y2 = r.a*x+r.b*r.y1+r.c*r.y2, r.y1
	return r.y1
}

func fill(n int, next func() float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = next()
	}
	return out
}

// add adds a sound to another one at a place and returns its length.
func add(to, s []float64, at int, gain float64) int {
	for i := 0; i < len(s) && at+i < len(to); i++ {
		to[at+i] += s[i] * gain
	}
	return len(s)
}
