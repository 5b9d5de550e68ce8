//go:build talk

package turns_test

import (
	"math"
	"math/rand/v2"
	"time"

	"flowbridge/sim/conversation"
)

// heldSeed is the first seed of the calls that judge. No constant was chosen with them, nor with the families of held.
const heldSeed = 770_001

// held returns families that are made otherwise than those of the package conversation.
func held() (all []conversation.Condition) {
	of := func(name string, change func(k *conversation.Condition)) {
		k := conversation.Conditions()[0]
		k.Name = name
		change(&k)
		all = append(all, k)
	}
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
		spans := c.Truth(side, 20)
		speaks := func(at int) bool {
			now := time.Duration(at) * time.Second / rate
			for _, s := range spans {
				if now > s.From-150*time.Millisecond && now < s.To+100*time.Millisecond {
					return true
				}
			}
			return false
		}
		for at := 0; at < len(out); at += (110 + rng.IntN(140)) * rate / 1000 {
			if rng.IntN(12) == 0 {
				at += (300 + rng.IntN(2500)) * rate / 1000
			}
			if speaks(at) {
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
