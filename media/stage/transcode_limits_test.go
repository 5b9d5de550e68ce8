package stage

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// TestFloods: whatever comes 10,000 times a second for two seconds, no more is decoded or encoded for it than of 4.5 s.
// What comes in real time afterwards is heard.
func TestFloods(t *testing.T) {
	all := spoken(t, 100)
	short := []byte{16 << 3, 0, 0, 0} // 2.5 ms
	for name, packet := range map[string]func(i int) []byte{
		"Opus":                    func(i int) []byte { return rtpOf(111, uint16(i), uint32(i)*960, all[i%100]) },
		"Opus, with gaps":         func(i int) []byte { return rtpOf(111, uint16(i), uint32(i)*5760, short) },
		"Opus, each behind loss":  func(i int) []byte { return rtpOf(111, uint16(i*2), uint32(i)*5760, all[i%100]) },
		"Opus, each 2nd restarts": func(i int) []byte { return rtpOf(111, uint16(i/2*200+i%2), uint32(i)*120, short) },
		"G.711 of 1,400 bytes":    func(i int) []byte { return rtpOf(0, uint16(i), uint32(i)*1400, make([]byte, 1400)) },
		"G.711 of a sample":       func(i int) []byte { return rtpOf(0, uint16(i), uint32(i)*1000, make([]byte, 1)) },
		"G.711, each 2nd restarts": func(i int) []byte {
			return rtpOf(0, uint16(i/2*200+i%2), uint32(i)*160, make([]byte, 160))
		},
		"keys between samples": func(i int) []byte {
			return rtpOf(uint8(i%2*101), uint16(i), uint32(i), []byte{4, 10, 0, 160}[:1+i%2*3])
		},
	} {
		e := newEdges(t, opusSide())
		made := 0
		for i := range 20000 {
			e.now = time.Duration(i) * 100 * time.Microsecond
			if pkt := packet(i); name[0] == 'O' {
				e.from(pkt, e.now)
			} else {
				e.Send(SideB, pkt)
			}
			for _, pkt := range slices.Concat(e.passed[SideA], e.put[SideA]) {
				if pkt[1]&0x7f != 101 {
					made++
				}
			}
			e.passed[SideA], e.put[SideA] = nil, nil
		}
		if most := 240; made > most { // 225, and some that are filled up
			t.Errorf("%s: %d packets made; want at most %d", name, made, most)
		}
		for i := range uint16(100) {
			now := 2*time.Second + time.Duration(i)*20*time.Millisecond
			e.from(rtpOf(111, 50000+i, 9e6+uint32(i)*960, all[i]), now)
			e.now = now
			e.Send(SideB, rtpOf(0, 50000+i, 9e6+uint32(i)*160, make([]byte, 160)))
		}
		if in, out := len(e.passed[SideA]), len(e.put[SideA]); in < 85 || out < 85 {
			t.Errorf("%s: %d and %d packets of 2 s afterwards", name, in, out)
		}
	}
}

// TestPacketLengths: packets of 2.5 to 120 ms, in all modes and with jitter of up to 20 ms, are heard as they are
// decoded, for as long as they come. Nothing is made up.
func TestPacketLengths(t *testing.T) {
	file, err := os.ReadFile("../opus/testdata/modes.bin")
	if err != nil {
		t.Fatal(err)
	}
	for mode := 0; len(file) > 0; mode++ {
		packets := split(file)
		file = file[2*len(packets)+len(slices.Concat(packets...))+2:]
		file = file[2+(binary.LittleEndian.Uint16(file)+6)/7*2:]
		asDecoded(t, mode, packets)
	}
	for n := 3; n <= 6; n++ {
		var packets [][]byte
		for frames := range slices.Chunk(spoken(t, 60), n) {
			head, body := []byte{frames[0][0] | 3, 0x80 | byte(n)}, []byte(nil) // code 3 with VBR (RFC 6716 section 3.2.5)
			for i, f := range frames {
				if body = append(body, f[1:]...); i < n-1 {
					head = append(head, byte(len(f)-1))
				}
			}
			packets = append(packets, append(head, body...))
		}
		asDecoded(t, n*20, packets)
	}
}

