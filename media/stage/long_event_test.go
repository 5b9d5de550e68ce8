package stage

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"flowbridge/media/packet"
)

// pressed returns the packets of a key 8 that is pressed for so long, one every 50 ms, as a sender with this clock rate
// makes them: in segments where it is long (RFC 4733 section 2.5.1.3). The end comes three times. The first number is
// seq.
func pressed(seq uint16, timestamp, rate uint32, long time.Duration) (packets [][]byte, at []time.Duration) {
	add := func(now time.Duration, since uint32, end byte, duration uint32) {
		pkt := rtpOf(101, seq, timestamp+since, binary.BigEndian.AppendUint16([]byte{8, 10 | end}, uint16(duration)))
		if len(packets) == 0 {
			pkt[1] |= 0x80
		}
		packets, at, seq = append(packets, pkt), append(at, now), seq+1
	}
	units := func(d time.Duration) uint32 { return uint32(d.Milliseconds()) * rate / 1000 }
	since := uint32(0)
	for now := 50 * time.Millisecond; now < long; now += 50 * time.Millisecond {
		if units(now)-since > 0xffff {
			add(now, since, 0, 0xffff)
			since += 0xffff
		}
		add(now, since, 0, units(now)-since)
	}
	for i := range time.Duration(3) {
		add(long+i*50*time.Millisecond, since, 0x80, units(long)-since)
	}
	return packets, at
}

// keysIn returns the events in packets as a strict receiver takes them: the total length, in units, of each run of
// segments that follow each other without a gap.
func keysIn(t *testing.T, packets [][]byte) (keys []int, segments int) {
	t.Helper()
	var now packet.Header
	var units, before int
	for _, pkt := range packets {
		h, _ := packet.ParseRTP(pkt)
		e, ok := packet.ParseEvent(packet.Payload(pkt))
		switch {
		case !ok || h.PayloadType != 101:
			continue
		case len(keys) > 0 && h.Timestamp == now.Timestamp:
			if int(e.Duration) < units {
				t.Errorf("a duration of %d after %d", e.Duration, units)
			}
		case len(keys) > 0 && units == 0xffff && h.Timestamp == now.Timestamp+0xffff && !packet.Marker(pkt):
			segments, before = segments+1, before+units
		default:
			keys, segments, before = append(keys, 0), segments+1, 0
		}
		now, units = h, int(e.Duration)
		keys[len(keys)-1] = before + units
	}
	return keys, segments
}

// TestLongKey: a key that is pressed for long is one key on the other side, whatever clocks the sides have. It has
// segments only where its duration does not fit.
func TestLongKey(t *testing.T) {
	for _, tt := range []struct {
		long    time.Duration
		in, out int // segments at 8 and at 48 kHz
	}{
		{time.Second, 1, 1}, {2 * time.Second, 1, 2}, {5 * time.Second, 1, 4}, {12 * time.Second, 2, 9},
	} {
		for _, lost := range []bool{false, true} { // every fifth packet
			e := newEdges(t, opusSide())
			e.from(rtpOf(111, 999, 48000-960, spoken(t, 1)[0]), 0)
			packets, at := pressed(1000, 48000, 48000, tt.long)
			for i, pkt := range packets {
				if !lost || i%5 != 3 {
					e.from(pkt, at[i])
				}
			}
			e.from(nil, e.now+time.Second)
			back, at := pressed(1000, 8000, 8000, tt.long)
			for i, pkt := range back {
				if e.now = time.Hour + at[i]; !lost || i%5 != 3 {
					e.Send(SideB, pkt)
				}
			}
			e.Attend(SideA, e.now+time.Second)
			ms := int(tt.long.Milliseconds())
			if keys, segments := keysIn(t, e.passed[SideA]); !slices.Equal(keys, []int{ms * 8}) || segments != tt.in {
				t.Errorf("%v, lost %t: %d units in %d segments at 8 kHz; want %d in %d", tt.long, lost, keys, segments, ms*8, tt.in)
			}
			if keys, segments := keysIn(t, e.put[SideA]); !slices.Equal(keys, []int{ms * 48}) || segments != tt.out {
				t.Errorf("%v, lost %t: %d units in %d segments at 48 kHz; want %d in %d", tt.long, lost, keys, segments, ms*48, tt.out)
			}
		}
	}
}

