package answerer_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/audio"
	"flowbridge/media/voice"
)

var clean = ways()[0]

// says returns a signal as packets over a line without loss or noise.
func says(signal ...[]float64) []packet {
	return clean.packets(slices.Concat(signal...), &sounds{}, rand.New(rand.NewPCG(1, 2)))
}

// syllables returns a voice without pauses: harmonics of a gliding pitch, whose loudness changes four times a second.
func syllables(ms int) []float64 {
	out, phase := pause(ms), 0.0
	for i := range out {
		at := float64(i) / rate
		phase += 2 * math.Pi * (120 + 25*math.Sin(3*at)) / rate
		for h := 1.0; h <= 15; h++ {
			out[i] += math.Sin(h*phase) / math.Sqrt(h) * (0.55 + 0.45*math.Sin(2*math.Pi*4*at))
		}
	}
	return scaled(out, 1/active(out))
}

func TestVerdicts(t *testing.T) {
	long := slices.Concat(tone(330, 950), tone(330, 1400), tone(330, 1800))
	for _, c := range []struct {
		name   string
		limits answerer.Limits
		said   []packet
		want   answerer.Verdict
		reason answerer.Reason
		from   time.Duration // earliest time of the verdict
		to     time.Duration
	}{
		{"a word", answerer.Limits{}, says(pause(500), syllables(600), pause(2000)), answerer.Human, "", 1700 * ms, 1900 * ms},
		{"a word at once", answerer.Limits{}, says(syllables(500), pause(2000)), answerer.Human, "", 1100 * ms, 1300 * ms},
		{"a sentence", answerer.Limits{}, says(pause(500), syllables(4000)), answerer.Machine, "", 2200 * ms, 2500 * ms},
		{"in between", answerer.Limits{}, says(pause(500), syllables(1500), pause(2000)), answerer.Unknown, answerer.Undecided, 2400 * ms, 2600 * ms},
		{"with a pause", answerer.Limits{}, says(pause(500), syllables(900), pause(650), syllables(2000)), answerer.Unknown, answerer.Undecided, 2400 * ms, 2600 * ms},
		{"in between, with more time", answerer.Limits{Within: 4 * time.Second}, says(pause(500), syllables(1500), pause(4000)), answerer.Unknown, answerer.Undecided, 4400 * ms, 4600 * ms},
		{"three beeps", answerer.Limits{}, says(tone(330, 950), pause(200), tone(330, 1400), pause(200), tone(330, 1800), pause(900)), answerer.Machine, "", 1500 * ms, 1900 * ms},
		{"a second for it", answerer.Limits{Within: time.Second}, says(pause(500), syllables(4000)), answerer.Unknown, answerer.Undecided, 1400 * ms, 1600 * ms},
		{"silence", answerer.Limits{}, says(pause(9000)), answerer.Unknown, answerer.Silence, 4000 * ms, 4000 * ms},
		{"no packet", answerer.Limits{Silence: time.Second}, nil, answerer.Unknown, answerer.Silence, 1000 * ms, 1000 * ms},
		{"a click", answerer.Limits{}, says(pause(500), tone(40, 300, 700, 1700), pause(9000)), answerer.Unknown, answerer.Silence, 4000 * ms, 4000 * ms},
		{"a longer click", answerer.Limits{}, says(pause(300), tone(110, 300, 700, 1700), pause(900), syllables(3000)), answerer.Machine, "", 3000 * ms, 3300 * ms},
		{"fax", answerer.Limits{}, says(pause(2000), tone(3000, 2100)), answerer.Fax, "", 2300 * ms, 2500 * ms},
		{"calling fax", answerer.Limits{}, says(pause(300), tone(500, 1100), pause(3000)), answerer.Fax, "", 600 * ms, 800 * ms},
		{"information", answerer.Limits{}, says(long, syllables(3000)), answerer.SIT, "", 700 * ms, 1000 * ms},
		{"a tune", answerer.Limits{}, says(tone(330, 1400), tone(330, 950), tone(330, 1800), pause(3000)), answerer.Machine, "", 1100 * ms, 1300 * ms},
		{"ringing", answerer.Limits{}, says(tone(1000, 425), pause(4000)), answerer.Unknown, answerer.Tone, 1900 * ms, 4000 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hears(c.limits, c.said, time.Minute)
			if got.answer.Verdict != c.want || got.answer.Reason != c.reason || got.answer.After < c.from || got.answer.After > c.to {
				t.Errorf("%v; want %s %s after %v to %v", got, c.want, c.reason, c.from, c.to)
			}
			if sure := got.answer.Confidence; (c.want == answerer.Unknown) != (sure == 0) || sure > 1 {
				t.Errorf("confidence %v", sure)
			}
			if got.beep != nil {
				t.Errorf("%v: nobody has asked for a beep", got)
			}
		})
	}
}

const ms = time.Millisecond