// asDecoded checks that 8 s of packets are heard to the last bit as they are decoded.
func asDecoded(t *testing.T, mode int, packets [][]byte) {
	t.Helper()
	e := newEdges(t, opusSide())
	dec, err := opus.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	var want []int16
	for i := 0; len(want) < 8*opus.Rate; i++ {
		pkt := packets[i%len(packets)]
		at := len(want) + i%2*min(opus.Samples(pkt), opus.Frame)
		e.from(rtpOf(111, uint16(i), uint32(len(want)*opus.Scale), pkt), time.Duration(at)*time.Second/opus.Rate)
		var s [opus.Longest]int16
		n, err := dec.Decode(pkt, s[:])
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, s[:n]...)
	}
	heard := clean(t, e.passed[SideA])
	codes := make([]byte, len(want))
	audio.ULaw.Encode(codes, want)
	audio.ULaw.Decode(want, codes)
	if len(heard) <= len(want)-opus.Frame || !slices.Equal(heard, want[:len(heard)]) {
		t.Errorf("mode %d: the %d samples heard are not the %d decoded ones", mode, len(heard), len(want))
	}
}

// TestNumbersGoOn: when a transcoder restarts or ends, the numbers of what a side is sent go on behind those that it was
// sent, however long the packets on the other side are.
func TestNumbersGoOn(t *testing.T) {
	for _, size := range []int{80, 160, 480} {
		e := newEdges(t, opusSide())
		var seq uint16 = 65500
		sends := func(want uint16) (last uint16) {
			t.Helper()
			for range 300 {
				pkt := rtpOf(0, seq+e.outlets[SideB].Shift.SeqOffset, uint32(seq)*uint32(size), make([]byte, size))
				e.now += time.Duration(size) * time.Second / opus.Rate
				if sent, is := e.Exit(SideA, pkt, e.now); !is {
					e.put[SideA] = append(e.put[SideA], pkt)
				} else if !sent {
					t.Fatal("not sent")
				}
				seq++
			}
			for _, pkt := range e.put[SideA] {
				h, _ := packet.ParseRTP(pkt)
				if h.Seq != want {
					t.Fatalf("packets of %d: number %d; want %d", size, h.Seq, want)
				}
				want++
			}
			e.put[SideA] = nil
			return want
		}
		next := sends(seq)
		other := opusSide()
		other.Wants.Bitrate = 8000
		for _, order := range []Transcode{other, {}, opusSide()} {
			if err := e.Order(SideA, order, e.now); err != nil {
				t.Fatal(err)
			}
			next = sends(next)
		}
	}
}

// TestTimestampsRoundDown: the timestamps of a side are rounded down, in reports and before its last packet, too.
func TestTimestampsRoundDown(t *testing.T) {
	e := newEdges(t, opusSide())
	e.from(rtpOf(111, 1, 96, spoken(t, 1)[0]), 0) // 16 in the clock of 8 kHz
	for timestamp, want := range map[uint32]uint32{
		107: 17, 102: 17, 101: 16, 96: 16, 95: 15, 90: 15, 89: 14, 0: 0, 0xffffffff: 0xffffffff,
		96 + 1<<31 - 2: 16 + 357913941, 96 + 1<<31: 1<<32 + 16 - 357913942,
	} {
		if got := e.transcoder(SideA).in.inner(timestamp); got != want {
			t.Errorf("%d: %d; want %d", timestamp, got, want)
		}
	}
}

// TestStrayNumber: one number far away is dropped and changes nothing, in both directions; a second one behind it is a
// restart.
func TestStrayNumber(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 100)
	both := func(seq uint16, i int) {
		e.from(rtpOf(111, seq, uint32(i)*960, all[i%100]), time.Duration(i)*20*time.Millisecond)
		e.Send(SideB, rtpOf(0, seq, uint32(i)*160, make([]byte, 160)))
	}
	for i := range all {
		if both(uint16(i), i); i%10 == 5 {
			both(30000+uint16(i), i)
		}
	}
	if in, out := len(clean(t, e.passed[SideA]))/160, len(e.put[SideA]); in != 100 || out != 100 {
		t.Errorf("%d and %d packets; want 100", in, out)
	}
	for i := range all {
		both(50000+uint16(i), 100+i)
	}
	if in, out := len(e.passed[SideA]), len(e.put[SideA]); in != 199 || out != 199 {
		t.Errorf("%d and %d packets with those after the restart; want 199", in, out)
	}
}

