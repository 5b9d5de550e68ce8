package answerer_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/audio"
	"flowbridge/media/voice"
	"flowbridge/sim/conversation"
)

const rate = 8000

// way describes the path of a signal from the called party to the detector.
type way struct {
	name    string
	law     audio.Law
	level   float64 // level of speech and tones, in dBm0
	noise   string  // kind of noise: "", line, street, babble, music
	snr     float64
	loss    float64
	ms      int // duration of a packet
	dtx     bool
	comfort bool // each gap of dtx begins with one comfort noise packet
	clip    float64
	jitter  float64
}

func ways() []way {
	quiet := way{level: -20, ms: 20}
	var all []way
	of := func(name string, change func(w *way)) {
		w := quiet
		w.name = name
		change(&w)
		all = append(all, w)
	}
	of("clean", func(*way) {})
	of("A-law, 10 ms", func(w *way) { w.law, w.ms = audio.ALaw, 10 })
	of("30 ms, -30 dBm0", func(w *way) { w.ms, w.level = 30, -30 })
	of("60 ms, -12 dBm0", func(w *way) { w.ms, w.level = 60, -12 })
	of("noise 20 dB", func(w *way) { w.noise, w.snr = "line", 20 })
	of("noise 10 dB", func(w *way) { w.noise, w.snr = "line", 10 })
	of("street 15 dB", func(w *way) { w.noise, w.snr = "street", 15 })
	of("babble 20 dB", func(w *way) { w.noise, w.snr = "babble", 20 })
	of("music 20 dB", func(w *way) { w.noise, w.snr = "music", 20 })
	of("loss 3 %", func(w *way) { w.loss = 0.03 })
	of("jitter 20 ms", func(w *way) { w.jitter = 20 })
	of("DTX", func(w *way) { w.dtx = true })
	of("comfort noise", func(w *way) { w.dtx, w.comfort = true, true })
	of("clipped", func(w *way) { w.clip = 0.3 })
	return all
}

// sounds are the voices of one speaker, who is made from a seed: short utterances and long
// ones.
type sounds struct {
	conversation.Sounds
	short, long [][]float64
}

func soundsOf(seed uint64) *sounds {
	s := &sounds{Sounds: conversation.Synthetic(seed)}
	for _, u := range s.Caller {
		if n := len(trim(u)); n > rate/4 && n < rate*11/10 {
			s.short = append(s.short, trim(u))
		}
	}
	for _, u := range s.Agent {
		if u = trim(u); len(u) > rate*5/2 {
			s.long = append(s.long, u)
		}
	}
	return s
}

// trim removes silence at both ends, that is sound more than 25 dB below the level, and
// scales the rest to a level of 0 dB.
func trim(u []float64) []float64 {
	level, first, last := active(u), -1, 0
	for i := 0; i+80 <= len(u); i += 80 {
		if rms(u[i:i+80]) > level*gain(-25) {
			if last = i + 80; first < 0 {
				first = i
			}
		}
	}
	return scaled(u[max(first, 0):last], 1/level)
}

func active(u []float64) float64 {
	top, sum, n := 0.0, 0.0, 0
	for i := 0; i+80 <= len(u); i += 80 {
		top = max(top, rms(u[i:i+80]))
	}
	for i := 0; i+80 <= len(u); i += 80 {
		if r := rms(u[i : i+80]); r > top*gain(-30) {
			sum, n = sum+r*r, n+1
		}
	}
	return math.Sqrt(sum / float64(max(n, 1)))
}

func rms(u []float64) float64 {
	sum := 0.0
	for _, x := range u {
		sum += x * x
	}
	return math.Sqrt(sum / float64(max(1, len(u))))
}

func gain(db float64) float64 { return math.Pow(10, db/20) }

func scaled(u []float64, by float64) []float64 {
	out := slices.Clone(u)
	for i := range out {
		out[i] *= by
	}
	return out
}

func pause(ms int) []float64 { return make([]float64, ms*rate/1000) }