func TestBeeps(t *testing.T) {
	wait := answerer.Limits{Beep: 10 * time.Second}
	for _, c := range []struct {
		name  string
		said  []packet
		heard bool
		after time.Duration // time after the answer, within 100 ms
	}{
		{"after a greeting", says(syllables(4000), pause(200), tone(400, 1000), pause(3000)), true, 4850 * ms},
		{"of 440 Hz", says(syllables(4000), pause(200), tone(400, 440), pause(3000)), true, 5300 * ms},
		{"before the verdict", says(syllables(700), tone(200, 850), pause(3000)), true, 1150 * ms},
		{"as a fax may call", says(syllables(1000), tone(600, 1100), pause(3000)), true, 1850 * ms},
		{"none", says(syllables(4000), pause(20000)), false, 11800 * ms},
		{"speech goes on", says(syllables(4000), tone(300, 1000), syllables(12000)), false, 11800 * ms},
		{"too long", says(syllables(3000), tone(3000, 1000), pause(9000)), false, 11800 * ms},
		{"busy", says(syllables(3000), repeat(15, tone(500, 425), pause(500))), false, 11800 * ms},
		{"a key", says(syllables(3000), tone(300, 770, 1336), pause(9000)), false, 11800 * ms},
		{"dual", says(syllables(3000), tone(300, 1000, 1100), pause(9000)), false, 11800 * ms},
		{"the packets end", says(syllables(4000), pause(200), tone(400, 1000)), true, 4850 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hears(wait, c.said, time.Minute)
			if got.answer.Verdict != answerer.Machine || got.beep == nil || got.beep.Heard != c.heard || (got.beep.After-c.after).Abs() > 100*ms {
				t.Errorf("%v; want %v after %v", got, c.heard, c.after)
			}
		})
	}
}

// TestLoss checks that tones are found even if every eighth packet of 20 ms is lost.
func TestLoss(t *testing.T) {
	for i := range 32 {
		phase, off := i%8, float64(i)
		for want, signal := range map[answerer.Verdict][]float64{
			answerer.Fax:     slices.Concat(pause(300), tone(500, 1085+off), pause(3000)),
			answerer.SIT:     slices.Concat(pause(300), tone(330, 920+off), tone(330, 1380+off), tone(330, 1770+off), pause(3000)),
			answerer.Machine: slices.Concat(pause(300), syllables(700), tone(300, 1000+3*off), pause(3000)),
		} {
			said := says(signal)
			said = slices.DeleteFunc(said, func(p packet) bool { return (p.Arrival-start)/(20*ms)%8 == time.Duration(phase) })
			if got := hears(answerer.Limits{}, said, time.Minute); got.answer.Verdict != want {
				t.Errorf("%d: %v; want %s", i, got, want)
			}
		}
	}
}

// TestStreams checks that changes of the RTP stream do not change the verdict.
func TestStreams(t *testing.T) {
	for name, change := range map[string]func(i int, p *packet){
		"another source": func(i int, p *packet) {
			if i >= 50 {
				p.SSRC, p.Timestamp = 77, p.Timestamp+1<<31
			}
		},
		"another clock": func(i int, p *packet) { p.Timestamp += uint32(i/50) * 1e6 },
		"a clock that was set back": func(i int, p *packet) {
			if i >= 70 {
				p.Timestamp -= 3000
			}
		},
		"the clock wraps":     func(i int, p *packet) { p.Timestamp = math.MaxUint32 - 9000 + uint32(160*i) },
		"a burst of 100 ms":   func(i int, p *packet) { p.Arrival = max(p.Arrival, start+time.Duration(i/5*100+100)*ms) },
		"events in between":   func(i int, p *packet) { p.Content = []voice.Content{p.Content, voice.Keys}[i%40/39] },
		"another codec, once": func(i int, p *packet) { p.Content = []voice.Content{p.Content, voice.Opaque}[i%40/39] },
	} {
		said := says(pause(500), syllables(3000), pause(300), tone(400, 1000), pause(3000))
		for i := range said {
			change(i, &said[i])
		}
		got := hears(answerer.Limits{Beep: 9 * time.Second}, said, time.Minute)
		if got.answer.Verdict != answerer.Machine || got.beep == nil || !got.beep.Heard {
			t.Errorf("%s: %v", name, got)
		}
	}
	said := says(pause(500), syllables(600), pause(3000))
	said = append(said, said...)
	if got := hears(answerer.Limits{}, said, time.Minute); got.answer.Verdict != answerer.Human {
		t.Errorf("packets that come twice: %v", got)
	}
	for i := range said {
		said[i].Content = voice.Opaque
	}
	got := hears(answerer.Limits{Beep: time.Minute}, said, time.Minute)
	if got.answer.Verdict != answerer.Unknown || got.answer.Reason != answerer.Codec || got.beep != nil {
		t.Errorf("another codec: %v", got)
	}
}

