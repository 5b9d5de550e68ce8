package stage

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"flowbridge/media/answerer"
	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// edges is a session whose sides have nothing but transcoders. It keeps what they make.
type edges struct {
	Stages
	streams [2]stream.Stream
	outlets [2]stream.Outlet
	passed  [2][][]byte // by the side that it comes from
	put     [2][][]byte // by the side that it goes to
	broke   error
	armed   [2]time.Duration
	cut     [2]map[Verdict]int // by the side that it comes from
	buf     [LongestPacket]byte
	now     time.Duration
	played  []Sent

	forwarded [][]byte // that were held back
}

// transcoder returns the transcoder of a side.
func (e *edges) transcoder(side Side) *transcoder {
	is, _ := e.edge(side).(*transcoder)
	return is
}

func (e *edges) Stream(from Side) (*stream.Stream, *stream.Outlet) {
	return &e.streams[from], &e.outlets[from]
}

func (e *edges) Send(from Side, pkt []byte) bool {
	sent, is := e.Exit(from.Other(), pkt, e.now)
	return sent && is
}
func (e *edges) Scratch() []byte                   { return e.buf[:] }
func (e *edges) Receives(Side) bool                { return true }
func (e *edges) Shifted()                          {}
func (e *edges) Arm(from Side)                     { e.armed[from] = e.Due(from) }
func (e *edges) Away(Side) (time.Duration, bool)   { return 0, false }
func (e *edges) Pressed(Side, byte, time.Duration) {}
func (e *edges) Dialed(Side)                       {}
func (e *edges) Played(to Side, id uint64, s Sent) { e.played = append(e.played, s) }
func (e *edges) Restarted(Side, uint64)            {}
func (e *edges) Clock(at time.Duration) time.Time  { return time.Unix(0, 0).Add(at) }
func (e *edges) Answered(Side, answerer.Answer)    {}
func (e *edges) Beeped(Side, answerer.Beep)        {}
func (e *edges) Cut(from Side, why Verdict) {
	if e.cut[from] == nil {
		e.cut[from] = map[Verdict]int{}
	}
	e.cut[from][why]++
}
func (e *edges) Broke(_ Side, err error) { e.broke = err }
func (e *edges) Pass(from Side, p *Packet) {
	e.passed[from] = append(e.passed[from], slices.Clone(p.Data))
}

func (e *edges) Put(to Side, pkt []byte) bool {
	e.put[to] = append(e.put[to], slices.Clone(pkt))
	return true
}

func set(numbers ...uint8) (s packet.PayloadSet) {
	for _, n := range numbers {
		s.Add(n)
	}
	return s
}

// opusSide is side A with Opus 111 and telephone-event 101 of 48 kHz, for which PCMU stands.
func opusSide() Transcode {
	return Transcode{On: true, Takes: set(111), Opus: 111, Events: set(101), Scaled: set(101), Wants: opus.Settings{FEC: true}}
}

func newEdges(t testing.TB, c Transcode) *edges {
	t.Helper()
	e := &edges{}
	e.Init(e)
	if err := e.Order(SideA, c, 0); err != nil || e.broke != nil {
		t.Fatal(err, e.broke)
	}
	return e
}

// rtpOf makes a packet of the SSRC 7.
func rtpOf(payloadType uint8, seq uint16, timestamp uint32, payload []byte) []byte {
	pkt := append(make([]byte, packet.HeaderLen), payload...)
	putHeader(pkt, packet.Header{PayloadType: payloadType, Seq: seq, Timestamp: timestamp, SSRC: 7}, false)
	return pkt
}

// from has side A send a packet at a time.
func (e *edges) from(pkt []byte, now time.Duration) {
	for ; e.now < now; e.now += 10 * time.Millisecond {
		if e.Due(SideA) <= e.now {
			e.Attend(SideA, e.now)
		}
	}
	h, ok := packet.ParseRTP(pkt)
	if ok {
		e.Enter(SideA, &Packet{Header: h, Data: pkt, Now: now})
	}
}

// spoken returns packets of 20 ms with a tone of 440 Hz, as Opus encodes them.
func spoken(t testing.TB, n int) (packets [][]byte) {
	t.Helper()
	enc, err := opus.NewEncoder(opus.Settings{FEC: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var pkt [opus.MaxPacket]byte
		k, err := enc.Encode(sine(i), pkt[:])
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, slices.Clone(pkt[:k]))
	}
	return packets
}

// sine is a frame of a tone of 440 Hz.
func sine(frame int) []int16 {
	s := make([]int16, opus.Frame)
	for i := range s {
		s[i] = int16(8000 * math.Sin(2*math.Pi*440*float64(frame*opus.Frame+i)/opus.Rate))
	}
	return s
}

