package stage

import (
	"encoding/binary"
	"os"
	"slices"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

// TestFloods: whatever comes 10,000 times a second for two seconds, no more is decoded or encoded for it than of 4.5 s.
// What comes in real time afterwards is heard.
func TestFloods(t *testing.T) {
	all := spoken(t, 100)
	short := []byte{16 << 3, 0, 0, 0} // 2.5 ms
	for name, packet := range map[string]func(i int) []byte{
		"Opus":                   func(i int) []byte { return rtpOf(111, uint16(i), uint32(i)*960, all[i%100]) },
		"Opus, with gaps":        func(i int) []byte { return rtpOf(111, uint16(i), uint32(i)*5760, short) },
		"Opus, each behind loss": func(i int) []byte { return rtpOf(111, uint16(i*2), uint32(i)*5760, all[i%100]) },
		"Opus, each a restart":   func(i int) []byte { return rtpOf(111, uint16(i*200), uint32(i)*120, short) },
		"G.711 of 1,400 bytes":   func(i int) []byte { return rtpOf(0, uint16(i), uint32(i)*1400, make([]byte, 1400)) },
		"G.711 of a sample":      func(i int) []byte { return rtpOf(0, uint16(i), uint32(i)*1000, make([]byte, 1)) },
		"G.711, each a restart":  func(i int) []byte { return rtpOf(0, uint16(i*200), uint32(i)*160, make([]byte, 160)) },
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

// TestPacketLengths: packets of 2.5 to 120 ms, in all modes, are heard as they are decoded, for as long as they come.
func TestPacketLengths(t *testing.T) {
	file, err := os.ReadFile("../opus/testdata/modes.bin")
	if err != nil {
		t.Fatal(err)
	}
	for mode := 0; len(file) > 0; mode++ {
		packets := split(file)
		file = file[2*len(packets)+len(slices.Concat(packets...))+2:]
		file = file[2+(binary.LittleEndian.Uint16(file)+6)/7*2:]
		e := newEdges(t, opusSide())
		dec, err := opus.NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		var want []int16
		for i := 0; len(want) < 8*opus.Rate; i++ {
			pkt := packets[i%len(packets)]
			e.from(rtpOf(111, uint16(i), uint32(len(want)*opus.Scale), pkt), time.Duration(len(want))*time.Second/opus.Rate)
			var s [opus.Longest]int16
			n, err := dec.Decode(pkt, s[:])
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, s[:n]...)
		}
		heard := clean(t, e.passed[SideA])
		if len(heard) <= len(want)-opus.Frame {
			t.Fatalf("mode %d: %d samples; want %d", mode, len(heard), len(want))
		}
		off := make([]int16, len(heard))
		for i := range off {
			off[i] = heard[i] - want[i]
		}
		if level(off) > level(want)/30 {
			t.Errorf("mode %d: a level of %.0f, and one of %.0f of the difference", mode, level(want), level(off))
		}
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

// TestDTXIsSteady: while Opus sends an update each 400 ms, the packets that are made come one by one, or two, once the
// pause is known.
func TestDTXIsSteady(t *testing.T) {
	e, all, sent := newEdges(t, opusSide()), spoken(t, 200), uint16(0)
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
		if i < 20 || i%20 == 0 {
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

// TestOrderAfterFailure: a later order makes a new codec in place of one that has failed.
func TestOrderAfterFailure(t *testing.T) {
	e := newEdges(t, opusSide())
	if e.edge(SideA).broke(opus.ErrBroken); e.broke == nil {
		t.Fatal("nobody was told")
	}
	if err := e.Order(SideA, opusSide(), 0); err != nil || e.edge(SideA).broken {
		t.Errorf("%v; the codec that has failed goes on", err)
	}
}
