//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"pgregory.net/rapid"

	"flowbridge/media/audio"
	"flowbridge/media/voice"
)

// TestHearsAsTheWorker lets the program and the worker's detector judge the same packets: of all lengths, with
// loss, repeats, other clocks, pauses, keys, comfort noise, header extensions, contributing sources and padding.
func TestHearsAsTheWorker(t *testing.T) {
	inLab(t, func(t *testing.T, _ *lab) {
		m := newMachine(t)
		if !m.Listens() {
			t.Fatal("the program does not listen, though the test is root's")
		}
		segments := uint64(0)
		for _, name := range []string{"lo", "left"} {
			m.enters(t, name)
			if name == "lo" {
				m.model.device = [6]byte{}
			} else {
				i, err := net.InterfaceByName("right")
				must(t, err)
				m.out = i.Index
			}
			rapid.Check(t, func(rt *rapid.T) {
				defer m.clear(rt)
				f := m.speaker(rt)
				s := sayer{m: m, f: f, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))}
				for range rapid.IntRange(1, 12).Draw(rt, "parts") {
					s.part(rt)
				}
				segments += f.speech.Told
				given, ok := m.take(1, m.lastID, true)
				if !ok {
					rt.Fatalf("nothing was given back")
				}
				f.same(rt, given, "what was given back")
			})
		}
		if segments < 50 {
			t.Errorf("%d segments were told: the packets are not like speech", segments)
		}
	})
}

// same compares a state with that of the model.
func (f *modelFlow) same(t fataler, got State, what string) {
	t.Helper()
	if f.Listen && (got.Speech == nil || *got.Speech != f.speech) {
		t.Fatalf("%s: speech\n%+v; want\n%+v", what, got.Speech, f.speech)
	}
	want := f.state
	got.Speech, want.Speech, got.At = nil, nil, 0
	if got != want {
		t.Fatalf("%s is\n%+v; want\n%+v", what, got, want)
	}
}

// speaker adds a flow that listens.
func (m *machine) speaker(rt *rapid.T) *modelFlow {
	f := &modelFlow{Flow: Flow{
		In: ap("10.0.0.1:20000"), Source: ap("10.0.0.2:4000"), Out: ap("10.0.0.1:20002"), Dest: ap("10.0.0.3:5000"), SSRC: 7,
		Listen: true,
	}, mtu: localMTU, out: m.out}
	if rapid.Bool().Draw(rt, "IPv6") {
		f.In, f.Source, f.Out, f.Dest = ap("[fd00::1]:20000"), ap("[fd00::2]:4000"), ap("[fd00::1]:20002"), ap("[fd00::3]:5000")
	}
	f.Events.Add(101)
	if rapid.Bool().Draw(rt, "dropped") {
		f.Rewrite.Payload[0] = PayloadChange{From: 101, Drop: true}
	}
	m.put(rt, 1, f)
	return f
}

// sayer sends the packets of one side.
type sayer struct {
	m         *machine
	f         *modelFlow
	rng       *rand.Rand
	seq       uint16
	timestamp uint32
}

// part sends packets for a while, after a random event.
func (s *sayer) part(rt *rapid.T) {
	codes := rapid.SampledFrom([]int{80, 160, 160, 160, 200, 240, 320, 400, 480, 559, 560, 79, 0}).Draw(rt, "codes")
	payloadType := rapid.SampledFrom([]uint8{0, 0, 0, 8, 13, 101, 9, 96}).Draw(rt, "payload type")
	loud := rapid.SampledFrom([]int{20, 300, 1500, 6000, 6000, 6000, 20000}).Draw(rt, "loud")
	first := rapid.SampledFrom([]byte{0x80, 0x80, 0x80, 0x90, 0xa0, 0x82, 0xb3}).Draw(rt, "first byte")
	switch rapid.SampledFrom([]string{"", "", "", "", "clock", "pause", "late", "later"}).Draw(rt, "happens") {
	case "clock":
		s.timestamp += 1 << 30
	case "pause":
		s.shift(rt, time.Duration(rapid.IntRange(0, 5000).Draw(rt, "ms"))*time.Millisecond)
	case "late":
		s.timestamp -= 8000
	case "later":
		s.timestamp += uint32(rapid.IntRange(0, 40000).Draw(rt, "ticks"))
	}
	for n := range rapid.IntRange(1, 60).Draw(rt, "packets") {
		if s.rng.IntN(20) > 0 {
			s.say(rt, first, payloadType, codes, loud, n)
			if s.rng.IntN(20) == 0 {
				s.say(rt, first, payloadType, codes, loud, n)
			}
		}
		s.seq++
		s.timestamp += uint32(codes)
		if s.rng.IntN(3) == 0 { // the clock advances, which a test run can't do
			s.shift(rt, time.Duration(codes)*voice.Tick)
		}
	}
}

