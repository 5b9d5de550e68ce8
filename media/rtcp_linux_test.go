package media

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// control relays a side's RTCP, and returns what the other side would get.
func (l *line) control(from Side, packets ...rtcp.Packet) []byte {
	l.tb.Helper()
	pkt := compound(l.tb, packets...)
	copy(l.w.buf[:], pkt)
	in := &l.r.endpoint[from][RTCP]
	l.w.control(in, l.w.buf[:len(pkt)])
	return l.w.buf[:len(pkt)]
}

// report returns the only packet of a compound.
func report[P rtcp.Packet](t *testing.T, pkt []byte) P {
	t.Helper()
	all, err := rtcp.Unmarshal(pkt)
	must(t, err)
	p, ok := all[0].(P)
	if !ok {
		t.Fatalf("got %T", all[0])
	}
	return p
}

func TestReportsOfASide(t *testing.T) {
	l := newLine(t)
	l.talkOn(0x11, 100, 5)
	l.control(SideA, &rtcp.SenderReport{SSRC: 0x11, NTPTime: ntp(77)})
	l.pass(2*time.Second + 30*ms)
	block := rtcp.ReceptionReport{
		SSRC: 0x11, FractionLost: 64, TotalLost: 0xfffffe, LastSequenceNumber: 104, Jitter: 80,
		LastSenderReport: 77, Delay: 2 * 65536,
	}
	l.control(SideB, &rtcp.ReceiverReport{SSRC: 0x22, Reports: []rtcp.ReceptionReport{block}})
	st := l.r.ledger.stats(l.w.epoch)
	if want := (remoteReport{Reports: 1, FractionLost: 0.25, Lost: -2, JitterMS: 10}); st.B.Remote != want || st.A.Remote != (remoteReport{}) {
		t.Errorf("got %+v, %+v; want %+v of side b", st.A.Remote, st.B.Remote, want)
	}
	if st.B.RTT != 30*ms || st.A.RTT != 0 {
		t.Errorf("round trips %v, %v; want 0, 30ms", st.A.RTT, st.B.RTT)
	}
	block.SSRC, block.Delay = 0x99, 65536*2-65536/100
	l.control(SideB, &rtcp.ReceiverReport{SSRC: 0x22, Reports: []rtcp.ReceptionReport{block}})
	if again := l.r.ledger.stats(l.w.epoch).B; again.Remote != st.B.Remote || again.RTT <= 30*ms {
		t.Errorf("got %+v, %v of another stream's report; want the same, and a round trip", again.Remote, again.RTT)
	}
}

// A digit uses sequence numbers, so the numbers in the receiver's reports have to be shifted back.
func TestReportsBesideADigit(t *testing.T) {
	l := newLine(t)
	next := l.talkOn(0x11, 65530, 5)
	l.dial("5", Digit{})
	l.pass(time.Second)
	next = l.talkOn(0x11, next, 20) // past the wrap
	got := l.take()
	last := got[len(got)-1]
	if last.Seq == next-1 {
		t.Fatal("nothing was shifted")
	}
	rr := report[*rtcp.ReceiverReport](t, l.control(SideB, &rtcp.ReceiverReport{SSRC: 0x22, Reports: []rtcp.ReceptionReport{
		{SSRC: 0x11, LastSequenceNumber: 1<<16 | uint32(last.Seq)},
	}}))
	if want := 1<<16 | uint32(next-1); rr.Reports[0].LastSequenceNumber != want {
		t.Errorf("got %#x; want %#x", rr.Reports[0].LastSequenceNumber, want)
	}
}