// TestKeyTwice: the same key pressed twice is two keys, also where the packet that begins the second one is lost.
func TestKeyTwice(t *testing.T) {
	for _, lost := range []bool{false, true} {
		e := newEdges(t, opusSide())
		e.from(rtpOf(111, 999, 48000-960, spoken(t, 1)[0]), 0)
		for n, timestamp := range []uint32{48000, 48000 + 200*48} { // the second one as soon as the first one ends
			packets, at := pressed(uint16(1000+100*n), timestamp, 48000, 200*time.Millisecond)
			for i, pkt := range packets {
				if binary.BigEndian.PutUint16(pkt[2:], uint16(1000+n*len(packets)+i)); lost && n == 1 && i == 0 {
					continue
				}
				e.from(pkt, at[i]+time.Duration(n)*350*time.Millisecond)
			}
		}
		e.from(nil, e.now+time.Second)
		if keys, _ := keysIn(t, e.passed[SideA]); !slices.Equal(keys, []int{1600, 1600}) {
			t.Errorf("lost %t: got %v", lost, keys)
		}
	}
}

// TestAnotherKeyAtOnce: another key that begins where the last packet of the one before ends is a key of its own, even
// where that one's end and the first packet of the new one are lost.
func TestAnotherKeyAtOnce(t *testing.T) {
	e := newEdges(t, opusSide())
	for i, at := range []uint32{0, 200} {
		packets, _ := pressed(1000, 48000+at*48, 48000, 250*time.Millisecond)
		for n, pkt := range packets[1:4] { // those with 100 to 200 ms
			pkt[1] &^= 0x80
			packet.Payload(pkt)[0] = byte(8 + i)
			binary.BigEndian.PutUint16(pkt[2:], uint16(1000+3*i+n))
			e.from(pkt, time.Duration(at)*time.Millisecond+time.Duration(100+50*n)*time.Millisecond)
		}
	}
	var keys []uint32
	for _, pkt := range e.passed[SideA] {
		keys = append(keys, uint32(packet.Payload(pkt)[0]), timestampOf(pkt))
	}
	if first := keys[1]; !slices.Equal(keys, []uint32{8, first, 8, first, 8, first, 9, first + 1600, 9, first + 1600, 9, first + 1600}) {
		t.Errorf("keys and timestamps: %d", keys)
	}
}

// TestKeyAmongSpeech: a key behind whole frames of speech adds none to them, and what is too short for an event is not
// passed on.
func TestKeyAmongSpeech(t *testing.T) {
	e := newEdges(t, opusSide())
	for i, pkt := range spoken(t, 5) {
		e.from(rtpOf(111, uint16(i), uint32(960*i), pkt), time.Duration(20*i)*time.Millisecond)
	}
	e.from(rtpOf(101, 5, 4800, []byte{8, 10}), 100*time.Millisecond)
	e.from(rtpOf(101, 6, 4800, []byte{8, 10 | 0x80, 0, 240}), 110*time.Millisecond)
	clean(t, e.passed[SideA][:5])
	if keys, _ := keysIn(t, e.passed[SideA]); len(e.passed[SideA]) != 6 || !slices.Equal(keys, []int{40}) {
		t.Errorf("%d packets with the keys %v", len(e.passed[SideA]), keys)
	}
}

// TestSegmentRepeated: a sender that repeats a packet of a key's earlier segment does not press the key again.
func TestSegmentRepeated(t *testing.T) {
	e := newEdges(t, opusSide())
	packets, at := pressed(1000, 8000, 8000, 9*time.Second)
	second := slices.IndexFunc(packets, func(pkt []byte) bool { return timestampOf(pkt) > 8000 })
	packets = slices.Insert(packets, second+1, slices.Clone(packets[second-1]))
	var last uint32
	for i, pkt := range packets {
		binary.BigEndian.PutUint16(pkt[2:], uint16(i))
		e.now = time.Hour + at[min(i, len(at)-1)]
		e.Send(SideB, pkt)
	}
	e.Attend(SideA, e.now+time.Second)
	for _, pkt := range e.put[SideA] {
		if timestampOf(pkt) < last {
			t.Errorf("%d after %d", timestampOf(pkt), last)
		}
		last = timestampOf(pkt)
	}
}

func timestampOf(pkt []byte) uint32 { return binary.BigEndian.Uint32(pkt[4:]) }

// TestJitterOfReports: a jitter that the clock of Opus can't express becomes the highest one.
func TestJitterOfReports(t *testing.T) {
	e := newEdges(t, opusSide())
	rr := append([]byte{0x81, 201, 0, 7, 0, 0, 0, 9, 0, 0, 0, 7}, make([]byte, 20)...)
	binary.BigEndian.PutUint32(rr[20:], 1<<30)
	e.Retime(SideA, rr, true)
	if j := binary.BigEndian.Uint32(rr[20:]); j < 0xfffffff0 {
		t.Errorf("jitter %d", j)
	}
}
