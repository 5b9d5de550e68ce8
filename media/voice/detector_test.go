package voice

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"flowbridge/media/audio"
)

const ms = time.Millisecond

// line is the audio that one side sends in a test. Its clock starts at one hour.
type line struct {
	rng   *rand.Rand
	codes []byte // G.711 codes from the start
}

// speech adds sound whose level changes as in speech: syllables with short gaps, at -20 dBm0.
func (l *line) speech(d time.Duration) *line {
	for i := range int(d / tick) {
		loud := 6000.0
		if i/8%160 >= 120 {
			loud = 1200
		}
		l.codes = append(l.codes, audio.EncodeULaw(int16(loud*(2*l.rng.Float64()-1))))
	}
	return l
}

// noise adds noise with this peak.
func (l *line) noise(d time.Duration, peak float64) *line {
	for range int(d / tick) {
		l.codes = append(l.codes, audio.EncodeULaw(int16(peak*(2*l.rng.Float64()-1))))
	}
	return l
}

func (l *line) quiet(d time.Duration) *line { return l.noise(d, 20) }

func newLine() *line { return &line{rng: rand.New(rand.NewPCG(1, 2))} }

// packets cuts the line's audio into packets of this length.
func (l *line) packets(length time.Duration) (all []Packet) {
	n := int(length / tick)
	for i := 0; i+n <= len(l.codes); i += n {
		all = append(all, Packet{
			Arrival: time.Hour + time.Duration(i+n)*tick, SSRC: 7, Timestamp: 0xfffff000 + uint32(i),
			Content: MuLaw, Payload: l.codes[i : i+n],
		})
	}
	return all
}

// hear returns the segments of speech that the detector finds in packets, from the line's start. It checks that they
// are in order and do not overlap.
func hear(t *testing.T, d *Detector, packets []Packet) (all []Segment) {
	t.Helper()
	for _, p := range packets {
		s, ok := d.Packet(p)
		if !ok || s.Level > 0 && s.Noise == s.Level {
			continue
		}
		s.From, s.To = s.From-time.Hour, s.To-time.Hour
		if s.To < s.From || len(all) > 0 && s.From < all[len(all)-1].To {
			t.Errorf("segment %v to %v after %v", s.From, s.To, all)
		}
		all = append(all, s)
	}
	return all
}

// wants compares segments with their expected times in ms: from, to, from, to.
func wants(t *testing.T, name string, got []Segment, near time.Duration, want ...time.Duration) {
	t.Helper()
	ok := 2*len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		from, to := got[i].From-want[2*i]*ms, got[i].To-want[2*i+1]*ms
		ok = max(from, -from, to, -to) <= near
	}
	if !ok {
		t.Errorf("%s: heard %v; want %d ms", name, got, want)
	}
}

// talk returns a line that speaks from 1 s to 2.5 s, from 3.5 s to 4 s, and from 4.3 s to 6 s.
func talk() *line {
	return newLine().quiet(1000 * ms).speech(1500 * ms).quiet(1000 * ms).speech(500 * ms).quiet(300 * ms).speech(1700 * ms).quiet(1000 * ms)
}

var talked = []time.Duration{1000, 2500, 3500, 4000, 4300, 6000}

// TestPacketLengths: speech is detected correctly in packets of any length.
func TestPacketLengths(t *testing.T) {
	for _, length := range []time.Duration{10, 20, 25, 30, 40, 50, 60} {
		var d Detector
		wants(t, (length * ms).String(), hear(t, &d, talk().packets(length*ms)), 35*ms, talked...)
		if v := d.View(time.Hour + 7*time.Second); v.Reason != Measured || v.Speaking {
			t.Errorf("%v: %+v", length*ms, v)
		}
	}
}

// TestDelaysDoNotMatter: jitter, loss, late and repeated packets, and a drifting clock do not change the segments.
func TestDelaysDoNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, change := range map[string]func(in []Packet) []Packet{
		"jitter": func(in []Packet) []Packet {
			last := time.Duration(0)
			for i := range in {
				in[i].Arrival = max(last, in[i].Arrival+time.Duration(rng.IntN(60))*ms)
				last = in[i].Arrival
			}
			return in
		},
		"loss": func(in []Packet) (out []Packet) {
			for _, p := range in {
				if rng.IntN(20) > 0 {
					out = append(out, p)
				}
			}
			return out
		},
		"reordered": func(in []Packet) []Packet {
			for i := 10; i+1 < len(in); i += 10 {
				in[i], in[i+1] = in[i+1], in[i]
				in[i].Arrival, in[i+1].Arrival = in[i+1].Arrival, in[i].Arrival
			}
			return in
		},
		"duplicates": func(in []Packet) (out []Packet) {
			for _, p := range in {
				out = append(out, p, p)
			}
			return out
		},
		"drift": func(in []Packet) []Packet {
			for i := range in {
				in[i].Arrival += time.Duration(i) * 20 * ms / 5000
			}
			return in
		},
		"a first packet that waited": func(in []Packet) []Packet {
			for i := range 10 {
				in[i].Arrival = in[10].Arrival
			}
			return in
		},
	} {
		var d Detector
		wants(t, name, hear(t, &d, change(talk().packets(20*ms))), 45*ms, talked...)
	}
}

