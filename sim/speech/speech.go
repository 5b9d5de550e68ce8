// Package speech generates audio with the rhythm and the spectrum of speech.
package speech

import (
	"math"
	"math/rand/v2"
)

// Rate is the sample rate, in Hz.
const Rate = 8000

// Speaker is a person, with pitch, vocal tract, pace, and the surrounding room.
type Speaker struct {
	pitch, tract, pace, breath, room float64
}

// New returns a random person.
func New(rng *rand.Rand) Speaker {
	return Speaker{
		pitch: 85 + 140*rng.Float64(), tract: 0.85 + 0.35*rng.Float64(), pace: 0.8 + 0.5*rng.Float64(),
		breath: 0.02 + 0.06*rng.Float64(), room: 0.04 * rng.Float64() * rng.Float64(),
	}
}

// Say generates an utterance: syllables of a fricative or stop, a gliding vowel, and sometimes a final consonant. As
// in a sentence, pitch and level fall towards the end. There are short pauses between phrases.
func (v Speaker) Say(rng *rand.Rand, syllables int) []float64 {
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
	out = append(out, make([]float64, Rate/2)...) // room for the reverberation
	const early = 47 * Rate / 1000
	for i := early; i < len(out); i++ {
		out[i] += 0.6*out[i-early]*v.room*8 + v.room*rng.NormFloat64()*math.Abs(out[i-early])
	}
	return out
}

func (v Speaker) length(rng *rand.Rand, low, high float64) int {
	return int((low + (high-low)*rng.Float64()) / v.pace * Rate / 1000)
}

func (v Speaker) vowel(rng *rand.Rand, n int, level, pitch float64, last bool) []float64 {
	formants := [3]resonator{
		newResonator(v.tract*(280+500*rng.Float64()), 70), newResonator(v.tract*(850+1200*rng.Float64()), 100),
		newResonator(v.tract*(2200+600*rng.Float64()), 150),
	}
	gains := [3]float64{1, 0.6, 0.3}
	phase, glide := rng.Float64(), 1+0.25*(rng.Float64()-0.5)
	fade := 0.25
	if last {
		fade = 0.6 // level at the end of a word
	}
	out := make([]float64, n)
	for i := range out {
		at := float64(i) / float64(n)
		x := v.breath * rng.NormFloat64()
		phase += pitch * (1 + (glide-1)*at) / Rate
		if phase >= 1 {
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

func (v Speaker) hiss(rng *rand.Rand, n int, level float64) []float64 {
	f := newResonator(v.tract*(1900+1200*rng.Float64()), 700)
	out := make([]float64, n)
	for i := range out {
		at := float64(i) / float64(n)
		out[i] = f.step(rng.NormFloat64()) * (3 * level * math.Min(1, math.Min(at, 1-at)*5))
	}
	return out
}

// resonator is a two-pole filter: one formant.
type resonator struct{ a, b, c, y1, y2 float64 }

func newResonator(freq, width float64) resonator {
	r := math.Exp(-math.Pi * width / Rate)
	b, c := 2*r*math.Cos(2*math.Pi*freq/Rate), -r*r
	return resonator{a: 1 - b - c, b: b, c: c}
}

func (r *resonator) step(x float64) float64 {
	r.y1, r.y2 = r.a*x+r.b*r.y1+r.c*r.y2, r.y1
	return r.y1
}
