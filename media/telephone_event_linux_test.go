package media

import (
	"encoding/binary"
	"testing"
	"time"

	"flowbridge/media/packet"
)

// eventPacket is a packet of telephone-event 101 that began at the given time.
func eventPacket(tb testing.TB, seq uint16, timestamp uint32, e packet.Event) []byte {
	tb.Helper()
	var payload [packet.EventLen]byte
	e.Put(payload[:])
	pkt := rtpPacket(tb, 101, seq, string(payload[:]))
	binary.BigEndian.PutUint32(pkt[4:8], timestamp)
	return pkt
}

// pressed are the packets of a key of 100 ms whose end comes three times.
func pressed(tb testing.TB, seq uint16, code uint8) (packets [][]byte) {
	tb.Helper()
	timestamp := uint32(seq) * 160
	for i := range uint16(8) {
		e := packet.Event{Code: code, Volume: 10, Duration: min(i+1, 5) * 160, End: i >= 5}
		packets = append(packets, eventPacket(tb, seq+i, timestamp, e))
	}
	return packets
}

func TestDigitsAreReported(t *testing.T) {
	for name, divert := range map[string]bool{"relayed": false, "diverted": true} {
		t.Run(name, func(t *testing.T) {
			br := newBridge(t, openEngine(t, nil))
			br.SetTelephoneEvents(SideB, TelephoneEvents{On: true, PayloadType: 101, Divert: divert})
			seq := uint16(10)
			relayed := func(pkt []byte) {
				t.Helper()
				br.b.send(br.Local(SideB), pkt)
				br.a.expect(br.Local(SideA), pkt)
			}
			relayed(rtpPacket(t, 0, seq, "speech"))
			for _, code := range []uint8{4, 4, 11, 15} {
				seq += 20
				for _, pkt := range pressed(t, seq, code) {
					if divert {
						br.b.send(br.Local(SideB), pkt)
					} else {
						relayed(pkt)
					}
				}
			}
			flash := eventPacket(t, seq+20, 9999, packet.Event{Code: 16, End: true})
			relayed(flash)
			relayed(rtpPacket(t, 100, seq+21, "\x05\x8a\x03\x20")) // another payload type

			if ev := br.event(t); ev != Event(EventLatched{SideB, br.b.addr}) {
				t.Errorf("got %+v; want a lock", ev)
			}
			for _, want := range []byte("44#D") {
				if ev := br.event(t); ev != Event(EventDigit{SideB, want, 100 * time.Millisecond}) {
					t.Errorf("got %+v; want %c", ev, want)
				}
			}
			st := br.Close()
			var want Drops
			if divert {
				want.Diverted = 4 * 8
			}
			if st.B.Dropped != want || st.B.RxPackets != 3+4*8 || len(br.events) != 0 {
				t.Errorf("got %+v and %d events more; want %+v", st.B, len(br.events), want)
			}
			if !divert && st.A.TxPackets != st.B.RxPackets {
				t.Errorf("%d relayed of %d", st.A.TxPackets, st.B.RxPackets)
			}
		})
	}
}

// A digit whose end never comes, and nothing after it, is reported by the timer.
func TestDigitWithoutAnEnd(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101})
	begin := time.Now()
	br.a.send(br.Local(SideA), pressed(t, 1, 7)[0])
	br.event(t) // the lock
	if ev := br.event(t); ev != Event(EventDigit{SideA, '7', 20 * time.Millisecond}) {
		t.Errorf("got %+v; want a 7", ev)
	}
	if took := time.Since(begin); took < eventTimeout {
		t.Errorf("reported after %v; want %v", took, eventTimeout)
	}
}

func TestDigitsOfASideThatIsNotRead(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101, Divert: true})
	br.SetTelephoneEvents(SideA, TelephoneEvents{})
	for _, from := range []struct {
		c, to *client
		side  Side
	}{{br.a, br.b, SideA}, {br.b, br.a, SideB}} {
		for _, pkt := range pressed(t, 1, 7) {
			from.c.send(br.Local(from.side), pkt)
			from.to.expect(br.Local(from.side.Other()), pkt)
		}
	}
	br.Close()
	for len(br.events) > 0 {
		if ev, ok := (<-br.events).(EventDigit); ok {
			t.Errorf("got %+v", ev)
		}
	}
}