// TestStreamsThatBreak: segments are right after a change of SSRC or clock, and if a sender's clock stops during
// silence, or if the sender then sends nothing or comfort noise.
func TestStreamsThatBreak(t *testing.T) {
	from := func(in []Packet, at time.Duration, change func(p *Packet)) []Packet {
		for i := range in {
			if in[i].Arrival > time.Hour+at {
				change(&in[i])
			}
		}
		return in
	}
	silent := func(in []Packet, instead func(p Packet) []Packet) (out []Packet) {
		for _, p := range in {
			if at := p.Arrival - time.Hour; at > 2600*ms && at <= 3500*ms || at > 6100*ms && at < 6900*ms {
				out = append(out, instead(p)...)
			} else {
				out = append(out, p)
			}
		}
		return out
	}
	nothing := func(Packet) []Packet { return nil }
	for name, packets := range map[string][]Packet{
		"SSRC":       from(talk().packets(20*ms), 2000*ms, func(p *Packet) { p.SSRC, p.Timestamp = 8, p.Timestamp+12345678 }),
		"clock":      from(talk().packets(20*ms), 2000*ms, func(p *Packet) { p.Timestamp += 1e9 }),
		"clock back": from(talk().packets(20*ms), 2000*ms, func(p *Packet) { p.Timestamp -= 1e9 }),
		"a second":   from(talk().packets(20*ms), 3200*ms, func(p *Packet) { p.Timestamp -= 8000 }),
		"DTX":        silent(talk().packets(20*ms), nothing),
		"stops":      from(silent(talk().packets(20*ms), nothing), 3000*ms, func(p *Packet) { p.Timestamp -= 7200 }),
		"comfort": silent(talk().packets(20*ms), func(p Packet) []Packet {
			p.Content, p.Payload = ComfortNoise, []byte{70}
			return []Packet{p}
		}),
	} {
		var d Detector
		wants(t, name, hear(t, &d, packets), 45*ms, talked...)
	}
}

// TestNoSpeech: the beginning of noise, a tone, keys and clicks do not count as speech, and do not prolong it.
func TestNoSpeech(t *testing.T) {
	var d Detector
	wants(t, "noise from the start", hear(t, &d, newLine().noise(5*time.Second, 900).packets(20*ms)), 0)

	d = Detector{}
	l := talk().noise(8*time.Second, 1500).quiet(time.Second)
	wants(t, "noise that begins", hear(t, &d, l.packets(20*ms)), 45*ms, talked...)

	d = Detector{}
	l = newLine().quiet(time.Second)
	for range 100 {
		l.codes = append(l.codes, tone(12, MuLaw)...)
	}
	wants(t, "a tone", hear(t, &d, l.quiet(time.Second).packets(20*ms)), 0)
	d = Detector{}
	steady := 0
	for _, p := range l.packets(20 * ms) {
		if s, ok := d.Packet(p); ok && s.Noise == s.Level {
			steady++
		}
	}
	if steady != 1 {
		t.Errorf("a tone is told %d times as a steady sound; want once", steady)
	}

	d = Detector{}
	l = newLine().quiet(time.Second).speech(2 * time.Second)
	for range 20 {
		l.quiet(145*ms).noise(5*ms, 9000)
	}
	wants(t, "a keyboard", hear(t, &d, l.quiet(time.Second).packets(20*ms)), 60*ms, 1000, 3000)

	d = Detector{}
	keys := talk().packets(20 * ms)
	for i := range keys {
		keys[i].Content, keys[i].Timestamp = Keys, 1+uint32(i/5)
	}
	told := hear(t, &d, keys)
	for i, k := range told {
		if k.From != k.To || k.From+time.Hour != keys[5*i].Arrival {
			t.Errorf("telephone-event %d is told as %+v; it began at %v", i, k, keys[5*i].Arrival)
		}
	}
	if want := (len(keys) + 4) / 5; len(told) != want {
		t.Errorf("%d telephone-events; want %d", len(told), want)
	}
}