// A digit before any audio begins a stream. Audio that is relayed later takes over the stream's SSRC and timestamps,
// also in its reports.
func TestReportsBehindADigit(t *testing.T) {
	l := newLine(t)
	l.dial("5", Digit{})
	l.pass(time.Second)
	before := l.control(SideA, &rtcp.SenderReport{SSRC: 0x11, NTPTime: ntp(7), RTPTime: 5 * 160})
	if got := report[*rtcp.SenderReport](t, before); got.SSRC != 0x11 {
		t.Errorf("a report before the stream: got %+v", got)
	}
	l.talkOn(0x11, 6, 3)
	got := l.take()
	first := got[len(got)-3]
	sr := report[*rtcp.SenderReport](t, l.control(SideA, &rtcp.SenderReport{SSRC: 0x11, NTPTime: ntp(8), RTPTime: 6 * 160}))
	if first.SSRC == 0x11 || sr.SSRC != first.SSRC || sr.RTPTime != first.Timestamp || sr.NTPTime != ntp(8) {
		t.Errorf("got %+v; want SSRC and time of %+v", sr, first)
	}
	rr := report[*rtcp.ReceiverReport](t, l.control(SideB, &rtcp.ReceiverReport{SSRC: 0x22, Reports: []rtcp.ReceptionReport{
		{SSRC: first.SSRC, LastSequenceNumber: uint32(first.Seq), LastSenderReport: 8},
	}}))
	if b := rr.Reports[0]; b.SSRC != 0x11 || b.LastSequenceNumber != 6 {
		t.Errorf("got %+v; want the stream as it came", b)
	}
	if got := l.r.ledger.stats(l.w.epoch).B.Remote.Reports; got != 1 {
		t.Errorf("%d reports counted; want 1", got)
	}
}

// TestReportsOfOpus: a side that sends PCMU in packets of 60 ms gets reports about its own numbers, although the
// Opus stream made from it has three times as many.
func TestReportsOfOpus(t *testing.T) {
	l := newLine(t)
	l.gives(l.r, SideB, Transcode{On: true, Opus: 111})
	var last packet.Header
	for i := range uint16(10) {
		pkt := rtpPacket(t, 0, 100+i, string(make([]byte, 480)))
		binary.BigEndian.PutUint32(pkt[4:], uint32(i)*480)
		if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
			t.Fatal(errno)
		}
		l.serve()
		for pkt := l.next(); pkt != nil; pkt = l.next() {
			last, _ = packet.ParseRTP(pkt)
		}
		l.pass(60 * ms)
	}
	rr := report[*rtcp.ReceiverReport](t, l.control(SideB, &rtcp.ReceiverReport{SSRC: 0x22, Reports: []rtcp.ReceptionReport{
		{SSRC: last.SSRC, LastSequenceNumber: uint32(last.Seq)},
	}}))
	if got := rr.Reports[0].LastSequenceNumber; last.Seq != 129 || got != 109 {
		t.Errorf("number %d became %d; want 129, 109", last.Seq, got)
	}
}

// A side is sent one stream, whatever SSRC its source uses.
func TestReportsOfAnotherStream(t *testing.T) {
	l := newLine(t)
	l.talkOn(0x11, 100, 5)
	l.pass(time.Second)
	l.talkOn(0x22, 7000, 10)
	got := l.take()
	last := got[len(got)-1]
	sr := report[*rtcp.SenderReport](t, l.control(SideA, &rtcp.SenderReport{SSRC: 0x22, RTPTime: 7009 * 160}))
	if sr.SSRC != 0x11 || sr.RTPTime != last.Timestamp || last.SSRC != 0x11 {
		t.Errorf("got %+v; want SSRC and time of %+v", sr, last)
	}
	rr := report[*rtcp.ReceiverReport](t, l.control(SideB, &rtcp.ReceiverReport{SSRC: 0x33, Reports: []rtcp.ReceptionReport{
		{SSRC: 0x11, LastSequenceNumber: uint32(last.Seq)},
	}}))
	if b := rr.Reports[0]; b.SSRC != 0x22 || b.LastSequenceNumber != 7009 {
		t.Errorf("got %+v; want the stream as it came", b)
	}
	if st := l.r.ledger.stats(l.w.epoch); st.A.SSRCChanges != 1 || st.B.SSRCChanges != 0 {
		t.Errorf("SSRC changes %d, %d; want 1, 0", st.A.SSRCChanges, st.B.SSRCChanges)
	}
}

