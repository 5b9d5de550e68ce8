package conversation

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"flowbridge/media/audio"
)

// The two sides of a conversation.
const (
	Caller = iota
	Agent
)

// Packet is an RTP packet of a side.
type Packet struct {
	Arrival     time.Duration // since the answer
	Seq         uint16
	Timestamp   uint32
	PayloadType uint8
	Payload     []byte
}

// Span is the time of an utterance, since the answer.
type Span struct{ From, To time.Duration }

// Conversation holds the utterances, at an active level of 0 dB.
type Conversation struct {
	said [2][]utterance
	hold utterance // music of the agent's side
	end  int       // samples
	rng  *rand.Rand
}

// utterance is what a side says at one time. Positions are in samples.
type utterance struct {
	at      int
	level   float64 // level of this utterance, because people are not always equally loud
	samples []float64
	truth   map[int][][2]int // first and last sample of what is heard without a pause, by decibels below the active level
}

// New returns a conversation with a number of turns. A fifth of the caller's turns are interruptions, after which
// the agent falls silent within 150 to 900 ms. The agent answers after 300 ms to some seconds.
func New(seed uint64, s Sounds, turns int) *Conversation {
	rng := rand.New(rand.NewPCG(seed, 0xc0))
	c := &Conversation{rng: rng}
	now := 600 + rng.IntN(1500)
	end := c.put(Agent, now, s.Agent[rng.IntN(len(s.Agent))])
	for range turns {
		said := s.Caller[rng.IntN(len(s.Caller))]
		if rng.Float64() < 0.2 && end-now > 2500 {
			at := now + 900 + rng.IntN(end-now-1700)
			if stop := at + 150 + rng.IntN(750); stop < end {
				c.interrupt(stop)
			}
			end = c.put(Caller, at, said)
		} else {
			end = c.put(Caller, end+200+rng.IntN(1300), said)
		}
		now = end + int(300+math.Exp(rng.NormFloat64()*0.6+6.6))
		end = c.put(Agent, now, s.Agent[rng.IntN(len(s.Agent))])
	}
	c.end = (end + 1000) * rate / 1000
	return c
}

// Conversation returns a conversation as in New, with what the condition adds to its course: ringing before it, or
// music on hold near its end.
func (k Condition) Conversation(seed uint64, s Sounds, turns int) *Conversation {
	c := New(seed, s, turns)
	if k.Hold {
		c.putOnHold(s)
	}
	if k.Ringback != "" {
		c.startLater()
	}
	return c
}

// put makes a side speak at a moment, in ms. It returns when that ends, by the truth at 20 dB.
func (c *Conversation) put(side, at int, samples []float64) (end int) {
	level := active(samples)
	u := utterance{truth: map[int][][2]int{}, samples: slices.Clone(samples)}
	u.level = gain(max(-4, min(4, 2*c.rng.NormFloat64())))
	for i := range u.samples {
		u.samples[i] *= u.level / level
	}
	u.hear()
	from, to := u.heard()
	u.at = at*rate/1000 - from
	c.said[side] = append(c.said[side], u)
	return (u.at + to) * 1000 / rate
}

// putOnHold has the agent put the caller on hold: music of 8 to 25 s after the last turn, and then another utterance.
func (c *Conversation) putOnHold(s Sounds) {
	music := s.Noise["music"][c.rng.IntN(len(s.Noise["music"]))]
	at, n := c.end-rate/2, (8+c.rng.IntN(17))*rate
	c.hold = utterance{at: at, samples: scale(music[:min(n, len(music))], 0.5/rms(music))}
	end := c.put(Agent, (at+n)*1000/rate+300+c.rng.IntN(700), s.Agent[c.rng.IntN(len(s.Agent))])
	c.end = (end + 1000) * rate / 1000
}

// heard returns the first and last audible sample, by the truth at 20 dB.
func (u *utterance) heard() (from, to int) {
	all := u.truth[20]
	if len(all) == 0 {
		return 0, 0
	}
	return all[0][0], all[len(all)-1][1]
}

// hear records the audible parts of an utterance.
func (u *utterance) hear() {
	for _, db := range []int{20, 30} {
		u.truth[db] = audible(u.samples, u.level*gain(-float64(db)))
	}
}

// interrupt makes the agent fall silent at a moment, within 20 ms.
func (c *Conversation) interrupt(stop int) {
	u := &c.said[Agent][len(c.said[Agent])-1]
	cut := stop*rate/1000 - u.at
	for i := range u.samples {
		u.samples[i] *= max(0, min(1, 1-float64(i-cut)/160))
	}
	u.hear()
}

// Truth returns when a side speaks: the parts that are within a number of decibels, 20 or 30, of an utterance's
// level.
func (c *Conversation) Truth(side, decibels int) (spans []Span) {
	for _, u := range c.said[side] {
		for _, t := range u.truth[decibels] {
			spans = append(spans, Span{moment(u.at + t[0]), moment(u.at + t[1])})
		}
	}
	return spans
}

// End returns when the call ends, since the answer.
func (c *Conversation) End() time.Duration { return moment(c.end) }

func moment(sample int) time.Duration { return time.Duration(sample) * time.Second / rate }