// TestSparse: a segment of loud typing can be distinguished from speech. Keys of less than 60 ms are not even heard,
// also if each one sounds again when it comes back.
func TestSparse(t *testing.T) {
	l := newLine().quiet(2000 * ms).speech(3000 * ms).quiet(1000 * ms)
	for range 12 {
		l.noise(80*ms, 8000).noise(160*ms, 500).noise(10*ms, 20)
	}
	l.quiet(1000 * ms)
	for range 12 {
		l.noise(40*ms, 8000).noise(40*ms, 20).noise(35*ms, 6000).noise(45*ms, 20).noise(20*ms, 8000).noise(60*ms, 500).noise(60*ms, 20)
	}
	var d Detector
	all := hear(t, &d, l.quiet(1000*ms).packets(20*ms))
	if len(all) != 2 || all[0].Sparse || !all[1].Sparse {
		t.Errorf("heard %+v; want speech, then typing", all)
	}
}

// TestRingingBeforeWords: bursts of a tone before the first words are steady sound, also short and modulated ones.
func TestRingingBeforeWords(t *testing.T) {
	for _, c := range []struct {
		name        string
		one, other  float64
		wobble      float64
		on, between time.Duration
	}{
		{"US", 440, 480, 0, 2000 * ms, 4000 * ms},
		{"US, cut short", 440, 480, 0, 1400 * ms, 300 * ms},
		{"UK", 400, 450, 0, 400 * ms, 300 * ms},
		{"Japan", 400, 400, 16, 1000 * ms, 2000 * ms},
	} {
		l := newLine().quiet(1000 * ms)
		for range 3 {
			for i := range int(c.on / tick) {
				x := 2 * math.Pi * float64(i) / 8000
				level := 3000 * (0.5 + 0.5*math.Cos(c.wobble*x))
				l.codes = append(l.codes, audio.EncodeULaw(int16(level*(math.Sin(c.one*x)+math.Sin(c.other*x)))))
			}
			l.quiet(c.between)
		}
		var d Detector
		all := hear(t, &d, l.speech(1500*ms).quiet(1000*ms).packets(20*ms)) // which leaves steady sound out
		if want := time.Hour + time.Second + 3*(c.on+c.between); len(all) != 1 || (time.Hour+all[0].From-want).Abs() > 50*ms {
			t.Errorf("%s: heard %+v; want the sentence at %v", c.name, all, want)
		}
	}
}

// TestVowelInTheFirstWords: half a second of even sound before the first words is noise, but not within them: a voice may dwell on a vowel.
func TestVowelInTheFirstWords(t *testing.T) {
	var d Detector
	l := newLine().quiet(1000*ms).speech(640*ms).noise(560*ms, 6000).speech(600 * ms).quiet(1000 * ms)
	if all := hear(t, &d, l.packets(20*ms)); len(all) != 1 || all[0].Level-all[0].Noise < deep {
		t.Errorf("heard %+v; want one segment far above its noise", all)
	}
	d = Detector{}
	if all := hear(t, &d, newLine().quiet(1000*ms).noise(700*ms, 6000).quiet(1000*ms).packets(20*ms)); len(all) > 0 {
		t.Errorf("heard %+v in even sound", all)
	}
}

// TestLongSpeech: long speech gives a segment each minute, without gaps between them.
func TestLongSpeech(t *testing.T) {
	var d Detector
	got := hear(t, &d, newLine().quiet(time.Second).speech(130*time.Second).quiet(time.Second).packets(20*ms))
	wants(t, "long", got, 45*ms, 1000, 61000, 61000, 121000, 121000, 131000)
}

// TestView shows what the detector reports in the middle of speech, and after packets stop.
func TestView(t *testing.T) {
	var d Detector
	hear(t, &d, newLine().quiet(time.Second).speech(2*time.Second).packets(20*ms))
	v := d.View(time.Hour + 3*time.Second)
	if !v.Speaking || v.Since < time.Hour+950*ms || v.Since > time.Hour+1050*ms || v.To < time.Hour+2900*ms || v.Until < v.To ||
		Decibels(float64(v.Level))-Decibels(float64(v.Noise)) < 20 {
		t.Errorf("while it speaks: %+v", v)
	}
	if v = d.View(time.Hour + 10*time.Second); v.Until < v.To+6*time.Second {
		t.Errorf("after 7 s without a packet: %+v", v)
	}
	d.Shift(-30 * time.Minute)
	if v = d.View(30*time.Minute + 3*time.Second); v.Since < 30*time.Minute+950*ms || v.To > 30*time.Minute+3*time.Second {
		t.Errorf("by another clock: %+v", v)
	}
}