// A stream from which nothing has been relayed yet has no identity on the other side, because its shift is not known
// before its first packet.
func TestReportsOfAStreamThatIsNotRelayed(t *testing.T) {
	l := newLine(t)
	l.dial("5", Digit{})
	l.pass(time.Second)
	l.talkOn(0x11, 100, 5)
	l.pass(time.Second)
	l.dial("6", Digit{Duration: 2 * time.Second})
	next := l.talkOn(0x22, 7000, 10)
	before := rtcp.SenderReport{SSRC: 0x22, RTPTime: 7009 * 160}
	if sr := report[*rtcp.SenderReport](t, l.control(SideA, &before)); sr.SSRC != before.SSRC || sr.RTPTime != before.RTPTime {
		t.Errorf("got %+v while a digit is sent; want it as it came", sr)
	}
	l.pass(3 * time.Second)
	l.talkOn(0x22, next+150, 1)
	got := l.take()
	last := got[len(got)-1]
	sr := report[*rtcp.SenderReport](t, l.control(SideA, &rtcp.SenderReport{SSRC: 0x22, RTPTime: uint32(next+150) * 160}))
	if sr.SSRC != last.SSRC || sr.RTPTime != last.Timestamp {
		t.Errorf("got %+v; want SSRC and time of %+v", sr, last)
	}
}

func TestControlAllocatesNothing(t *testing.T) {
	l := newLine(t)
	l.talk(0x11, 1)
	l.ep.outlet.Shift = stream.Shift{SSRC: 0x33, SeqOffset: 5}
	must(t, l.r.route())
	in := &l.r.endpoint[SideB][RTCP]
	pkt := compound(t, &rtcp.ReceiverReport{SSRC: 0x22, Reports: []rtcp.ReceptionReport{{SSRC: 0x33}}})
	if n := allocations(100, func() { l.w.control(in, pkt) }); n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}

// RTCP shares the RTP port on one side only.
func TestMux(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	bRTCP := newClient(t, "127.0.2.1:0")
	br.SetPeer(SideA, Peer{RTP: br.a.addr, RTCP: newClient(t, "127.0.1.1:0").addr, Mux: true})
	br.SetPeer(SideB, Peer{RTP: br.b.addr, RTCP: bRTCP.addr})
	speech, there, back := rtpPacket(t, 0, 1, "speech"), rtcpPacket(t, 1), rtcpPacket(t, 2)

	br.a.send(br.Local(SideA), there) // before any RTP: it is relayed, and locks nothing
	bRTCP.expect(rtcpOf(br.Local(SideB)), there)
	if src := br.Stats().A.Source; src.IsValid() {
		t.Errorf("RTCP has locked %v", src)
	}
	br.carries(speech)
	bRTCP.send(rtcpOf(br.Local(SideB)), back)
	br.a.expect(br.Local(SideA), back)
	bRTCP.send(rtcpOf(br.Local(SideB)), compound(t, &rtcp.Goodbye{Sources: []uint32{2}})) // does not end the stream
	br.a.expect(br.Local(SideA), compound(t, &rtcp.Goodbye{Sources: []uint32{2}}))
	br.carries(speech)

	br.a.send(br.Local(SideA), []byte("\x80\xc8\x00\x09ssrc")) // claims more bytes than it has
	newClient(t, "127.0.1.9:0").send(br.Local(SideA), there)
	br.b.send(br.Local(SideB), there) // RTCP on the RTP port of a side that does not share the port
	await(t, "the drops", func() bool { return br.Stats().A.DroppedTotal == 2 && br.Stats().B.DroppedTotal == 1 })
	st := br.Close()
	if st.A.Dropped != (Drops{WrongSource: 1, Malformed: 1}) || st.B.Dropped != (Drops{Malformed: 1}) {
		t.Errorf("dropped %+v, %+v", st.A.Dropped, st.B.Dropped)
	}
	if st.A.RxPackets != 2 || st.A.RxRTCP != 1 || st.A.TxRTCP != 2 || st.B.RxRTCP != 2 || st.B.TxRTCP != 1 {
		t.Errorf("counts %+v\n%+v", st.A, st.B)
	}
}