func level(samples []int16) (p float64) {
	for _, v := range samples {
		p += float64(v) * float64(v) / float64(len(samples))
	}
	return math.Sqrt(p)
}

// clean checks that packets are one stream of PCMU of 20 ms, and returns their samples.
func clean(t *testing.T, packets [][]byte) (samples []int16) {
	t.Helper()
	var before packet.Header
	for i, pkt := range packets {
		h, ok := packet.ParseRTP(pkt)
		if !ok || h.PayloadType != 0 || len(pkt) != packet.HeaderLen+160 || h.SSRC != 7 {
			t.Fatalf("packet %d: %+v of %d bytes", i, h, len(pkt))
		}
		if i > 0 && (h.Seq != before.Seq+1 || h.Timestamp != before.Timestamp+160) {
			t.Fatalf("packet %d: %+v after %+v", i, h, before)
		}
		if packet.Marker(pkt) != (i == 0) {
			t.Errorf("packet %d: marker %t", i, packet.Marker(pkt))
		}
		before = h
		var s [160]int16
		audio.ULaw.Decode(s[:], packet.Payload(pkt))
		samples = append(samples, s[:]...)
	}
	return samples
}

// TestDecodedStream: whatever comes late, twice, in another order or not at all, the stream that goes on has no hole.
func TestDecodedStream(t *testing.T) {
	all := spoken(t, 100)
	for name, order := range map[string]func(i int) []int{
		"as it is":       func(i int) []int { return []int{i} },
		"two exchanged":  func(i int) []int { return []int{i ^ 1} },
		"each twice":     func(i int) []int { return []int{i, i} },
		"one in ten":     func(i int) []int { return map[bool][]int{true: {i}}[i%10 != 5] },
		"three in a row": func(i int) []int { return map[bool][]int{true: {i}}[i%20 < 10 || i%20 > 12] },
		"one is late": func(i int) []int {
			return map[int][]int{4: nil, 5: {i}, 6: {i, i - 2}}[i%20] // also for all others, see below
		},
	} {
		e := newEdges(t, opusSide())
		for i := range all {
			which := order(i)
			if which == nil && name == "one is late" && i%20 != 4 {
				which = []int{i}
			}
			for _, k := range which {
				e.from(rtpOf(111, 65500+uint16(k), 4294000000+uint32(k)*960, all[k]), time.Duration(i)*20*time.Millisecond)
			}
		}
		samples := clean(t, e.passed[SideA])
		if n := len(samples) / 160; n < 97 || n > 100 {
			t.Errorf("%s: %d packets", name, n)
		}
		for i := 10; i < len(samples)/160; i++ {
			if l := level(samples[i*160 : (i+1)*160]); l < 10 || l > 11000 || name == "as it is" && l < 3000 {
				t.Errorf("%s: level %.0f in packet %d", name, l, i)
			}
		}
	}
}

// TestDecodedLengths: packets of 2.5 to 120 ms become packets of 20 ms.
func TestDecodedLengths(t *testing.T) {
	for _, tt := range []struct {
		toc   []byte
		units uint32
		want  int
	}{
		{[]byte{16 << 3}, 120, 12},
		{[]byte{0}, 480, 50},
		{[]byte{2 << 3}, 1920, 200},
		{[]byte{3 << 3}, 2880, 300},
		{[]byte{3<<3 | 3, 2, 0}, 5760, 600},
		{[]byte{8, 0}, 960, 100},
	} {
		e := newEdges(t, opusSide())
		for i := range uint16(100) {
			at := time.Duration(i) * time.Duration(tt.units) * time.Second / 48000
			e.from(rtpOf(111, i, uint32(i)*tt.units, append(slices.Clone(tt.toc), 0, 0, 0)), at)
		}
		if n := len(clean(t, e.passed[SideA])) / 160; n < tt.want-6 || n > tt.want {
			t.Errorf("%x: %d packets; want %d", tt.toc, n, tt.want)
		}
	}
}

// TestPauseIsFilled: while Opus sends nothing but a packet each 420 ms by DTX, or frames of one byte besides, the stream
// goes on without a hole, once the side is known to use DTX. A side that has stopped is not spoken for.
func TestPauseIsFilled(t *testing.T) {
	for _, tiny := range []int{0, 1, 3} { // of the frames of a pause, one in so many is sent with one byte
		e, sent := newEdges(t, opusSide()), uint16(0)
		for i, pkt := range encoded(t, twoWords(), opus.Settings{DTX: true}) {
			if len(pkt) == 0 && tiny > 0 && i%tiny == 0 {
				pkt = []byte{1 << 3}
			}
			if len(pkt) > 0 {
				e.from(rtpOf(111, sent, uint32(i)*960, pkt), time.Duration(i)*20*time.Millisecond)
				sent++
			}
		}
		e.from(nil, 6*time.Second)
		// 4 s without 120 ms before the first pause is known, and half a second behind the last packet
		if n := len(e.passed[SideA]); n < 190 || n > 226 {
			t.Errorf("one in %d: %d packets", tiny, n)
		}
		for i, pkt := range e.passed[SideA] {
			if h, _ := packet.ParseRTP(pkt); packet.Marker(pkt) != (i == 0) && h.Timestamp/opus.Frame > 40 {
				t.Errorf("one in %d: a hole before %d", tiny, h.Timestamp)
			}
		}
		if d := e.Due(SideA); d != stream.Never {
			t.Errorf("one in %d: due at %v", tiny, d)
		}
	}
}

