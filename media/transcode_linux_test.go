package media

import (
	"encoding/binary"
	"fmt"
	"testing"

	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

// TestTranscodedSession: a side with Opus and one with PCMU hear each other through real sockets, also after the
// process was killed. Each is sent one stream, whose numbers only grow.
func TestTranscodedSession(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.SetPeer(SideA, Peer{RTP: br.a.addr, ClockRate: opus.Clock, Codec: "OPUS"})
	var takes, events PayloadSet
	takes.Add(111)
	events.Add(101)
	must(t, br.SetTranscode(SideA, Transcode{On: true, Takes: takes, Opus: 111, Events: events, Scaled: events}))
	br.Start()
	enc, err := opus.NewEncoder(opus.Settings{})
	must(t, err)
	var last [2]packet.Header // last packet that each receiver got
	hears := func(side Side, pkt []byte, payloadType uint8, units uint32) {
		t.Helper()
		h, ok := packet.ParseRTP(pkt)
		was := last[side]
		if !ok || h.PayloadType != payloadType || was.SSRC != 0 && (h.SSRC != was.SSRC || int16(h.Seq-was.Seq) <= 0 || int32(h.Timestamp-was.Timestamp) < int32(units)) {
			t.Fatalf("side %v is sent %+v after %+v", side, h, was)
		}
		last[side] = h
	}
	talk := func(from uint16) {
		t.Helper()
		for i := range uint16(20) {
			var payload [opus.MaxPacket]byte
			n, err := enc.Encode(make([]int16, opus.Frame), payload[:])
			must(t, err)
			pkt := rtpPacket(t, 111, from+i, string(payload[:n]))
			binary.BigEndian.PutUint32(pkt[4:], uint32(from+i)*960)
			br.a.send(br.Local(SideA), pkt)
			got, _ := br.b.read()
			hears(SideB, got, 0, 160)
			if len(got) != packet.HeaderLen+160 {
				t.Fatalf("%d bytes", len(got))
			}
			br.b.send(br.Local(SideB), rtpPacket(t, 0, 500+from+i, string(make([]byte, 160))))
			got, _ = br.a.read()
			hears(SideA, got, 111, 960)
			if opus.Samples(packet.Payload(got)) != opus.Frame {
				t.Fatalf("% x", got)
			}
		}
	}
	talk(100)
	br.resumed(t, br.State())
	talk(125)
	if st := br.Stats(); st.A.RxPackets != 40 || st.A.Lost > 10 {
		t.Errorf("%+v", st.A)
	}
	must(t, br.SetTranscode(SideA, Transcode{}))
	br.a.send(br.Local(SideA), rtpPacket(t, 0, 200, string(make([]byte, 160))))
	got, _ := br.b.read()
	hears(SideB, got, 0, 1)
}

// TestTranscodedNumbers: when the session is handed over, the stream to a side with Opus and SRTP continues without a
// gap. This is also so if the other side's packets have 60 ms, so that the numbers of the two streams differ a lot.
// After a kill the numbers continue above the reserved ones.
func TestTranscodedNumbers(t *testing.T) {
	needsNextKernel(t)
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed ", killed), func(t *testing.T) {
			noLeaks(t)
			s := newSecured(t, [2]Suite{SuiteAESCM128SHA80, 0})
			s.SetPeer(SideA, Peer{RTP: s.a.addr, ClockRate: opus.Clock, Codec: "OPUS"})
			var takes PayloadSet
			takes.Add(111)
			must(t, s.SetTranscode(SideA, Transcode{On: true, Takes: takes, Opus: 111}))
			s.Start()
			var last packet.Header
			for i := range uint16(50) { // 20 and 30 packets, which no process treats as a flood
				most := uint16(1)
				switch {
				case i == 20 && !killed:
					s.next(t)
				case i == 20:
					s.resumed(t, s.State())
					s.State()
					most = reservedRTP + 1
				}
				pkt := rtpPacket(t, 0, i, string(make([]byte, 480)))
				binary.BigEndian.PutUint32(pkt[4:], uint32(i)*480)
				s.says(SideB, pkt)
				for k := range 3 {
					h, _ := packet.ParseRTP(s.hears(SideA))
					ahead, later := h.Seq-last.Seq, h.Timestamp-last.Timestamp
					if last.SSRC != 0 && (h.SSRC != last.SSRC || ahead == 0 || ahead > most || later != 960) {
						t.Fatalf("part %d of packet %d: %+v after %+v", k, i, h, last)
					}
					last, most = h, 1
				}
			}
		})
	}
}

// TestTimesFollowOn: whether an agent with Opus is followed by one with G.711 or the reverse, and whether the process is
// killed in between, the caller with Opus gets one stream whose numbers and times follow on (RFC 3550 section 5.1).
func TestTimesFollowOn(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.SetPeer(SideA, Peer{RTP: br.a.addr, ClockRate: opus.Clock, Codec: "OPUS"})
	br.Start()
	var takes PayloadSet
	takes.Add(111)
	var last packet.Header
	for agent := range uint32(6) {
		made := agent%2 == 1 // of G.711
		clock, payloadType, size := uint32(opus.Clock), uint8(111), 40
		if made {
			clock, payloadType, size = opus.Rate, 0, opus.Frame
		}
		br.SetPeer(SideB, Peer{RTP: br.b.addr, ClockRate: clock})
		must(t, br.SetTranscode(SideA, Transcode{On: made, Takes: takes, Opus: 111}))
		for i := range uint32(20) {
			pkt := rtpPacket(t, payloadType, uint16(20*agent+i), string(make([]byte, size)))
			binary.BigEndian.PutUint32(pkt[4:], 0xfffff000*agent+i*clock/50)
			br.b.send(br.Local(SideB), pkt)
			got, _ := br.a.read()
			h, ok := packet.ParseRTP(got)
			later := int32(h.Timestamp - last.Timestamp)
			if !ok || h.PayloadType != 111 || last.SSRC != 0 && (h.SSRC != last.SSRC || int16(h.Seq-last.Seq) < 1 || later < 954 || later > 60*opus.Clock) {
				t.Fatalf("agent %d, packet %d: %+v after %+v", agent, i, h, last)
			}
			if last = h; i == 10 && agent > 2 {
				br.resumed(t, br.State())
			}
		}
	}
}
