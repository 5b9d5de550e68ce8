//go:build talk

package turns_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"flowbridge/sim/conversation"
)

// These are the first seeds of calls. No constant was chosen with those of heldSeed, nor with the families of held.
const (
	heldSeed = 910_001
	tuneSeed = 770_001
)

// family returns a quiet line with a change.
func family(name string, change func(k *conversation.Condition)) conversation.Condition {
	k := conversation.Conditions()[0]
	k.Name = name
	change(&k)
	return k
}

// tuned returns families that are made otherwise than those of the package conversation, and that were tuned on.
func tuned() (all []conversation.Condition) {
	of := func(name string, change func(k *conversation.Condition)) { all = append(all, family(name, change)) }
	of("pauses hum -38 dB", func(k *conversation.Condition) { k.Soil = hum(-38) })
	of("pauses step -40 dB", func(k *conversation.Condition) { k.Soil = steps(-40) })
	of("room and breath", func(k *conversation.Condition) { k.Soil = breaths(-34) })
	for _, country := range []string{"us", "japan", "france", "germany", "ireland"} {
		of("ringback "+country, func(k *conversation.Condition) { k.Ringback = country })
	}
	of("agent types -12 dB", func(k *conversation.Condition) { k.Soil = keyboard(conversation.Agent, -12) })
	of("caller types -20 dB", func(k *conversation.Condition) { k.Soil = keyboard(conversation.Caller, -20) })
	of("music on hold", func(k *conversation.Condition) { k.Hold = true })
	return all
}

// held returns families on which nothing was tuned.
func held() (all []conversation.Condition) {
	of := func(name string, change func(k *conversation.Condition)) { all = append(all, family(name, change)) }
	of("pauses car -36 dB", func(k *conversation.Condition) { k.Soil = car(-36) })
	of("pauses crackle -34 dB", func(k *conversation.Condition) { k.Soil = crackle(-34) })
	of("pauses gated -38 dB", func(k *conversation.Condition) { k.Soil = gated(-38) })
	for _, country := range []string{"italy", "australia", "russia", "korea", "china"} {
		of("ringback "+country, func(k *conversation.Condition) { k.Ringback = country })
	}
	of("agent types -12 dB", func(k *conversation.Condition) { k.Soil = laptop(conversation.Agent, -12) })
	of("caller types -20 dB", func(k *conversation.Condition) { k.Soil = laptop(conversation.Caller, -20) })
	of("music on hold", func(k *conversation.Condition) { k.Hold = true })
	return all
}

type soil = func(c *conversation.Conversation, rng *rand.Rand, out []float64, side int, speech float64)

func db(x float64) float64 { return math.Pow(10, x/20) }

// hum is a ventilator: a mains hum with overtones that swells slowly, and pink noise.
func hum(level float64) soil {
	return func(_ *conversation.Conversation, rng *rand.Rand, out []float64, _ int, speech float64) {
		base, slow := 100+20*float64(rng.IntN(2)), 0.2+rng.Float64()/2
		var pink [3]float64
		for i := range out {
			x := 2 * math.Pi * float64(i) / rate
			tone := math.Sin(base*x) + 0.5*math.Sin(2*base*x+1) + 0.25*math.Sin(5*base*x+2)
			noise := 0.0
			for j, k := range [3]float64{0.6, 0.1, 0.01} {
				pink[j] += k * (rng.NormFloat64() - pink[j])
				noise += pink[j]
			}
			out[i] += speech * db(level) * (tone*(0.7+0.2*math.Sin(slow*x)) + noise*0.6)
		}
	}
}

// steps is comfort noise of a codec whose level changes every so often, in each pause anew.
func steps(level float64) soil {
	return func(_ *conversation.Conversation, rng *rand.Rand, out []float64, _ int, speech float64) {
		for at := 0; at < len(out); {
			n, loud := (80+rng.IntN(500))*rate/1000, speech*db(level-8*rng.Float64())
			for i := at; i < min(at+n, len(out)); i++ {
				out[i] += loud * rng.NormFloat64()
			}
			at += n
		}
	}
}

// breaths is a room whose noise has bumps, and breaths in and out after utterances.
func breaths(level float64) soil {
	return func(c *conversation.Conversation, rng *rand.Rand, out []float64, side int, speech float64) {
		last := 0.0
		for i := range out {
			x := rng.NormFloat64()
			last = 0.9*last + x
			out[i] += speech * db(level-6) * (0.3*last + 0.3*x)
		}
		for _, s := range c.Truth(side, 30) {
			at, n := int(s.To.Seconds()*rate)+(30+rng.IntN(150))*rate/1000, (200+rng.IntN(300))*rate/1000
			loud := speech * db(level+6*rng.Float64())
			for i := range n {
				if at+i < len(out) && rng.IntN(3) > 0 {
					out[at+i] += loud * rng.NormFloat64() * math.Sin(math.Pi*float64(i)/float64(n))
				}
			}
		}
	}
}

