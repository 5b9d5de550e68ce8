//go:build e2e

package e2e

import (
	"math"
	"time"

	"flowbridge/media/audio"
	"flowbridge/sim"
)

// reference returns audio to compare with: half a second of a tone that rises from 200 to 3400 Hz
// and from silence to full scale, so that it contains every code of G.711, and then speech. It
// depends only on its arguments.
func reference(seed uint64, d time.Duration) []int16 {
	const sweep = audio.Rate / 2
	samples := sim.SpeechLike(seed, d)
	phase := 0.0
	for i := range sweep {
		at := float64(i) / sweep
		phase += 2 * math.Pi * (200 + 3200*at) / audio.Rate
		samples[i] = int16(32000 * at * math.Sin(phase))
	}
	return samples
}

// codes encodes audio in a law of G.711.
func codes(law audio.Law, samples []int16) []byte {
	out := make([]byte, len(samples))
	for i, v := range samples {
		if law == audio.ALaw {
			out[i] = audio.EncodeALaw(v)
		} else {
			out[i] = audio.EncodeULaw(v)
		}
	}
	return out
}

// samplesOf is the inverse of codes.
func samplesOf(law audio.Law, codes []byte) []int16 {
	out := make([]int16, len(codes))
	for i, c := range codes {
		if law == audio.ALaw {
			out[i] = audio.DecodeALaw(c)
		} else {
			out[i] = audio.DecodeULaw(c)
		}
	}
	return out
}

// noise returns the ratio of a signal to the difference between it and the received signal, in dB.
func noise(signal, got []int16) float64 {
	var power, wrong float64
	for i, v := range signal {
		d := float64(got[i]) - float64(v)
		power += float64(v) * float64(v)
		wrong += d * d
	}
	return 10 * math.Log10(power/wrong)
}

// level returns the amplitude of a frequency in some samples, of 32768, by Goertzel's algorithm.
func level(samples []int16, hertz float64) float64 {
	c := 2 * math.Cos(2*math.Pi*hertz/audio.Rate)
	var a, b float64
	for _, v := range samples {
		a, b = float64(v)+c*a-b, a
	}
	return 2 * math.Sqrt(a*a+b*b-c*a*b) / float64(len(samples))
}