// Packets returns the packets of a side as they are received, in order of arrival.
func (c *Conversation) Packets(side int, k Condition, s Sounds, seed uint64) (all []Packet) {
	rng := rand.New(rand.NewPCG(seed, uint64(side)))
	clean := c.voice(side, gain([]float64{k.Caller, k.Agent}[side]-overload))
	sound := c.soil(side, k, s, rng, clean)
	step := int(k.Length * rate / time.Second)
	first, seq, busy, silent := rng.Uint32(), uint16(rng.Uint32()), 0.0, 0
	threshold := gain(k.Caller - overload - 30)
	for i := rng.IntN(step); i+step <= c.end; i += step {
		p := Packet{Timestamp: first + uint32(i)}
		silent += step
		if rms(clean[i:i+step]) > threshold {
			silent = 0
		}
		switch quiet := k.DTX && side == Caller && silent > rate/5; {
		case quiet && silent-step > rate/5:
			continue
		case quiet:
			p.PayloadType, p.Payload = 13, []byte{70}
		case k.Law == audio.ALaw:
			p.PayloadType, p.Payload = 8, encode(sound[i:i+step], audio.EncodeALaw)
		default:
			p.Payload = encode(sound[i:i+step], audio.EncodeULaw)
		}
		seq++
		p.Seq = seq
		if rng.Float64() < k.Loss {
			continue
		}
		// Simulate a queue: packets stay in order but come in bursts.
		busy = max(busy, float64(i+step)*1000/rate+math.Abs(rng.NormFloat64())*k.Jitter)
		p.Arrival = time.Duration(busy * float64(time.Millisecond))
		all = append(all, p)
	}
	return all
}

func (c *Conversation) voice(side int, level float64) []float64 {
	out := make([]float64, c.end)
	for _, u := range c.said[side] {
		add(out[max(u.at, 0):], u.samples[max(-u.at, 0):], 0, level)
	}
	return out
}

// soil adds the effects of a side's microphone and line.
func (c *Conversation) soil(side int, k Condition, s Sounds, rng *rand.Rand, clean []float64) []float64 {
	out := slices.Clone(clean)
	mine := gain([]float64{k.Caller, k.Agent}[side] - overload) // of speech
	if k.Coded {
		c.code(rng, out, side, mine)
	}
	if k.Room != 0 {
		c.room(rng, out, side, mine, k)
	}
	if k.Soil != nil {
		k.Soil(c, rng, out, side, mine)
	}
	if side == Agent {
		if k.Comfort != 0 {
			level := gain(k.Comfort - overload)
			add(out, fill(len(out), rng.NormFloat64), 0, level)
		}
		if k.Keys {
			c.keys(rng, out, Agent, gain(-24-overload))
		}
		if k.Clicks[Agent] != 0 {
			c.clicks(rng, out, Agent, mine*gain(k.Clicks[Agent]))
		}
		if k.Ringback != "" {
			c.ring(out, k.Ringback)
		}
		add(out[min(c.hold.at, len(out)):], c.hold.samples, 0, mine)
		return out
	}
	if k.Clicks[Caller] != 0 {
		c.clicks(rng, out, Caller, mine*gain(k.Clicks[Caller]))
	}
	if noises := s.Noise[k.Noise]; len(noises) > 0 {
		n := noises[rng.IntN(len(noises))]
		level, at := gain(k.Caller-overload-k.SNR)/rms(n), rng.IntN(len(n))
		for i := range out {
			out[i] += n[(i+at)%len(n)] * level
		}
	}
	if k.Echo != 0 {
		const delay = 60 * rate / 1000
		add(out[delay:], c.voice(Agent, gain(k.Agent-overload+k.Echo)), 0, 1)
	}
	return out
}

// keys adds clicks of 5 ms, about five a second, while a side does not speak.
func (c *Conversation) keys(rng *rand.Rand, out []float64, side int, level float64) {
	for i := 0; i+40 < len(out); i += 1200 + rng.IntN(800) {
		if !c.isSpeaking(side, i) {
			for j := range 40 {
				out[i+j] += rng.NormFloat64() * level * math.Exp(-float64(j)/15)
			}
		}
	}
}

// isSpeaking reports whether a side speaks within 100 ms of a sample.
func (c *Conversation) isSpeaking(side, at int) bool {
	return slices.ContainsFunc(c.said[side], func(u utterance) bool {
		from, to := u.heard()
		return at > u.at+from-800 && at < u.at+to+800
	})
}

// overload is the level of a full-scale square wave, in dBm0 (ITU-T G.711).
const overload = 6.15

func gain(db float64) float64 { return math.Pow(10, db/20) }

func encode(s []float64, code func(int16) byte) []byte {
	out := make([]byte, len(s))
	for i, x := range s {
		out[i] = code(int16(math.Round(max(-32768, min(32767, x*32768)))))
	}
	return out
}

const frame = rate / 100

func rms(s []float64) float64 {
	e := 0.0
	for _, x := range s {
		e += x * x
	}
	return math.Sqrt(e / float64(max(len(s), 1)))
}

// active returns the level of the speech in s: the mean power of its frames of 10 ms within 30 dB of the loudest.
func active(s []float64) float64 {
	top, e, n := 0.0, 0.0, 0
	for i := 0; i+frame <= len(s); i += frame {
		top = max(top, rms(s[i:i+frame]))
	}
	for i := 0; i+frame <= len(s); i += frame {
		if r := rms(s[i : i+frame]); r > top*gain(-30) {
			e, n = e+r*r, n+1
		}
	}
	return math.Sqrt(e / float64(max(n, 1)))
}

// audible returns the positions of the frames above a level. A pause of less than 200 ms does not divide them.
func audible(s []float64, level float64) (all [][2]int) {
	for i := 0; i+frame <= len(s); i += frame {
		switch n := len(all); {
		case rms(s[i:i+frame]) <= level:
		case n > 0 && i-all[n-1][1] < rate/5:
			all[n-1][1] = i + frame
		default:
			all = append(all, [2]int{i, i + frame})
		}
	}
	return all
}
