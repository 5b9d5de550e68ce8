package sim

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"
)

// SampleRate is the sample rate of all audio in this package, in Hz.
const SampleRate = 8000

const (
	frameSamples = 160 // 20 ms
	frameTime    = 20 * time.Millisecond

	greetingLength = 2 * time.Second
	wordsLength    = 5 * time.Second
)

// Greeting is the audio of an agent's greeting. The text selects it, for example
// the id of the call.
func Greeting(text string) []int16 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return SpeechLike(h.Sum64(), greetingLength)
}

// Words is the audio that a caller with this seed repeats.
func Words(seed uint64) []int16 { return SpeechLike(seed, wordsLength) }

// resonator is a two-pole filter: one formant.
type resonator struct {
	a, b, c float64
	y1, y2  float64
}

func newResonator(freq, width float64) resonator {
	r := math.Exp(-math.Pi * width / SampleRate)
	b := 2 * r * math.Cos(2*math.Pi*freq/SampleRate)
	c := -r * r
	return resonator{a: 1 - b - c, b: b, c: c}
}

func (r *resonator) step(x float64) float64 {
	y := r.a*x + r.b*r.y1 + r.c*r.y2
	r.y2, r.y1 = r.y1, y
	return y
}

// SpeechLike makes mono audio at 8 kHz with the rhythm and the spectrum of
// speech: syllables of a voiced and sometimes an unvoiced part, with pauses.
// Equal arguments give equal audio; two seeds give unrelated audio. The pauses
// hold faint noise, so that no two frames are equal.
func SpeechLike(seed uint64, d time.Duration) []int16 {
	rng := rand.New(rand.NewPCG(seed, 0x5eed_0f_5ee7))
	n := int(d * SampleRate / time.Second)
	out := make([]int16, 0, n+SampleRate)
	pitch := 90 + 130*rng.Float64()
	for len(out) < n {
		if rng.IntN(3) == 0 {
			out = unvoiced(out, rng, ms(rng, 40, 110))
		}
		out = voiced(out, rng, pitch, ms(rng, 90, 240))
		if rng.IntN(3) > 0 {
			out = pause(out, rng, ms(rng, 30, 170))
		}
	}
	return out[:n]
}

func ms(rng *rand.Rand, low, high int) int {
	return (low + rng.IntN(high-low)) * SampleRate / 1000
}

func voiced(out []int16, rng *rand.Rand, pitch float64, n int) []int16 {
	f1 := newResonator(250+550*rng.Float64(), 80)
	f2 := newResonator(900+1300*rng.Float64(), 110)
	f3 := newResonator(2300+700*rng.Float64(), 160)
	from := pitch * (0.8 + 0.4*rng.Float64())
	glide := from * 0.3 * (rng.Float64() - 0.5)
	phase := 0.0
	part := make([]float64, n)
	for i := range part {
		phase += (from + glide*float64(i)/float64(n)) / SampleRate
		x := 0.02 * (rng.Float64() - 0.5) // breath
		if phase >= 1 {
			phase--
			x++
		}
		part[i] = f1.step(x) + 0.6*f2.step(x) + 0.3*f3.step(x)
	}
	return shape(out, rng, part, 5000+7000*rng.Float64())
}

func unvoiced(out []int16, rng *rand.Rand, n int) []int16 {
	f := newResonator(2200+1300*rng.Float64(), 600)
	part := make([]float64, n)
	for i := range part {
		part[i] = f.step(rng.Float64() - 0.5)
	}
	return shape(out, rng, part, 1500+2500*rng.Float64())
}

// shape scales a part to its peak and fades it in and out, so that it does not
// click.
func shape(out []int16, rng *rand.Rand, part []float64, peak float64) []int16 {
	top := 0.0
	for _, v := range part {
		top = math.Max(top, math.Abs(v))
	}
	for i, v := range part {
		at := float64(i) / float64(len(part))
		rise := math.Min(1, math.Min(at, 1-at)*6)
		out = append(out, int16(v/top*peak*rise+faint(rng)))
	}
	return out
}

func pause(out []int16, rng *rand.Rand, n int) []int16 {
	for range n {
		out = append(out, int16(faint(rng)))
	}
	return out
}

func faint(rng *rand.Rand) float64 { return 48 * (rng.Float64() - 0.5) }