func TestMuxOnBothSidesAndBack(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	aRTCP, report := newClient(t, "127.0.1.1:0"), rtcpPacket(t, 1)
	br.SetPeer(SideA, Peer{RTP: br.a.addr, Mux: true})
	br.SetPeer(SideB, Peer{RTP: br.b.addr, Mux: true})
	br.carries(report)
	br.b.send(br.Local(SideB), report)
	br.a.expect(br.Local(SideA), report)
	br.SetPeer(SideA, Peer{RTP: br.a.addr, RTCP: aRTCP.addr})
	br.b.send(br.Local(SideB), report)
	aRTCP.expect(rtcpOf(br.Local(SideA)), report)
	aRTCP.send(rtcpOf(br.Local(SideA)), report)
	br.b.expect(br.Local(SideB), report)
}

// RFC 5761 §4: the second byte distinguishes them; RTCP has 192 to 223.
func TestIsRTCP(t *testing.T) {
	for second := range 256 {
		pkt := []byte{0x80, byte(second), 0, 0}
		if got, want := packet.IsRTCP(pkt), second >= 192 && second <= 223; got != want {
			t.Errorf("%d: got %v", second, got)
		}
	}
	if packet.IsRTCP([]byte{0x80, 200, 0}) {
		t.Error("three bytes")
	}
}

func TestScoreOfASession(t *testing.T) {
	b := newBench(t, 1)
	r := b.relays[0]
	peer := *r.party[SideA].named
	peer.Codec = "PCMU"
	must(t, r.setPeer(SideA, peer, 0))
	for seq := range uint16(60) {
		binary.BigEndian.PutUint16(b.packet[2:], seq)
		b.offer(b.from)
		b.carry()
	}
	if st := r.ledger.stats(b.w.epoch); st.A.MOS < 4 || st.A.MOS > 4.5 || st.B.MOS != 0 {
		t.Errorf("got %.2f, %.2f; want more than 4, and 0", st.A.MOS, st.B.MOS)
	}
	peer.Codec = "iLBC"
	must(t, r.setPeer(SideA, peer, 0))
	if got := r.ledger.stats(b.w.epoch).A.MOS; got != 0 {
		t.Errorf("got %.2f for a codec without figures; want 0", got)
	}
}

// TestReportsAcrossClocks: the jitter in a report is in the clock of the stream that the reporter hears. When the
// report is relayed, the jitter is converted to the other side's clock.
func TestReportsAcrossClocks(t *testing.T) {
	for _, side := range []Side{SideA, SideB} {
		l := newLine(t)
		order := Transcode{On: true, Opus: 111}
		order.Takes.Add(111)
		order, err := order.Ready()
		must(t, err)
		l.gives(l.r, side, order)
		for seq := range uint16(5) {
			pkt := rtpPacket(t, 0, seq, string(make([]byte, 160)))
			if side == SideA {
				pkt = rtpPacket(t, 111, seq, "\x08\x00\x00\x00")
				binary.BigEndian.PutUint32(pkt[4:], uint32(seq)*960)
			}
			if errno := send(l.from, pkt, &l.into[0]); errno != 0 {
				t.Fatal(errno)
			}
			l.serve()
			l.w.now += 20 * ms
		}
		jitter, relayed := uint32(80), uint32(480) // 10 ms
		if side == SideB {
			jitter, relayed = relayed, jitter
		}
		block := rtcp.ReceptionReport{SSRC: 0xcafe0001, LastSequenceNumber: 4, Jitter: jitter}
		rr := report[*rtcp.ReceiverReport](t, l.control(SideB, &rtcp.ReceiverReport{SSRC: 0x22, Reports: []rtcp.ReceptionReport{block}}))
		if got := l.r.ledger.stats(l.w.epoch).B.Remote; got.JitterMS != 10 || got.Reports != 1 {
			t.Errorf("Opus on side %v: %+v", side, got)
		}
		if got := rr.Reports[0]; got.Jitter != relayed || got.LastSequenceNumber != 4 {
			t.Errorf("Opus on side %v: relayed as %+v; want a jitter of %d", side, got, relayed)
		}
	}
}