// TestKeyBesideTheStream: a key with an SSRC of its own moves no clock.
func TestKeyBesideTheStream(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 100)
	for i := range all {
		now := time.Duration(i) * 20 * time.Millisecond
		e.from(rtpOf(111, uint16(i), uint32(i)*960, all[i]), now)
		key := rtpOf(101, uint16(i), 1e9, []byte{4, 10, 0x80, 0})
		binary.BigEndian.PutUint32(key[8:], 8)
		e.from(key, now)
	}
	e.passed[SideA] = slices.DeleteFunc(e.passed[SideA], func(pkt []byte) bool { return pkt[1]&0x7f == 101 })
	if n := len(clean(t, e.passed[SideA])) / 160; n != 100 {
		t.Errorf("%d packets; want 100", n)
	}
}

// TestFilledIsNoDelay: what was made up while packets were late stands in place of them, and the stream is in real time
// again as soon as they come. Nothing is lost of packets that were late for less than fillAfter.
func TestFilledIsNoDelay(t *testing.T) {
	all := spoken(t, 200)
	for _, late := range []time.Duration{80, 200, 400} {
		e := newEdges(t, opusSide())
		for i := range all {
			at := time.Duration(i) * 20 * time.Millisecond
			if i >= 50 {
				at = max(at, time.Second+late*time.Millisecond)
			}
			e.from(rtpOf(111, uint16(i), uint32(i)*960, all[i]), at)
		}
		if n := len(clean(t, e.passed[SideA])) / 160; n != 200 {
			t.Errorf("%d ms late: %d packets; want 200", late, n)
		}
	}
}

// TestClockStoodStill: a sender whose clock stood still in a pause, or does so in each packet, is heard.
func TestClockStoodStill(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 100)
	for i := range all {
		at := time.Duration(i) * 20 * time.Millisecond
		pkt := rtpOf(111, uint16(i), uint32(i)*960, all[i])
		if i >= 50 {
			at += 400 * time.Millisecond
		}
		if i == 50 {
			pkt[1] |= 0x80 // the marker
		}
		e.from(pkt, at)
	}
	heard := 0
	for _, pkt := range e.passed[SideA] {
		var s [160]int16
		audio.ULaw.Decode(s[:], packet.Payload(pkt))
		if level(s[:]) > 3000 {
			heard++
		}
	}
	if heard < 95 {
		t.Errorf("%d of 100 packets heard", heard)
	}
	e = newEdges(t, opusSide())
	for i := range all {
		e.from(rtpOf(111, uint16(i), 0, all[i]), time.Duration(i)*20*time.Millisecond)
	}
	if n := len(e.passed[SideA]); n < 95 {
		t.Errorf("%d of 100 packets with one timestamp", n)
	}
}

// TestKeyIsNoPause: nothing is filled up while a key is pressed.
func TestKeyIsNoPause(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 40)
	for i := range all {
		pkt := rtpOf(111, uint16(i), uint32(i)*960, all[i])
		if i >= 10 && i < 30 {
			pkt = rtpOf(101, uint16(i), 10*960, []byte{4, 10, byte((i - 9) * 960 >> 8), byte((i - 9) * 960)})
		}
		e.from(pkt, time.Duration(i)*20*time.Millisecond)
	}
	if n := len(e.passed[SideA]); n != 40 {
		t.Errorf("%d packets; want 40", n)
	}
}

// TestBeginIsNoPause: a stream that begins with a key has no pause by DTX before its first audio, so nothing is made up
// behind that.
func TestBeginIsNoPause(t *testing.T) {
	e := newEdges(t, opusSide())
	e.from(rtpOf(101, 0, 0, []byte{4, 10 | 0x80, 1, 224}), 0)
	e.from(rtpOf(111, 1, 24000, []byte{17<<3 | 3, 3, 0, 0, 0}), 500*time.Millisecond) // 15 ms that say nothing of voice
	if d := e.Due(SideA); d != stream.Never {
		t.Errorf("due at %v", d)
	}
}

