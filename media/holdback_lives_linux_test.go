package media

import (
	"fmt"
	"testing"

	"github.com/pion/rtcp"

	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
	"flowbridge/sim"
)

// heldBack checks that side B gets packets of side A with these numbers, in one stream.
func (br *bridge) heldBack(t *testing.T, want ...uint16) {
	t.Helper()
	var last packet.Header
	for i, seq := range want {
		got, _ := br.b.read()
		h, _ := packet.ParseRTP(got)
		if is := string(packet.Payload(got)); is != string(packet.Payload(sourcePacket(t, 7, seq))) {
			t.Fatalf("got %q; want packet %d", is, seq)
		}
		if i > 0 && (h.SSRC != last.SSRC || h.Seq != last.Seq+1 || h.Timestamp <= last.Timestamp) {
			t.Fatalf("%+v after %+v", h, last)
		}
		last = h
	}
}

// accepted waits until n packets of side A were accepted.
func (br *bridge) accepted(t *testing.T, n uint64) {
	t.Helper()
	await(t, "all packets", func() bool { return br.Stats().A.RxPackets == n })
}

// TestHoldBackInTwoLives: after an upgrade or a kill, still nothing of the side is heard. What was kept comes after an
// upgrade.
func TestHoldBackInTwoLives(t *testing.T) {
	needsNextKernel(t)
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed ", killed), func(t *testing.T) { holdsBackInTwoLives(t, killed) })
	}
}

func holdsBackInTwoLives(t *testing.T, killed bool) {
	t.Helper()
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.Start()
	br.says(t, 1, 1)
	br.heldBack(t, 1)
	br.HoldBack(SideA, true)
	br.says(t, 2, 4)
	br.accepted(t, 5)
	br.b.expectNothing()
	want := []uint16{6, 7, 8}
	if killed {
		br.resumed(t, br.State())
	} else {
		br.next(t)
		want = []uint16{2, 3, 4, 5, 6, 7, 8}
	}
	br.says(t, 6, 3)
	br.accepted(t, 8)
	br.b.expectNothing()
	br.HoldBack(SideA, false)
	br.heldBack(t, want...)
	br.says(t, 9, 2)
	br.heldBack(t, 9, 10)
	if killed {
		br.resumed(t, br.State())
		br.says(t, 11, 1)
		br.heldBack(t, 11)
	}
	st := br.Close()
	rest := st.A.RxPackets - st.B.TxPackets // what was kept when the process was killed is in no count
	if want := map[bool]uint64{true: 4, false: 0}[killed]; rest != want || st.A.DroppedTotal != 0 {
		t.Errorf("killed %v: %+v", killed, st)
	}
}

// TestHoldBackIsHandedOver: an upgrade while the kept packets are being sent.
func TestHoldBackIsHandedOver(t *testing.T) {
	needsNextKernel(t)
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.Start()
	br.says(t, 1, 1)
	br.heldBack(t, 1)
	br.HoldBack(SideA, true)
	br.says(t, 2, 9)
	br.accepted(t, 10)
	br.b.expectNothing()
	br.nextAfter(t, func() { br.HoldBack(SideA, false) })
	br.heldBack(t, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	br.says(t, 11, 1)
	br.heldBack(t, 11)
	if st := br.Close(); st.A.RxPackets != 11 || st.B.TxPackets != 11 || st.A.DroppedTotal != 0 {
		t.Errorf("%+v", st)
	}
}

// TestHoldBackOfOffloadedFlow: the kernel relays nothing of a side that is held back.
func TestHoldBackOfOffloadedFlow(t *testing.T) {
	onKernelPath(t)
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.Start()
	k := startTalk(t, br)
	k.offloaded(t)
	br.HoldBack(SideA, true)
	must(t, br.worker.do(command{op: opSync}))
	before := br.Stats()
	await(t, "more packets", func() bool { return br.Stats().A.RxPackets > before.A.RxPackets+50 })
	if is := br.Stats(); is.B.TxPackets != before.B.TxPackets || isInKernel(br.Local(SideA)) {
		t.Errorf("%d packets were relayed; in the kernel: %v", is.B.TxPackets-before.B.TxPackets, isInKernel(br.Local(SideA)))
	}
	k.end(t)
}

// TestHoldBackOfOpus: a side with Opus whose packets appear as G.711 is held back like others.
func TestHoldBackOfOpus(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	br.SetPeer(SideA, Peer{RTP: br.a.addr, ClockRate: opus.Clock, Codec: "OPUS"})
	must(t, br.SetTranscode(SideA, Transcode{On: true, Takes: setOf(111), Opus: 111}))
	br.Start()
	br.HoldBack(SideA, true)
	enc, err := opus.NewEncoder(opus.Settings{})
	must(t, err)
	said := sim.SpeechLike(1, 25*20*ms)
	for i := range uint16(25) {
		var payload [opus.MaxPacket]byte
		n, err := enc.Encode(said[int(i)*opus.Frame:int(i+1)*opus.Frame], payload[:])
		must(t, err)
		pkt := rtpPacket(t, 111, i, string(payload[:n]))
		pkt[4], pkt[5], pkt[6], pkt[7] = 0, 0, byte(uint32(i)*960>>8), byte(uint32(i)*960)
		br.a.send(br.Local(SideA), pkt)
	}
	br.b.expectNothing()
	br.HoldBack(SideA, false)
	var last packet.Header
	for i := range 5 { // more are heard, but not of the pauses
		got, _ := br.b.read()
		h, _ := packet.ParseRTP(got)
		if h.PayloadType != 0 || len(got) != packet.HeaderLen+160 ||
			i > 0 && (h.Seq != last.Seq+1 || h.Timestamp != last.Timestamp+160) {
			t.Fatalf("packet %d: %+v after %+v", i, h, last)
		}
		last = h
	}
}

// TestReported: a side reports the losses of the stream that it is sent, also if that has only a sound of ours.
func TestReported(t *testing.T) {
	l := newLine(t)
	reports := func(ssrc, lost uint32) {
		l.control(SideB, &rtcp.ReceiverReport{SSRC: 0x22, Reports: []rtcp.ReceptionReport{{SSRC: ssrc, TotalLost: lost}}})
	}
	check := func(want int64, known bool) {
		t.Helper()
		if lost, reports := l.r.ledger.remoteLost(SideB); lost != want || reports > 0 != known {
			t.Errorf("%d lost in %d reports; want %d, %v", lost, reports, want, known)
		}
	}
	reports(0xa, 3)
	check(0, false)
	l.play(Play{Sound: counted(t, 3)})
	got := l.runs(100 * ms)
	reports(got[0].SSRC+1, 3)
	check(0, false)
	reports(got[0].SSRC, 2)
	check(2, true)
	got = l.says(0xa, 4)
	reports(got[0].SSRC, 0xffffff)
	check(-1, true)
}

// BenchmarkRelayAfterHoldBack is BenchmarkRelay for sides that were held back before.
func BenchmarkRelayAfterHoldBack(b *testing.B) {
	r := newBench(b, 32)
	for _, is := range r.relays {
		r.gives(is, SideA, stage.HoldBack(true))
		r.gives(is, SideA, stage.HoldBack(false))
	}
	r.measure(b)
}
