package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/latch"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// press returns the packets of a key press according to RFC 4733: the first one has
// the marker (§2.5.1.1), all have the same timestamp, the duration grows by step up
// to the last packet (§2.5.1.2), and the end is sent three times (§2.5.1.4). An
// event that is too long for the duration field is split into segments (§2.5.1.3).
func press(tb testing.TB, seq uint16, timestamp uint32, e packet.Event, step, units int) (packets [][]byte) {
	tb.Helper()
	add := func(e packet.Event) {
		packets = append(packets, eventPacket(tb, seq+uint16(len(packets)), timestamp, e))
	}
	said := 0
	for said+step < units {
		if said += step; said > 65535 { // a segment is full
			full := e
			full.Duration = 65535
			add(full)
			timestamp, said, units = timestamp+65535, said-65535, units-65535
		}
		e.Duration = uint16(said)
		add(e)
	}
	e.Duration, e.End = uint16(units), true
	for range 3 {
		add(e)
	}
	packets[0][1] |= 0x80
	return packets
}

// conversation returns speech of one source, with all possible keys in between.
func conversation(tb testing.TB) (packets [][]byte) {
	tb.Helper()
	seq := uint16(1000)
	speech := func() {
		for range 5 {
			pkt := rtpPacket(tb, 0, seq, fmt.Sprintf("speech of 20 ms %05d", seq))
			packets, seq = append(packets, pkt), seq+1
		}
	}
	speech()
	for code := range uint8(17) { // 16 is a flash, not a digit
		keys := press(tb, seq, uint32(seq)*160, packet.Event{Code: code, Volume: code*4 - code/16}, 160, 800+int(code))
		if code%2 == 1 { // with the reserved bit, and with padding
			for i := range keys {
				keys[i][packet.HeaderLen+1] |= 0x40
				keys[i] = append(keys[i], 0, 0, 0, 0)
			}
		}
		packets, seq = append(packets, keys...), seq+uint16(len(keys))
		speech()
	}
	long := press(tb, seq, uint32(seq)*160, packet.Event{Code: 5, Volume: 10}, 8000, 150000) // 18.75 s
	packets, seq = append(packets, long...), seq+uint16(len(long))
	speech()
	return packets
}

// changed returns a packet after these payload changes.
func changed(pkt []byte, changes []PayloadChange) []byte {
	pkt = bytes.Clone(pkt)
	for _, c := range changes {
		if pkt[1]&0x7f != c.From {
			continue
		}
		pkt[1] = pkt[1]&0x80 | c.To
		if c.Op == PayloadToALaw {
			audio.ToALaw(pkt[packet.HeaderLen:])
		}
		break
	}
	return pkt
}

// Keys arrive as they were pressed, byte for byte, whatever happens to the speech
// beside them and to their payload type, also with SRTP. They are also reported.
func TestKeysArriveAsPressed(t *testing.T) {
	renumbered := []PayloadChange{{From: 101, To: 96}}
	translated := []PayloadChange{{From: 0, To: 8, Op: PayloadToALaw}, {From: 101, To: 96}}
	for _, tt := range []struct {
		name    string
		suites  [2]Suite
		changes []PayloadChange
	}{
		{"as they are", [2]Suite{}, nil},
		{"renumbered", [2]Suite{}, renumbered},
		{"beside speech that is translated", [2]Suite{}, translated},
		{"out of SRTP", [2]Suite{SuiteAESCM128SHA80, 0}, nil},
		{"into SRTP", [2]Suite{0, SuiteAESCM128SHA32}, renumbered},
		{"from SRTP to SRTP", [2]Suite{SuiteAEADAES256GCM, SuiteAESCM128SHA80}, translated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			s := newSecured(t, tt.suites)
			s.SetPayloads(SideA, tt.changes)
			s.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101})
			all := conversation(t)
			digits := make(chan Event, 32)
			go func() { // in a goroutine, because the bridge's channel has little room
				for ev := range s.events {
					digits <- ev
				}
				close(digits)
			}()
			for i, pkt := range all {
				s.says(SideA, pkt)
				if got, want := s.hears(SideB), changed(pkt, tt.changes); !bytes.Equal(got, want) {
					t.Fatalf("packet %d: got % x; want % x", i, got, want)
				}
			}
			st := s.Close()
			close(s.events)
			if st.A.DroppedTotal != 0 || st.A.Lost != 0 || st.B.TxPackets != uint64(len(all)) {
				t.Errorf("got %+v; want %d packets and none dropped", st.A, len(all))
			}
			var heard []byte
			var last time.Duration
			for ev := range digits {
				if d, ok := ev.(EventDigit); ok {
					heard, last = append(heard, d.Digit), d.Duration
				}
			}
			if want := "0123456789*#ABCD5"; string(heard) != want || last != stream.Span(150000, 0) {
				t.Errorf("read %q, the last of %v; want %q, and %v", heard, last, want, stream.Span(150000, 0))
			}
		})
	}
}