// TestReasons: if a stream can't be measured, the detector gives the reason.
func TestReasons(t *testing.T) {
	p := talk().packets(20 * ms)[0]
	for _, c := range []struct {
		name    string
		packets int
		before  bool // a packet that can be measured comes first
		content Content
		length  int
		want    Reason
	}{
		{"nothing", 0, false, MuLaw, 160, NoAudio},
		{"G.722", 1, false, ContentOf(9), 160, OtherCodec},
		{"A-law", 1, false, ContentOf(8), 160, Measured},
		{"comfort noise", 1, false, ContentOf(13), 1, Measured},
		{"keys", 9, false, Keys, 4, NoAudio},
		{"a key of an unknown type", 9, true, Opaque, 4, Measured},
		{"another codec now", 60, true, Opaque, 160, OtherCodec},
		{"5 ms", 1, false, MuLaw, 40, OtherLength},
		{"70 ms", 1, false, ContentOf(0), 560, OtherLength},
		{"60 ms", 1, false, MuLaw, 480, Measured},
	} {
		var d Detector
		if c.before {
			d.Packet(p)
		}
		for range c.packets {
			d.Packet(Packet{Arrival: p.Arrival, Content: c.content, Payload: make([]byte, c.length)})
		}
		if got := d.View(p.Arrival).Reason; got != c.want {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
	}
}

// TestDetectorIsSmall: a detector must be small, because the state of each flow contains one.
func TestDetectorIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(Detector{}); got != 160 {
		t.Errorf("%d bytes; doc.go says 160, and 300 are the most", got)
	}
	packets, d, i := talk().packets(20*ms), &Detector{}, 0
	if n := testing.AllocsPerRun(1000, func() { d.Packet(packets[i%len(packets)]); i++ }); n > 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

// TestDetectorGoesOn: if another process continues from the saved state, it finds the same segments.
func TestDetectorGoesOn(t *testing.T) {
	packets := talk().packets(20 * ms)
	for at := 0; at < len(packets); at += 7 {
		var d, next Detector
		got := hear(t, &d, packets[:at])
		b, err := cbor.Marshal(&d)
		if err == nil {
			err = cbor.Unmarshal(b, &next)
		}
		if err != nil || next != d {
			t.Fatalf("%v: %+v; want %+v", err, next, d)
		}
		wants(t, "in two lives", append(got, hear(t, &next, packets[at:])...), 45*ms, talked...)
	}
}

// FuzzDetector feeds packets made from the input, eight bytes each. Segments must be in order, must not overlap, and
// must be no longer than a minute and a packet.
func FuzzDetector(f *testing.F) {
	f.Add(bytes.Repeat([]byte{160, 20, 0, 0, 0, 1, 90, 1}, 60))
	f.Add(bytes.Repeat([]byte{80, 10, 255, 1, 2, 2, 200, 3, 160, 250, 9, 0, 0, 0, 20, 4}, 30))
	f.Fuzz(func(t *testing.T, in []byte) {
		var d Detector
		var last Segment
		p := Packet{Arrival: time.Hour}
		for ; len(in) >= 8; in = in[8:] {
			p.Arrival += time.Duration(in[1]) * ms * time.Duration(1+in[5]/64*50)
			p.Timestamp += uint32(in[0]) + uint32(in[2])<<24 + uint32(in[3])<<12 - uint32(in[4])
			p.SSRC, p.Content = uint32(in[5]%8/7), Content(in[7]%6)
			p.Payload = bytes.Repeat([]byte{^in[6], in[6] | 0x80}, int(in[0])+int(in[4]&1)*100)
			if s, ok := d.Packet(p); ok && p.Content != Keys {
				if s.From < last.To || s.To < s.From || s.To-s.From > time.Minute+60*ms || s.Level < 0 || s.Level > LevelMax {
					t.Fatalf("%+v after %+v", s, last)
				}
				last = s
			}
			if v := d.View(p.Arrival); v.Speaking && (v.To < v.Since || v.Since < last.To) {
				t.Fatalf("%+v after %+v", v, last)
			}
		}
	})
}

// BenchmarkPacket measures the whole cost of a packet of 20 ms.
func BenchmarkPacket(b *testing.B) {
	packets, d := talk().packets(20*ms), &Detector{}
	round := packets[len(packets)-1].Arrival - packets[0].Arrival + 20*ms
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i % len(packets)
		if n == 0 && i > 0 {
			for k := range packets {
				packets[k].Arrival += round
				packets[k].Timestamp += uint32(round / tick)
			}
		}
		d.Packet(packets[n])
	}
}
