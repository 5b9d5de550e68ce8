package media

import (
	"testing"
	"time"

	"flowbridge/media/latch"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
)

// Settings of the session to which packets are sent.
const (
	fuzzMux = 1 << iota
	fuzzListen
	fuzzDivert
	fuzzRenumber
	fuzzMask
	fuzzTap
	fuzzOff // latch.Off
	fuzzOtherPort
)

// FuzzRelay sends packets to both ports of side A. Before each packet, the data
// has a byte for the port and the pause, and a byte for the length. Each packet is
// accepted or dropped for one reason, each accepted packet is sent or dropped for
// one reason, and no more packets leave than arrived.
func FuzzRelay(f *testing.F) {
	var talk []byte
	for seq := range uint16(6) {
		for _, pkt := range [][]byte{sourcePacket(f, 0xa, seq), eventPacket(f, seq, 7, packet.Event{Code: 3, End: seq == 5}), rtcpPacket(f, 0xa)} {
			talk = append(append(talk, byte(seq%2), byte(len(pkt))), pkt...)
		}
	}
	for _, flags := range []byte{0, fuzzMux, fuzzListen | fuzzTap, fuzzListen | fuzzDivert, fuzzRenumber, fuzzMask | fuzzTap, fuzzOff, fuzzOtherPort, 0xff} {
		f.Add(flags, talk)
	}
	f.Add(byte(fuzzMux|fuzzTap), []byte("\x00\x0c\x90\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x01\x04\x80\xc8\xff\xff\xfe\x00"))
	f.Fuzz(func(t *testing.T, flags byte, data []byte) {
		l := newLine(t)
		peer := *l.r.party[SideA].named
		peer.Mux = flags&fuzzMux != 0
		if flags&fuzzOff != 0 {
			peer.Latch = latch.Off
		}
		must(t, l.r.setPeer(SideA, peer, l.w.now))
		if flags&(fuzzListen|fuzzDivert) != 0 {
			l.gives(l.r, SideA, TelephoneEvents{On: true, PayloadType: 101, Divert: flags&fuzzDivert != 0})
		}
		if flags&fuzzRenumber != 0 {
			l.r.payloads[SideA] = [maxPayloadChanges]PayloadChange{{From: 0, To: 8, Op: PayloadToALaw}, {From: 101, To: 96}, {From: 13, Op: PayloadDrop}}
		}
		if flags&fuzzMask != 0 {
			mask := Mask{On: true}
			mask.Events.Add(101)
			mask.ULaw.Add(0)
			l.gives(l.r, SideA, mask)
		}
		if flags&fuzzTap != 0 {
			l.gives(l.r, SideA, stage.Tapping{Tap: &counter{}})
		}
		source := peer.RTP
		if flags&fuzzOtherPort != 0 {
			source = portAbove(source)
		}
		packets, bytes := uint64(0), uint64(0)
		for len(data) >= 2 && packets < 64 {
			how, size := data[0], min(int(data[1]), len(data)-2)
			pkt := data[2 : 2+size]
			data = data[2+size:]
			if l.w.now += time.Duration(how>>1) * ms; l.w.now >= l.w.alarm {
				l.w.ring()
			}
			l.w.from.set(source)
			l.w.relay(&l.r.endpoint[SideA][how&1], copy(l.w.buf[:], pkt))
			packets, bytes = packets+1, bytes+uint64(size)
		}
		rtp, rtcp := &l.r.ledger.flow[SideA][RTP], &l.r.ledger.flow[SideA][RTCP]
		d, _ := l.r.ledger.dropped(SideA)
		accepted, sent := rtp.RxPackets.Load()+rtcp.RxPackets.Load(), rtp.TxPackets.Load()+rtcp.TxPackets.Load()
		if refused := d.WrongSource + d.Unproven + d.WrongSSRC + d.Malformed + d.Oversize; accepted+refused != packets {
			t.Errorf("%d accepted and %d refused of %d: %+v", accepted, refused, packets, d)
		}
		if kept := d.NoDestination + d.Held + d.Diverted + d.Replaced + d.Discarded + d.SendError + d.Masked; sent+kept != accepted {
			t.Errorf("%d sent and %d not of %d that were accepted: %+v", sent, kept, accepted, d)
		}
		if out := rtp.TxBytes.Load() + rtcp.TxBytes.Load(); out > bytes {
			t.Errorf("%d bytes left of %d that came", out, bytes)
		}
		if back := &l.r.ledger.flow[SideB][RTP]; back.TxPackets.Load() != 0 {
			t.Errorf("%d packets went back", back.TxPackets.Load())
		}
	})
}