// A source replaces another one and sends a key. The key keeps its fields, and its
// packets keep their order and their common timestamp, within the stream that the
// other side has heard from the start.
func TestKeyAfterAChangeOfSource(t *testing.T) {
	for name, speech := range map[string]int{"behind speech": 5, "at the start": 0} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			l.talkOn(0xa, 1, 5)
			l.pass(latch.StreamSilence)
			next := l.talkOn(0xb, 30000, speech)
			keys := press(t, next, uint32(next)*160, packet.Event{Code: 7, Volume: 33}, 160, 800)
			for _, pkt := range keys {
				binary.BigEndian.PutUint32(pkt[8:], 0xb)
				if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
					t.Fatal(errno)
				}
				l.serve()
				l.pass(20 * ms)
			}
			l.talkOn(0xb, next+uint16(len(keys)), 3)
			got := l.take()
			checkOrder(t, got)
			lost := 0 // the packets that the new source needs to prove itself are lost
			if speech == 0 {
				lost = latch.ProofFirst - 1
			}
			key := events(got)
			if len(key) != len(keys)-lost {
				t.Fatalf("%d packets of the key; want %d of %d", len(key), len(keys)-lost, len(keys))
			}
			for i, s := range key {
				sent := keys[i+lost]
				want, _ := packet.ParseEvent(packet.Payload(sent))
				if s.event != want || s.marker != packet.Marker(sent) || s.Timestamp != key[0].Timestamp || s.SSRC != 0xa {
					t.Errorf("packet %d: got %+v; want %+v, of source a", i, s, want)
				}
			}
			if ends := slices.DeleteFunc(key, func(s sent) bool { return !s.event.End }); len(ends) != 3 {
				t.Errorf("%d ends; want 3", len(ends))
			}
		})
	}
}

// After a digit of ours, the packets of a side's own key get other sequence
// numbers. Nothing else about them changes.
func TestKeyAfterOneOfOurs(t *testing.T) {
	l := newLine(t)
	next := l.talkOn(0xa, 1, 5)
	l.dial("1", Digit{})
	next = l.talkOn(0xa, next, 20)
	l.take()
	keys := press(t, next, uint32(next)*160, packet.Event{Code: 9, Volume: 1}, 160, 800)
	for _, pkt := range keys {
		binary.BigEndian.PutUint32(pkt[8:], 0xa)
		if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
			t.Fatal(errno)
		}
		l.serve()
		l.pass(20 * ms)
	}
	l.collect()
	got := l.take()
	checkOrder(t, got)
	for i, s := range got {
		want, _ := packet.ParseEvent(packet.Payload(keys[i]))
		if s.event != want || s.marker != (i == 0) || s.Timestamp != uint32(next)*160 {
			t.Errorf("packet %d: got %+v; want %+v at %d", i, s, want, uint32(next)*160)
		}
	}
	if len(got) != len(keys) {
		t.Errorf("%d packets; want %d", len(got), len(keys))
	}
}