// tone returns these frequencies at equal levels, with a ramp of 3 ms at each end, and a
// total level of 0 dB.
func tone(ms float64, hertz ...float64) []float64 {
	out := make([]float64, int(ms*rate/1000))
	for i := range out {
		for k, f := range hertz {
			out[i] += math.Sin(2*math.Pi*f*float64(i)/rate + float64(k))
		}
		out[i] *= math.Sqrt2 / math.Sqrt(float64(len(hertz))) * min(1, float64(i)/24, float64(len(out)-1-i)/24)
	}
	return out
}

func repeat(n int, parts ...[]float64) (out []float64) {
	for range n {
		out = append(out, slices.Concat(parts...)...)
	}
	return out
}

// packet is a packet with its arrival.
type packet struct {
	voice.Packet
}

// packets sends a signal with a level of 0 dB over the path, beginning at the answer.
func (w way) packets(signal []float64, s *sounds, rng *rand.Rand) (all []packet) {
	const overload = 6.15
	level := gain(w.level - overload)
	out, speaks := scaled(signal, level), make([]bool, len(signal))
	for i := 0; i < len(out); i += 80 {
		if rms(signal[i:min(i+80, len(out))]) > gain(-30) {
			for j := i; j < min(i+1600, len(out)); j++ { // and for 200 ms after it
				speaks[j] = true
			}
		}
	}
	if w.clip > 0 {
		for i := range out {
			out[i] = max(-w.clip*level*3, min(w.clip*level*3, out[i]))
		}
	}
	if n := s.Noise[w.noise]; len(n) > 0 {
		noise := n[rng.IntN(len(n))]
		loud, at := level*gain(-w.snr)/rms(noise), rng.IntN(len(noise))
		for i := range out {
			out[i] += noise[(at+i)%len(noise)] * loud
		}
	}
	first, ssrc, busy, silent := rng.Uint32(), rng.Uint32(), 0.0, false
	step := w.ms * rate / 1000
	encode, content := audio.EncodeULaw, voice.MuLaw
	if w.law == audio.ALaw {
		encode, content = audio.EncodeALaw, voice.ALaw
	}
	for i := 0; i+step <= len(out); i += step {
		p := voice.Packet{SSRC: ssrc, Timestamp: first + uint32(i), Content: content}
		if w.dtx && !speaks[i] {
			if silent || !w.comfort {
				silent = true
				continue
			}
			silent = true
			p.Content, p.Payload = voice.ComfortNoise, []byte{70}
		} else {
			silent = false
			for _, x := range out[i : i+step] {
				p.Payload = append(p.Payload, encode(int16(max(-32768, min(32767, x*32768)))))
			}
		}
		if rng.Float64() < w.loss {
			continue
		}
		busy = max(busy, float64(i+step)*1000/rate+math.Abs(rng.NormFloat64())*w.jitter)
		p.Arrival = start + time.Duration(busy*float64(time.Millisecond))
		all = append(all, packet{p})
	}
	return all
}

const start = time.Hour

// told is what a detector reported about a signal.
type told struct {
	answer answerer.Answer // the last one
	first  answerer.Answer
	beep   *answerer.Beep
}

func (t told) String() string {
	s := fmt.Sprintf("%s %s %.2f after %v", t.answer.Verdict, t.answer.Reason, t.answer.Confidence, t.answer.After)
	if t.beep != nil {
		s += fmt.Sprintf(", beep %v after %v", t.beep.Heard, t.beep.After)
	}
	return s
}

// hears feeds packets to a detector as the media worker does, and also lets time pass
// without packets.
func hears(l answerer.Limits, all []packet, length time.Duration) (t told) {
	d := answerer.New(l, start, func(a answerer.Answer) { t.answer, t.first = a, cmp.Or(t.first, a) }, func(b answerer.Beep) { t.beep = &b })
	slices.SortStableFunc(all, func(a, b packet) int { return cmp.Compare(a.Arrival, b.Arrival) })
	now := start
	for _, p := range all {
		for ; now < p.Arrival && !d.Over(); now = max(now+time.Millisecond, d.Due()) {
			if now >= d.Due() {
				d.Look(now)
			}
		}
		if d.Over() {
			return t
		}
		d.Packet(p.Packet)
	}
	for ; now < start+length && !d.Over(); now += 50 * time.Millisecond {
		d.Look(now)
	}
	return t
}