// TestEncodedStream: G.711 in packets of any length becomes packets of 20 ms, in one stream of the side's clock.
func TestEncodedStream(t *testing.T) {
	for _, ms := range []int{10, 20, 30, 40, 60} {
		e, size := newEdges(t, opusSide()), ms*8
		var codes []byte
		for i := range 120 {
			var frame [160]byte
			audio.ULaw.Encode(frame[:], sine(i))
			codes = append(codes, frame[:]...)
		}
		for i := range len(codes) / size {
			e.now = time.Duration(i*ms) * time.Millisecond
			e.Send(SideB, rtpOf(0, 65530+uint16(i), 4294960000+uint32(i*size), codes[i*size:(i+1)*size]))
		}
		if n := len(e.put[SideA]); n != 120 {
			t.Fatalf("%d ms: %d packets", ms, n)
		}
		dec, err := opus.NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		for i, pkt := range e.put[SideA] {
			h, ok := packet.ParseRTP(pkt)
			base := uint32(4294960000)
			if !ok || h.PayloadType != 111 || h.Seq != 65530+uint16(i) || h.Timestamp != (base+uint32(i)*160)*6 || packet.Marker(pkt) != (i == 0) {
				t.Fatalf("%d ms, packet %d: %+v", ms, i, h)
			}
			var s [opus.Longest]int16
			n, err := dec.Decode(packet.Payload(pkt), s[:])
			if l := level(s[:n]); err != nil || n != 160 || i > 10 && (l < 3000 || l > 8000) {
				t.Fatalf("%d ms, packet %d: %d samples of level %.0f, %v", ms, i, n, l, err)
			}
		}
	}
}

// TestEncodedLoss: a packet that is lost stays lost, one that comes late is in its place, and a pause is none of both.
func TestEncodedLoss(t *testing.T) {
	e := newEdges(t, opusSide())
	code := bytes.Repeat([]byte{0x90}, 160)
	for _, i := range []uint16{0, 1, 3, 2, 4, 6, 7, 8, 9, 10} { // 5 is lost
		e.Send(SideB, rtpOf(0, 100+i, 1000+uint32(i)*160, code))
	}
	e.Send(SideB, rtpOf(0, 111, 1000+110*160, code)) // after two seconds
	var got []uint16
	for _, pkt := range e.put[SideA] {
		h, _ := packet.ParseRTP(pkt)
		got = append(got, h.Seq-100)
		if want := h.Seq == 100 || h.Seq == 111; packet.Marker(pkt) != want {
			t.Errorf("packet %d: marker %t", h.Seq, !want)
		}
	}
	if want := []uint16{0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11}; !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

// TestTranscodedEvents: a key has the clock of each side, in timestamps and durations.
func TestTranscodedEvents(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 10)
	for i := range all[:5] {
		e.from(rtpOf(111, uint16(i), 48000+uint32(i)*960, all[i]), time.Duration(i)*20*time.Millisecond)
	}
	for i := range uint16(5) {
		e.from(rtpOf(101, 5+i, 48000+5*960, []byte{4, 10, byte((i + 1) * 960 >> 8), byte((i + 1) * 960 & 0xff)}), time.Duration(5+i)*20*time.Millisecond)
	}
	for i := range all[:5] {
		e.from(rtpOf(111, 10+uint16(i), 48000+uint32(10+i)*960, all[i]), time.Duration(10+i)*20*time.Millisecond)
	}
	if n := len(e.passed[SideA]); n != 15 {
		for _, pkt := range e.passed[SideA] {
			h, _ := packet.ParseRTP(pkt)
			t.Logf("%+v", h)
		}
		t.Fatalf("%d packets", n)
	}
	for i, pkt := range e.passed[SideA] {
		h, _ := packet.ParseRTP(pkt)
		want := packet.Header{Seq: uint16(i), SSRC: 7, Timestamp: 8000 + uint32(i)*160}
		if i >= 5 && i < 10 {
			want.PayloadType, want.Timestamp = 101, 8000+5*160
			if d := int(binary.BigEndian.Uint16(pkt[14:])); d != (i-4)*160 {
				t.Errorf("packet %d: duration %d", i, d)
			}
		}
		if h != want {
			t.Errorf("packet %d: %+v; want %+v", i, h, want)
		}
	}
	e.Send(SideB, rtpOf(101, 1, 800, []byte{4, 10, 0, 160}))
	e.Send(SideB, rtpOf(101, 2, 800, []byte{4, 10, 0xff, 0xff}))
	for i, want := range []uint16{960, 0xffff} {
		pkt := e.put[SideA][i]
		if h, _ := packet.ParseRTP(pkt); h.Timestamp != 4800 || h.PayloadType != 101 || binary.BigEndian.Uint16(pkt[14:]) != want {
			t.Errorf("got %+v, % x; want a duration of %d", h, pkt[12:], want)
		}
	}
}

