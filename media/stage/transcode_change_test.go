package stage

import (
	"testing"
	"time"

	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

// TestTimesGoOn: when transcoding begins or ends within a call, the timestamps of what the side with Opus is sent go on
// with the time, and so does the one of a key that is being sent.
func TestTimesGoOn(t *testing.T) {
	e := newEdges(t, Transcode{})
	var last packet.Header
	speaks := func(ssrc, timestamp, rate uint32) {
		t.Helper()
		s, o := &e.streams[SideB], &e.outlets[SideB]
		s.Rate = int64(rate)
		for i := range uint32(100) {
			e.now += 20 * time.Millisecond
			h := packet.Header{SSRC: ssrc, Seq: uint16(5000*ssrc + i), Timestamp: timestamp + i*rate/50}
			if i == 0 {
				o.Leave(s)
			}
			s.Observe(h, e.now)
			o.Pass(h, s.Rate, e.now)
			h.Seq, h.Timestamp, h.SSRC = h.Seq+o.Shift.SeqOffset, h.Timestamp+o.Shift.TimeOffset, 1
			pkt := make([]byte, packet.HeaderLen+160)
			putHeader(pkt, h, false)
			if _, is := e.Exit(SideA, pkt, e.now); !is {
				e.Put(SideA, pkt)
			}
			made := e.put[SideA]
			h, _ = packet.ParseRTP(made[len(made)-1])
			if is := h.Timestamp - last.Timestamp; last.SSRC != 0 && (h.Seq != last.Seq+1 || is < 960-6 || is > 960+6) {
				t.Fatalf("at %v: %+v after %+v", e.now, h, last)
			}
			last = h
		}
	}
	for ssrc := uint32(1); ssrc < 9; ssrc += 2 {
		speaks(ssrc, 0xffff1235*ssrc, 48000)
		if err := e.Order(SideB, Digit{Digit: '8', PayloadType: 101, ClockRate: 48000}, e.now); err != nil {
			t.Fatal(err)
		}
		e.Attend(SideB, e.now)
		key := &e.ways[SideB].dialer.timestamp
		was := *key
		if err := e.Order(SideA, opusSide(), e.now); err != nil || was-*key*6 > 1 {
			t.Fatalf("the key at %d is at %d: %v", was, *key*6, err)
		}
		e.ways[SideB].dialer.drop(e.now)
		last.Seq, last.Timestamp = last.Seq+1, last.Timestamp+960 // the packet of the key
		speaks(ssrc+1, 0x12345*ssrc, 8000)
		if err := e.Order(SideA, Transcode{}, e.now); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShortPackets: for a side that takes no packets of 20 ms, G.711 is made in packets of 10 ms, from any point of a call
// on.
func TestShortPackets(t *testing.T) {
	e, all := newEdges(t, opusSide()), spoken(t, 100)
	short := opusSide()
	short.Short = true
	units := uint32(0)
	for i := range all {
		order, length := opusSide(), uint32(960)
		if i >= 30 && i < 70 {
			order = short
		}
		if err := e.Order(SideA, order, e.now); err != nil {
			t.Fatal(err)
		}
		pkt := rtpOf(111, uint16(i), units, all[i])
		if i%10 == 9 { // 15 ms of silence, so that an incomplete packet waits
			pkt, length = rtpOf(111, uint16(i), units, []byte{17<<3 | 3, 3, 0, 0, 0}), 720
		}
		e.from(pkt, time.Duration(units)*time.Second/opus.Clock)
		units += length
	}
	sizes, next := map[int]int{}, uint32(0)
	for i, pkt := range e.passed[SideA] {
		h, _ := packet.ParseRTP(pkt)
		if h.Timestamp != next || h.Seq != uint16(i) {
			t.Fatalf("packet %d: %+v; want the timestamp %d", i, h, next)
		}
		n := len(packet.Payload(pkt))
		sizes[n], next = sizes[n]+1, next+uint32(n)
	}
	if sizes[80] < 70 || sizes[160] < 50 || next < units/opus.Scale-opus.Frame {
		t.Errorf("%v, until %d of %d", sizes, next, units/opus.Scale)
	}
}

// TestDecodedGoesOn: when the decoding of a side's Opus begins or ends within a call, what the other side is sent goes on
// with the numbers and the time of what was relayed before.
func TestDecodedGoesOn(t *testing.T) {
	e, all := newEdges(t, Transcode{}), spoken(t, 60)
	var last packet.Header
	for i, pkt := range all {
		if i == 20 || i == 40 {
			order := Transcode{}
			if i == 20 {
				order = opusSide()
			}
			if err := e.Order(SideA, order, e.now); err != nil {
				t.Fatal(err)
			}
		}
		number, timestamp := uint8(111), uint32(i)*960
		if i < 20 || i >= 40 { // G.711, relayed as it is
			number, timestamp, pkt = 0, 1e6+uint32(i)*160, make([]byte, 160)
		}
		is := rtpOf(number, uint16(5000+i), timestamp, pkt)
		h, _ := packet.ParseRTP(is)
		e.now = time.Duration(i) * 20 * time.Millisecond
		s, o := &e.streams[SideA], &e.outlets[SideA]
		if made := len(e.passed[SideA]); e.Enter(SideA, &Packet{Header: h, Data: is, Now: e.now}) {
			if len(e.passed[SideA]) != made+1 {
				t.Fatalf("%d packets of packet %d", len(e.passed[SideA])-made, i)
			}
			h, _ = packet.ParseRTP(e.passed[SideA][made])
		} else {
			s.SetRate(8000)
			s.Observe(h, e.now)
		}
		o.Pass(h, 8000, e.now)
		h.Seq, h.Timestamp = h.Seq+o.Shift.SeqOffset, h.Timestamp+o.Shift.TimeOffset
		if is := h.Timestamp - last.Timestamp; i > 0 && (h.Seq != last.Seq+1 || is < 160 || is > 320) {
			t.Errorf("packet %d: %+v after %+v", i, h, last)
		}
		last = h
	}
}
