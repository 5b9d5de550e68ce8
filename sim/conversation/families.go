package conversation

import (
	"math"
	"math/rand/v2"
)

// room adds the noise of a room, and a breath of 150 to 350 ms before most utterances, 12 dB above the room at most.
func (c *Conversation) room(rng *rand.Rand, out []float64, side int, speech float64, k Condition) {
	level, low := speech*gain(k.Room), 0.0
	rumble := fill(len(out), func() float64 {
		x := rng.NormFloat64()
		low += 0.3 * (x - low)
		return low + 0.2*x
	})
	add(out, rumble, 0, level/rms(rumble))
	for _, u := range c.said[side] {
		from, _ := u.heard()
		n, high := (150+rng.IntN(200))*rate/1000, 0.0
		at := u.at + from - n - (50+rng.IntN(150))*rate/1000
		if rng.IntN(4) == 0 || at < 0 {
			continue
		}
		breath := fill(n, func() float64 {
			x := rng.NormFloat64()
			high += 0.5 * (x - high)
			return x - high
		})
		loud := level * gain(12*rng.Float64()) / rms(breath)
		for i := range min(n, len(out)-at) {
			out[at+i] += breath[i] * loud * math.Sin(math.Pi*float64(i)/float64(n))
		}
	}
}

type cadence struct {
	hertz   [2]float64
	on, off []int // ms, in turns
	wobble  float64
}

// ringing has the ringing tones of countries (ITU-T E.180).
var ringing = map[string]cadence{
	"us":      {[2]float64{440, 480}, []int{2000}, []int{4000}, 0},
	"uk":      {[2]float64{400, 450}, []int{400, 400}, []int{200, 2000}, 0},
	"japan":   {[2]float64{400, 400}, []int{1000}, []int{2000}, 16},
	"france":  {[2]float64{440, 440}, []int{1500}, []int{3500}, 0},
	"germany": {[2]float64{425, 425}, []int{1000}, []int{4000}, 0},
	"ireland": {[2]float64{400, 425}, []int{400, 400}, []int{200, 2000}, 0},

	"italy":     {[2]float64{425, 425}, []int{1000}, []int{4000}, 0},
	"australia": {[2]float64{400, 400}, []int{400, 400}, []int{200, 2000}, 17},
	"russia":    {[2]float64{425, 425}, []int{800}, []int{3200}, 0},
	"korea":     {[2]float64{440, 480}, []int{1000}, []int{2000}, 0},
	"china":     {[2]float64{450, 450}, []int{1000}, []int{4000}, 0},
}

// ring adds the ringing tone of a country until 300 ms before the agent's first words.
func (c *Conversation) ring(out []float64, country string) {
	k := ringing[country]
	first, _ := c.said[Agent][0].heard()
	end := min(c.said[Agent][0].at+first-300*rate/1000, len(out))
	level := gain(-19-overload) / math.Sqrt2
	for i, at := 0, 0; at < end; i++ {
		n := k.on[i%len(k.on)] * rate / 1000
		for j := range max(min(n, end-at), 0) {
			x := 2 * math.Pi * float64(at+j) / rate
			tone := math.Sin(k.hertz[0]*x) + math.Sin(k.hertz[1]*x)
			if k.wobble > 0 {
				tone *= 0.5 + 0.5*math.Sin(k.wobble*x)
			}
			out[at+j] += tone * level
		}
		at += n + k.off[i%len(k.off)]*rate/1000
	}
}

// startLater has the agent's first words come after some seconds of ringing.
func (c *Conversation) startLater() {
	by := (6 + c.rng.IntN(12)) * rate
	for side := range c.said {
		for i := range c.said[side] {
			c.said[side][i].at += by
		}
	}
	c.end += by
}

// clicks adds a keyboard's sounds of 10 to 58 ms while a side does not speak: bursts of typing, three to nine keys a
// second. Most keys sound twice, when they hit and when they come back.
func (c *Conversation) clicks(rng *rand.Rand, out []float64, side int, level float64) {
	key := func(at int, level float64) {
		n, ring, decay := (10+rng.IntN(49))*rate/1000, 2*math.Pi*(900+2200*rng.Float64())/rate, 1+4*rng.Float64()
		click := make([]float64, n)
		for j := range click {
			click[j] = math.Exp(-decay*float64(j)/float64(n)) * (rng.NormFloat64() + math.Sin(ring*float64(j)))
		}
		add(out[min(at, len(out)):], click, 0, level/rms(click[:min(n, frame)]))
	}
	for at := 0; at < len(out); at += (110 + rng.IntN(220)) * rate / 1000 {
		if rng.IntN(20) == 0 {
			at += (500 + rng.IntN(2000)) * rate / 1000 // reads
		}
		if c.isSpeaking(side, at) {
			continue
		}
		loud := level * gain(-3*rng.Float64())
		key(at, loud)
		if rng.IntN(3) > 0 {
			key(at+(60+rng.IntN(60))*rate/1000, loud*gain(-6*rng.Float64()))
		}
	}
}

// code adds what a codec leaves of silence to a voice: noise 42 dB below the peak, a quarter of a second longer than
// an utterance.
func (c *Conversation) code(rng *rand.Rand, out []float64, side int, level float64) {
	for _, u := range c.said[side] {
		top := 0.0
		for _, x := range u.samples {
			top = max(top, math.Abs(x))
		}
		from, to := u.heard()
		for i := max(u.at+from-rate/8, 0); i < min(u.at+to+rate/4, len(out)); i++ {
			out[i] += rng.NormFloat64() * top * level * gain(-42)
		}
	}
}

func scale(s []float64, by float64) []float64 {
	out := make([]float64, len(s))
	add(out, s, 0, by)
	return out
}