// TestDTXIsSteady: while Opus sends an update each 420 ms, the packets that are made come one by one, or two, once the
// pause is known.
func TestDTXIsSteady(t *testing.T) {
	e, all, sent := newEdges(t, opusSide()), encoded(t, make([]int16, 200*opus.Frame), opus.Settings{DTX: true}), uint16(0)
	at := map[time.Duration]int{}
	for i := range all {
		now := time.Duration(i) * 20 * time.Millisecond
		for ; e.now < now; e.now += 10 * time.Millisecond {
			if e.Due(SideA) <= e.now {
				e.Attend(SideA, e.now)
			}
			at[e.now] += len(e.passed[SideA])
			e.passed[SideA] = nil
		}
		if len(all[i]) > 0 {
			e.from(rtpOf(111, sent, uint32(i)*960, all[i]), now)
			sent++
		}
	}
	for when, n := range at {
		if n > 2 && when > 900*time.Millisecond {
			t.Errorf("%d packets at %v", n, when)
		}
	}
}

// TestHeldIsEncoded: what is held for a lost packet is sent in 60 ms, also if nothing comes after it.
func TestHeldIsEncoded(t *testing.T) {
	e := newEdges(t, opusSide())
	for _, i := range []uint16{0, 2, 3} {
		e.Send(SideB, rtpOf(0, i, uint32(i)*160, make([]byte, 160)))
	}
	due := e.armed[SideA]
	if e.Attend(SideA, due-1); due != orderWait || len(e.put[SideA]) != 1 {
		t.Errorf("due at %v, and %d packets before that", due, len(e.put[SideA]))
	}
	e.Attend(SideA, due)
	if n := len(e.put[SideA]); n != 3 || e.Due(SideA) != stream.Never {
		t.Errorf("%d packets, and due at %v", n, e.Due(SideA))
	}
}

// TestReportsToOpus: reports to a side are about the numbers and losses of what it has sent, in its clock.
func TestReportsToOpus(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 200)
	told := func() []byte {
		e.outlets[SideA].Pass(packet.Header{SSRC: 7}, opus.Rate, e.now)
		rr := append([]byte{0x81, 201, 0, 7, 0, 0, 0, 9, 0, 0, 0, 7}, make([]byte, 20)...)
		rr[23] = 5 // the jitter
		e.Retime(SideA, rr, true)
		return rr[12:24]
	}
	for i := range all {
		if i == 100 {
			told()
		}
		if i%4 != 3 || i < 100 {
			h := packet.Header{SSRC: 7, PayloadType: 111, Seq: 65500 + uint16(i), Timestamp: uint32(i) * 960}
			e.streams[SideA].Observe(h, time.Duration(i)*20*time.Millisecond)
			e.from(rtpOf(111, h.Seq, h.Timestamp, all[i]), time.Duration(i)*20*time.Millisecond)
		}
	}
	// the last one of 25 that are missing is not known to be
	if got, want := told(), []byte{62, 0, 0, 24, 0, 1, 0, 162, 0, 0, 0, 30}; !bytes.Equal(got, want) {
		t.Errorf("got % x; want % x", got, want)
	}
}

// TestBrokenCodec: a codec that panics ends the audio of its call, once, until another order makes a new one.
func TestBrokenCodec(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 2)
	e.transcoder(SideA).config.codec.decoder = &opus.Decoder{}
	for i, payload := range all {
		e.from(rtpOf(111, uint16(i), uint32(i)*960, payload), time.Duration(i)*20*time.Millisecond)
	}
	if e.broke == nil || len(e.passed[SideA]) > 0 || e.Due(SideA) != stream.Never {
		t.Errorf("%v, %d packets, due at %v", e.broke, len(e.passed[SideA]), e.Due(SideA))
	}
	if e.Send(SideB, rtpOf(0, 1, 1, make([]byte, 160))) {
		t.Error("sent all the same")
	}
	if err := e.Order(SideA, opusSide(), e.now); err != nil {
		t.Fatal(err)
	}
	e.from(rtpOf(111, 2, 1920, all[0]), 40*time.Millisecond)
	if !e.Send(SideB, rtpOf(0, 2, 161, make([]byte, 160))) || len(e.passed[SideA]) != 1 {
		t.Error("no new codec after the order")
	}
}