// keyboard is a mechanical one: a knock of 4 ms, a thump of 25 ms, and the key's way back, four to nine keys a second.
func keyboard(types int, level float64) soil {
	return func(c *conversation.Conversation, rng *rand.Rand, out []float64, side int, speech float64) {
		if side != types {
			return
		}
		for at := 0; at < len(out); at += (110 + rng.IntN(140)) * rate / 1000 {
			if rng.IntN(12) == 0 {
				at += (300 + rng.IntN(2500)) * rate / 1000
			}
			if speaks(c, side, at) {
				continue
			}
			loud, low := speech*db(level-4*rng.Float64()), 150+150*rng.Float64()
			up := (45 + rng.IntN(50)) * rate / 1000
			for i := range up + 5*rate/1000 {
				if at+i >= len(out) {
					break
				}
				t := float64(i) / rate
				x := 1.6*rng.NormFloat64()*math.Exp(-t/0.0015) + 0.8*math.Sin(2*math.Pi*low*t)*math.Exp(-t/0.008)
				if i >= up {
					x += 0.7 * rng.NormFloat64()
				}
				out[at+i] += loud * x
			}
		}
	}
}

// car is the inside of a car: a low rumble, an engine whose speed changes, and a blinker's clicks.
func car(level float64) soil {
	return func(_ *conversation.Conversation, rng *rand.Rand, out []float64, _ int, speech float64) {
		low, phase, speed := 0.0, 0.0, 30+20*rng.Float64()
		for i := range out {
			low += 0.04 * (rng.NormFloat64() - low)
			speed += (rng.Float64() - 0.5) / 200
			phase += 2 * math.Pi * max(20, min(70, speed)) / rate
			x := 5*low + 0.4*math.Sin(phase) + 0.3*math.Sin(2*phase+1) + 0.2*math.Sin(4*phase+2)
			if at := i % (rate * 7 / 10); at < 40 && i/(5*rate)%3 == 1 {
				x += 2 * rng.NormFloat64() * math.Exp(-float64(at)/12)
			}
			out[i] += speech * db(level) * x
		}
	}
}

// crackle is a bad joint: noise with crackles of 1 to 15 ms, single ones and swarms.
func crackle(level float64) soil {
	return func(_ *conversation.Conversation, rng *rand.Rand, out []float64, _ int, speech float64) {
		for i := range out {
			out[i] += speech * db(level-8) * rng.NormFloat64()
		}
		for at := 0; at < len(out); at += (40 + rng.IntN(1200)) * rate / 1000 {
			loud := speech * db(level+14*rng.Float64())
			for i := range (1 + rng.IntN(15)) * rate / 1000 {
				if at+i < len(out) {
					out[at+i] += loud * rng.NormFloat64()
				}
			}
		}
	}
}

// gated is a noise gate of a headset: noise around the words only, which is cut 150 to 600 ms behind them.
func gated(level float64) soil {
	return func(c *conversation.Conversation, rng *rand.Rand, out []float64, side int, speech float64) {
		for _, s := range c.Truth(side, 30) {
			from, to := int(s.From.Seconds()*rate)-rate/20, int(s.To.Seconds()*rate)+(150+rng.IntN(450))*rate/1000
			high := 0.0
			for i := max(from, 0); i < min(to, len(out)); i++ {
				x := rng.NormFloat64()
				high += 0.3 * (x - high)
				out[i] += speech * db(level) * (x - 0.5*high)
			}
		}
	}
}

// laptop is a flat keyboard: a dull tap of 12 to 30 ms, with a click of the finger before it, in words of two to eight.
func laptop(types int, level float64) soil {
	return func(c *conversation.Conversation, rng *rand.Rand, out []float64, side int, speech float64) {
		if side != types {
			return
		}
		for at := 0; at < len(out); at += (200 + rng.IntN(700)) * rate / 1000 {
			for range 2 + rng.IntN(7) {
				if at += (85 + rng.IntN(120)) * rate / 1000; speaks(c, side, at) {
					continue
				}
				tap(rng, out[min(at, len(out)):], speech*db(level-5*rng.Float64()))
			}
		}
	}
}

func tap(rng *rand.Rand, out []float64, loud float64) {
	n, low := (12+rng.IntN(18))*rate/1000, 2*math.Pi*(250+250*rng.Float64())/rate
	for i := range min(n, len(out)) {
		x := 1.2 * math.Sin(low*float64(i)) * math.Exp(-4*float64(i)/float64(n))
		if i < rate/500 {
			x += 1.5 * rng.NormFloat64()
		}
		out[i] += loud * x
	}
}

func speaks(c *conversation.Conversation, side, at int) bool {
	now := time.Duration(at) * time.Second / rate
	return slices.ContainsFunc(c.Truth(side, 20), func(s conversation.Span) bool {
		return now > s.From-150*time.Millisecond && now < s.To+100*time.Millisecond
	})
}
