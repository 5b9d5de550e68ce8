package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"flowbridge/media/audio"
	"flowbridge/sim"
)

// noiseLength is after how long the noise behind the caller repeats.
const noiseLength = 20 * time.Second

// noiseOf returns the noise that a test names, so far below the caller's words. It returns nil if there is none.
func noiseOf(name string, said [][]int16) []int16 {
	var kind string
	var below float64
	if _, err := fmt.Sscanf(name, "%s %fdB", &kind, &below); err != nil {
		return nil
	}
	var words, sum float64
	n := 0
	for _, pcm := range said {
		for _, v := range pcm {
			words, n = words+float64(v)*float64(v), n+1
		}
	}
	all := make([]float64, noiseLength*audio.Rate/time.Second)
	kinds := map[string]func([]float64, *rand.Rand){"street": street, "car": car, "crowd": crowd}
	kinds[kind](all, rand.New(rand.NewPCG(1, 2)))
	for _, v := range all {
		sum += v * v
	}
	if n == 0 || sum == 0 {
		return nil
	}
	gain := math.Sqrt(words/float64(n)/(sum/float64(len(all)))) * math.Pow(10, -below/20)
	out := make([]int16, len(all))
	for i, v := range all {
		out[i] = clipped(v * gain)
	}
	return out
}

func clipped(v float64) int16 { return int16(min(max(v, math.MinInt16), math.MaxInt16)) }

// rumble adds low noise: white noise through two low passes.
func rumble(all []float64, random *rand.Rand, hertz, level float64) {
	k, a, b := 1-math.Exp(-2*math.Pi*hertz/audio.Rate), 0.0, 0.0
	for i := range all {
		a += k * (random.NormFloat64() - a)
		b += k * (a - b)
		all[i] += level * b / math.Sqrt(k)
	}
}

// street is distant traffic, in which cars pass.
func street(all []float64, random *rand.Rand) {
	rumble(all, random, 250, 1)
	for range 5 {
		car, at, long := make([]float64, len(all)), random.Float64()*float64(len(all)), (0.6+random.Float64())*audio.Rate
		rumble(car, random, 500+700*random.Float64(), 1)
		for i, v := range car {
			from := (float64(i) - at) / long
			all[i] += 2 * v * math.Exp(-from*from)
		}
	}
}

// car is an engine, and the road below it.
func car(all []float64, random *rand.Rand) {
	rumble(all, random, 150, 1)
	for i := range all {
		for k := 1; k <= 4; k++ {
			all[i] += 0.3 / float64(k) * math.Sin(2*math.Pi*float64(k)*34*float64(i)/audio.Rate)
		}
	}
}

// crowd is people who talk behind the caller.
func crowd(all []float64, random *rand.Rand) {
	for range 8 {
		for i, v := range sim.SpeechLike(random.Uint64(), noiseLength) {
			all[i] += float64(v)
		}
	}
}