func (s *sayer) say(rt *rapid.T, first byte, payloadType uint8, codes, loud, n int) {
	pkt := rtp(s.seq, s.timestamp, 7, payloadType, "")
	pkt[0] = first
	pkt = append(pkt, make([]byte, 4*int(first&0xf))...)
	if first&0x10 != 0 {
		pkt = append(pkt, 0xbe, 0xde, 0, 2, 0x10, 0x85, 0, 0, 0, 0, 0, 0)
	}
	if n%16 == 15 {
		loud /= 8 // a quieter syllable
	}
	for range codes {
		sample := int16(s.rng.IntN(2*loud) - loud)
		if payloadType == 8 {
			pkt = append(pkt, audio.EncodeALaw(sample))
		} else {
			pkt = append(pkt, audio.EncodeULaw(sample))
		}
	}
	if first&0x20 != 0 {
		pkt = append(pkt, 0, 0, 3)
	}
	s.m.check(rt, datagram(s.f.Source, s.f.In, 0, 64, pkt), false, 0)
}

// shift makes everything that is known older, as if time had passed.
func (s *sayer) shift(rt *rapid.T, by time.Duration) {
	slot, v := s.m.raw(rt, s.f)
	s.f.speech.Detector.Shift(-by)
	v.Speech = *(*programSpeech)(unsafe.Pointer(&s.f.speech))
	must(rt, s.m.program.States.Update(slot, &v, ebpf.UpdateLock))
}

// TestSegmentsSince: Since returns the segments after the first told ones, as far as they are kept.
func TestSegmentsSince(t *testing.T) {
	s := Speech{Told: 9}
	for i := range s.Last {
		s.Last[i] = Spoken{From: int64(8000 * (9 - i)), Length: 800, Level: 1}
	}
	for _, tt := range []struct {
		told     uint64
		first    time.Duration
		n        int
		complete bool
	}{{9, 0, 0, true}, {8, 9 * time.Second, 1, true}, {2, 3 * time.Second, 7, true}, {1, 3 * time.Second, 7, false}, {10, 0, 0, false}} {
		got, complete := s.Since(tt.told)
		if len(got) != tt.n || complete != tt.complete || tt.n > 0 && got[0].From != tt.first {
			t.Errorf("since %d: %d from %v, complete %v; want %d from %v, %v", tt.told, len(got), got, complete, tt.n, tt.first, tt.complete)
		}
	}
	s.Last[5] = Spoken{} // a flow was put with a state of which the kernel does not have three segments
	s.Last[6] = Spoken{}
	if got, complete := s.Since(3); len(got) != 5 || complete {
		t.Errorf("%d, complete %v; want 5 of 6", len(got), complete)
	}
}

// BenchmarkListening measures what listening costs for each packet, by running with and without it.
func BenchmarkListening(b *testing.B) {
	m := newMachine(b)
	for _, listens := range []bool{false, true} {
		name := map[bool]string{false: "off", true: "on"}[listens]
		for _, v6 := range []bool{false, true} {
			b.Run(name+map[bool]string{true: " IPv6"}[v6], func(b *testing.B) { m.benchmarkSpeech(b, listens, v6) })
		}
	}
}

func (m *machine) benchmarkSpeech(b *testing.B, listens, v6 bool) {
	defer m.clear(b)
	f := &modelFlow{Flow: Flow{
		In: ap("10.0.0.1:20000"), Source: ap("10.0.0.2:4000"), Out: ap("10.0.0.2:4000"), Dest: ap("10.0.0.1:20000"), SSRC: 7,
		Listen: listens,
	}, mtu: localMTU}
	if v6 {
		f.In, f.Source, f.Out, f.Dest = ap("[fd00::1]:20000"), ap("[fd00::2]:4000"), ap("[fd00::2]:4000"), ap("[fd00::1]:20000")
	}
	f.Out, f.Dest = f.Source, f.In // leads back to itself as often as its TTL allows
	f.Rewrite.TimeOffset = 160
	f.state.Last = Now() + 1e12
	m.put(b, 1, f)
	rng := rand.New(rand.NewPCG(1, 2))
	payload := make([]byte, 160)
	for i := range payload {
		payload[i] = audio.EncodeULaw(int16(rng.IntN(12000) - 6000))
	}
	pkt := rtp(1, 160, 7, 0, string(payload))
	total, runs := int64(0), 0
	for b.Loop() {
		binary.BigEndian.PutUint32(pkt[4:], binary.BigEndian.Uint32(pkt[4:])+160*200)
		verdict, each, err := m.program.Relay.Benchmark(datagram(f.Source, f.In, 0, 255, pkt), 200, nil)
		if err != nil || int32(verdict) != verdictOK {
			b.Fatalf("%d, %v", int32(verdict), err)
		}
		total, runs = total+each.Nanoseconds(), runs+1
	}
	if _, v := m.raw(b, f); listens && int(v.Speech.Voice.Judged) < runs*200 {
		b.Errorf("%d packets of %d were judged", v.Speech.Voice.Judged, runs*200)
	}
	b.ReportMetric(float64(total)/float64(runs), "ns/packet")
	b.ReportMetric(0, "ns/op")
}