// TestDeadlines checks that the verdict comes within the limits, whatever packets arrive.
func TestDeadlines(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		l := answerer.Limits{Within: time.Duration(1+rng.IntN(5)) * time.Second, Silence: time.Duration(1+rng.IntN(5)) * time.Second}
		var signal []float64
		for len(signal) < 12*rate {
			signal = slices.Concat(signal, pause(rng.IntN(1000)), scaled(syllables(20+rng.IntN(700)), rng.Float64()), tone(float64(rng.IntN(300)), 300+2000*rng.Float64()))
		}
		if got := hears(l, says(signal), time.Minute); got.answer.Verdict == "" || got.answer.After > l.Within+l.Silence+20*ms {
			t.Errorf("%v: %v", l, got)
		}
	}
}

// FuzzDetector checks that for any stream there is one verdict, or Machine after it, and that a wait for a beep
// ends at most once.
func FuzzDetector(f *testing.F) {
	var all []byte
	for _, p := range says(syllables(700), tone(200, 850), pause(400)) {
		all = append(all, byte(p.Content), 20, byte(len(p.Payload)))
		all = binary.BigEndian.AppendUint32(all, p.Timestamp)
		all = append(all, p.Payload...)
	}
	f.Add(all, byte(3))
	f.Add(all, byte(131))
	f.Add([]byte{1, 255, 9, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}, byte(9))
	f.Fuzz(func(t *testing.T, data []byte, limit byte) {
		var verdicts []answerer.Verdict
		beeps := 0
		l := answerer.Limits{Within: time.Duration(limit%7) * time.Second, Silence: time.Duration(limit%6) * time.Second, Beep: time.Duration(limit%30) * time.Second, Screening: limit >= 128}
		d := answerer.New(l, start, func(a answerer.Answer) {
			if verdicts = append(verdicts, a.Verdict); a.Confidence < 0 || a.Confidence > 1 || math.IsNaN(a.Confidence) || a.After < 0 {
				t.Errorf("%+v", a)
			}
		}, func(answerer.Beep) { beeps++ })
		now := start
		for len(data) > 7 {
			n := min(int(data[2]), len(data)-7)
			now += time.Duration(data[1]) * ms
			if data[1]%16 == 0 {
				d.Look(now)
			}
			d.Packet(voice.Packet{
				Arrival: now, SSRC: uint32(data[0] >> 6), Timestamp: binary.BigEndian.Uint32(data[3:]),
				Content: voice.Content(data[0] % 5), Payload: data[7 : 7+n],
			})
			data = data[7+n:]
		}
		d.Look(now + time.Minute)
		two := len(verdicts) == 2 && verdicts[1] == answerer.Machine
		if len(verdicts) != 1 && !two || beeps > 1 || !d.Over() {
			t.Errorf("%v, %d beeps, over: %v", verdicts, beeps, d.Over())
		}
	})
}

// frames returns the packets of a long call for which no verdict is reached.
func frames() []packet { return says(repeat(3, syllables(300), pause(200), tone(90, 700, 900))) }

func TestDetectorAllocatesNothing(t *testing.T) {
	all := frames()
	d := answerer.New(answerer.Limits{Beep: time.Minute}, start, func(answerer.Answer) {}, func(answerer.Beep) {})
	i := 0
	if n := testing.AllocsPerRun(len(all)-2, func() { d.Packet(all[i].Packet); i++ }); n != 0 {
		t.Errorf("%v allocations for each packet", n)
	}
}

// BenchmarkPacket measures the cost of 20 ms of G.711 before the verdict, and during the wait for a beep.
func BenchmarkPacket(b *testing.B) {
	for _, c := range []struct {
		name string
		skip int
	}{{"verdict", 0}, {"beep", 120}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			all := says(syllables(6000))
			var d *answerer.Detector
			for i := range b.N {
				if k := c.skip + i%90; k == c.skip {
					b.StopTimer()
					d = answerer.New(answerer.Limits{Within: 5 * time.Second, Beep: 5 * time.Minute}, start, func(answerer.Answer) {}, func(answerer.Beep) {})
					for _, p := range all[:c.skip] {
						d.Packet(p.Packet)
					}
					b.StartTimer()
				}
				d.Packet(all[c.skip+i%90].Packet)
			}
		})
	}
}

// BenchmarkGoertzel measures, for comparison with BenchmarkPacket, what it would cost to find the strongest frequency
// with Goertzel filters for 63 frequencies.
func BenchmarkGoertzel(b *testing.B) {
	var window [256]float32
	for i := range window {
		window[i] = float32(audio.DecodeULaw(byte(i)))
	}
	sum := float32(0)
	for range b.N {
		for f := range 63 {
			k, x, y := float32(2*math.Cos(2*math.Pi*float64(f+11)/256)), float32(0), float32(0)
			for _, s := range window {
				x, y = s+k*x-y, x
			}
			sum += x*x + y*y - k*x*y
		}
	}
	if sum == 0 {
		b.Error("silent")
	}
}