// FuzzTranscode: whatever a side sends and is sent, at whatever times, nothing panics, and what the side is sent has its
// payload types.
func FuzzTranscode(f *testing.F) {
	all := spoken(f, 4)
	f.Add(slices.Concat(rtpOf(111, 1, 960, all[0]), rtpOf(111, 3, 2880, all[1])), uint16(90), uint16(20))
	f.Add(slices.Concat(rtpOf(101, 1, 960, []byte{1, 2, 3, 4}), rtpOf(0, 1, 160, make([]byte, 160))), uint16(20), uint16(3))
	f.Fuzz(func(t *testing.T, data []byte, size, ms uint16) {
		order := opusSide()
		order.Short = size%2 == 1
		e := newEdges(t, order)
		now := time.Duration(0)
		for i := 0; len(data) > 0 && i < 50; i++ {
			n := min(len(data), packet.HeaderLen+int(size)%1400)
			pkt := slices.Clone(data[:n])
			data, now = data[n:], now+time.Duration(ms%600)*time.Millisecond
			if _, ok := packet.ParseRTP(pkt); ok {
				e.from(pkt, now)
				e.Send(SideB, pkt)
			}
			if len(e.passed[SideA]) > 4000 || len(e.put[SideA]) > 4000 {
				t.Fatal("too much is made of it")
			}
		}
		if e.broke != nil {
			t.Fatal(e.broke)
		}
		for _, pkt := range e.put[SideA] {
			if h, ok := packet.ParseRTP(pkt); !ok || h.PayloadType != 111 && h.PayloadType != 101 {
				t.Fatalf("% x", pkt[:packet.HeaderLen])
			}
		}
	})
}

// TestTranscodeAllocations: a packet in either direction costs no allocation.
func TestTranscodeAllocations(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 200)
	codes, i := make([]byte, 160), 0
	in, out := make([][]byte, 200), make([][]byte, 200)
	for k := range all {
		in[k], out[k] = rtpOf(111, uint16(k), uint32(k)*960, all[k]), rtpOf(0, uint16(k), uint32(k)*160, codes)
	}
	quiet := &quietEdges{edges: e}
	e.ways[SideA].session = quiet
	turn := func() {
		h, _ := packet.ParseRTP(in[i])
		quiet.p = Packet{Header: h, Data: in[i], Now: time.Duration(i) * 20 * time.Millisecond}
		e.Enter(SideA, &quiet.p)
		e.Exit(SideA, out[i], quiet.p.Now)
		i++
	}
	for range 80 {
		turn()
	}
	if n := testing.AllocsPerRun(100, turn); n > 0 {
		t.Errorf("%.1f allocations", n)
	}
	if quiet.passed < 180 || quiet.put < 180 {
		t.Errorf("%d and %d packets", quiet.passed, quiet.put)
	}
}

// quietEdges only counts what the transcoders make.
type quietEdges struct {
	*edges
	p           Packet
	passed, put int
}

func (q *quietEdges) Pass(Side, *Packet)    { q.passed++ }
func (q *quietEdges) Put(Side, []byte) bool { q.put++; return true }

// BenchmarkTranscode is 20 ms of a call in both directions.
func BenchmarkTranscode(b *testing.B) {
	e, all := newEdges(b, opusSide()), spoken(b, 100)
	e.ways[SideA].session = &quietEdges{edges: e}
	var codes [100][]byte
	for i := range codes {
		codes[i] = make([]byte, 160)
		audio.ULaw.Encode(codes[i], sine(i))
	}
	var p Packet // of the worker
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		pkt := rtpOf(111, uint16(i), uint32(i)*960, all[i%100])
		h, _ := packet.ParseRTP(pkt)
		now := time.Duration(i) * 20 * time.Millisecond
		p = Packet{Header: h, Data: pkt, Now: now}
		e.Enter(SideA, &p)
		e.Exit(SideA, rtpOf(0, uint16(i), uint32(i)*160, codes[i%100]), now)
	}
}
