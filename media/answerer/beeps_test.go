//go:build !race

package answerer_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"flowbridge/media/answerer"
)

// beeps counts the beeps in a signal. If a detector reaches a verdict after which it does not wait for a beep, a new
// detector continues.
func beeps(all []packet) (n int) {
	for len(all) > 0 {
		d := answerer.New(answerer.Limits{Beep: 2 * time.Minute}, all[0].Arrival, func(answerer.Answer) {}, func(b answerer.Beep) {
			if b.Heard {
				n++
			}
		})
		for len(all) > 0 && !d.Over() {
			d.Packet(all[0].Packet)
			all = all[1:]
		}
	}
	return n
}

// TestNoBeep: speech, hum, vowels and music are not taken for a beep, for as long as a machine's greeting may last. A
// clipped whine is not tested: like a beep, it has only one steady frequency.
func TestNoBeep(t *testing.T) {
	var speakers []*sounds
	for i := range uint64(2) {
		speakers = append(speakers, soundsOf(heldOut+10*i))
	}
	hum := func(rng *rand.Rand, level func(harmonic int) float64) []float64 {
		out, phase, pitch := make([]float64, 0, 20*rate), 0.0, 0.0
		for len(out) < 20*rate {
			n, base := rate*(200+rng.IntN(1000))/1000, 90+200*rng.Float64()
			for i := range n {
				pitch += 0.002 * (rng.NormFloat64()*3 - pitch) // the pitch changes slowly, by some percent
				phase += 2 * math.Pi * base * (1 + pitch/100 + 0.01*math.Sin(2*math.Pi*5*float64(i)/rate)) / rate
				x := 0.0
				for h := 1; h <= 12; h++ {
					x += level(h) * math.Sin(float64(h)*phase)
				}
				out = append(out, x*min(1, float64(i)/400, float64(n-i)/400))
			}
			out = append(out, pause(rng.IntN(700))...)
		}
		return scaled(out, 1/active(out))
	}
	for wi, w := range ways() {
		for vi, voices := range speakers {
			rng := rand.New(rand.NewPCG(heldOut+uint64(wi), uint64(vi)))
			var speech []float64
			for len(speech) < 60*rate {
				speech = slices.Concat(speech, one(rng, slices.Concat(voices.long, voices.short)), pause(rng.IntN(900)))
			}
			music := voices.Noise["music"][rng.IntN(3)]
			first := rng.IntN(4) + 1
			for _, said := range []struct {
				name   string
				signal []float64
			}{
				{"speech", speech},
				{"music", scaled(music, 1/rms(music))},
				{"hum", hum(rng, func(h int) float64 { return math.Pow(float64(h), -2) })},
				{"vowel", hum(rng, func(h int) float64 { return 1 / (1 + math.Pow(float64(h-first), 2)) })},
				{"whine", hum(rng, func(h int) float64 { return math.Exp(-1.2 * math.Abs(float64(h-first))) })},
			} {
				if said.name == "whine" && w.clip > 0 {
					continue
				}
				if n := beeps(w.packets(said.signal, voices, rng)); n > 0 {
					t.Errorf("%s, %s, voices %d: %d beeps", said.name, w.name, vi, n)
				}
			}
		}
	}
}
