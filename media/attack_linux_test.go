package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/pion/rtcp"

	"flowbridge/media/packet"
)

// noLeaks checks at the end of a test that the test has left no descriptor or goroutine. Call it
// first, so that its check runs last.
func noLeaks(tb testing.TB) {
	tb.Helper()
	c := newClient(tb, "127.0.0.1:0") // opens the runtime's own descriptors before they are counted
	_ = c.conn.Close()
	files, goroutines := filesOpen(tb), runtime.NumGoroutine()
	tb.Cleanup(func() {
		if now := filesOpen(tb); len(now) != len(files) {
			tb.Errorf("descriptors at the end: %q; want %q", now, files)
		}
		await(tb, "the goroutines' end", func() bool { return runtime.NumGoroutine() <= goroutines })
	})
}

// attacked is a bridged call with RTCP. Both sides keep speaking.
type attacked struct {
	*bridge
	aRTCP, bRTCP *client
	seq          uint16
}

// The SSRCs of an attacked call.
const ssrcA, ssrcB = uint32(0xa1), uint32(0xb1)

func newAttacked(t *testing.T, e *Engine) *attacked {
	t.Helper()
	c := &attacked{bridge: newBridge(t, e), aRTCP: newClient(t, "127.0.1.1:0"), bRTCP: newClient(t, "127.0.2.1:0")}
	c.SetPeer(SideA, Peer{RTP: c.a.addr, RTCP: c.aRTCP.addr})
	c.SetPeer(SideB, Peer{RTP: c.b.addr, RTCP: c.bRTCP.addr})
	return c
}

// speak sends the next packet of each side. The other side must get it unchanged.
func (c *attacked) speak() {
	c.a.t.Helper()
	c.seq++
	there, back := sourcePacket(c.a.t, ssrcA, c.seq), sourcePacket(c.a.t, ssrcB, c.seq)
	c.a.send(c.Local(SideA), there)
	c.b.expect(c.Local(SideB), there)
	c.b.send(c.Local(SideB), back)
	c.a.expect(c.Local(SideA), back)
}

// report sends RTCP from both sides.
func (c *attacked) report() {
	c.a.t.Helper()
	there, back := rtcpPacket(c.a.t, ssrcA), rtcpPacket(c.a.t, ssrcB)
	c.aRTCP.send(rtcpOf(c.Local(SideA)), there)
	c.bRTCP.expect(rtcpOf(c.Local(SideB)), there)
	c.bRTCP.send(rtcpOf(c.Local(SideB)), back)
	c.aRTCP.expect(rtcpOf(c.Local(SideA)), back)
}

// undisturbed checks that neither side received anything unexpected, and that all dropped packets
// came from wrong sources.
func (c *attacked) undisturbed(strays uint64) {
	t := c.a.t
	t.Helper()
	await(t, "the strays", func() bool {
		st := c.Stats()
		return st.A.DroppedTotal+st.B.DroppedTotal >= strays
	})
	for _, side := range []*client{c.a, c.b, c.aRTCP, c.bRTCP} {
		side.expectNothing()
	}
	st := c.Stats()
	if st.A.Dropped.WrongSource+st.B.Dropped.WrongSource != strays || st.A.DroppedTotal+st.B.DroppedTotal != strays {
		t.Errorf("dropped %+v\nand %+v; want %d from wrong sources", st.A.Dropped, st.B.Dropped, strays)
	}
}

// bleed returns the packets that an attacker sends who looks for calls whose media can be stolen
// (RTPBleed), and those of one who knows the stream.
func bleed(tb testing.TB, seq uint16) [][]byte {
	tb.Helper()
	return [][]byte{
		rtpPacket(tb, 0, seq, ""),
		sourcePacket(tb, ssrcA, seq),
		rtcpPacket(tb, ssrcA),
		compound(tb, &rtcp.Goodbye{Sources: []uint32{ssrcA}}),
		[]byte("\x00\x01\x00\x00\x21\x12\xa4\x42123456789012"), // STUN
		{0x80},
		{},
	}
}

// Strangers send to all ports of the range: before any side is known, before the lock, and in
// mid-call, from other hosts and from this machine.
func TestSprayOfAllPorts(t *testing.T) {
	noLeaks(t)
	const low, high, calls = 21000, 21063, 6
	e := openEngine(t, func(c *Config) { c.PortLow, c.PortHigh = low, high })
	strangers := []*client{newClient(t, "127.0.9.1:0"), newClient(t, "127.0.9.2:0"), newClient(t, "127.77.0.1:0")}
	var all []*attacked
	sprayed := uint64(0) // number of packets sent to each of our ports
	spray := func(between func()) {
		for _, s := range strangers {
			for _, pkt := range bleed(t, uint16(sprayed)) {
				for port := uint16(low); port <= high; port++ {
					s.send(netip.AddrPortFrom(relayV4, port), pkt)
				}
				sprayed++
				between()
			}
		}
	}
	unnamed := newSession(t, e, SessionConfig{}) // a session whose peers are not known yet
	for range calls {
		all = append(all, newAttacked(t, e))
	}
	spray(func() {})
	if st := all[0].Stats(); st.A.Source.IsValid() || st.B.Source.IsValid() {
		t.Errorf("locked on %v and %v", st.A.Source, st.B.Source)
	}
	for range 3 {
		spray(func() {
			for _, c := range all {
				c.speak()
				c.report()
			}
		})
	}
	for _, c := range all {
		c.undisturbed(4 * sprayed)
		if st := c.Close(); st.A.Lost+st.B.Lost != 0 || st.A.RxPackets != uint64(c.seq) || st.B.RxPackets != uint64(c.seq) || st.A.SSRC != ssrcA {
			t.Errorf("A %+v\nB %+v\nwant %d packets of each", st.A, st.B, c.seq)
		}
	}
	if st := unnamed.Close(); st.A.Dropped != (Drops{WrongSource: 2 * sprayed}) || st.A.TxPackets+st.A.TxRTCP+st.B.TxPackets+st.B.TxRTCP != 0 {
		t.Errorf("got %+v of a session without peers; want %d from wrong sources", st.A, 2*sprayed)
	}
	for _, s := range strangers {
		s.expectNothing()
	}
}

// A flood on the port of one call does not affect other calls: all their packets arrive, and in
// time. The flooded call itself loses only packets for which its socket has no room.
func TestFloodOnOnePort(t *testing.T) {
	noLeaks(t)
	e := openEngine(t, nil)
	flooded, other := newAttacked(t, e), newAttacked(t, e)
	stranger := newClient(t, "127.0.9.1:0")
	other.speak()
	over, flood := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(flood)
		for {
			select {
			case <-over:
				return
			default:
				_, _ = stranger.conn.WriteToUDPAddrPort(rtpPacket(t, 0, 1, "flood"), flooded.Local(SideA))
			}
		}
	}()
	for i := 0; i < 300 || flooded.Stats().A.Dropped.WrongSource < 300; i++ {
		other.speak()
	}
	close(over)
	<-flood
	await(t, "what waits at the socket is read", func() bool { return waiting(t, flooded.Local(SideA)) == 0 })
	other.undisturbed(0)
	stranger.expectNothing()
	flooded.speak()
}

// waiting returns the number of bytes queued at one of our UDP sockets.
func waiting(t *testing.T, at netip.AddrPort) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/udp")
	must(t, err)
	host := at.Addr().As4()
	_, row, found := strings.Cut(string(text), fmt.Sprintf(": %08X:%04X ", binary.NativeEndian.Uint32(host[:]), at.Port()))
	if !found {
		t.Fatalf("no socket at %v", at)
	}
	_, queue, _ := strings.Cut(strings.Fields(row)[2], ":") // the field after the peer's address and the state
	if _, err := fmt.Sscanf(queue, "%X", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A host that knows everything about a stream but is not its source changes nothing while the side
// is heard. This holds for other hosts and for other ports of the side's own host.
func TestInjectionFromElsewhere(t *testing.T) {
	noLeaks(t)
	c := newAttacked(t, openEngine(t, nil))
	stranger, otherPort := newClient(t, "127.0.9.1:0"), newClient(t, "127.0.1.1:0")
	c.speak()
	const n = 200
	for range n {
		next := sourcePacket(t, ssrcA, c.seq+1) // correct in every field, and a moment early
		copy(next[packet.HeaderLen:], "EVIL!")
		stranger.send(c.Local(SideA), next)
		otherPort.send(c.Local(SideA), next)
		c.speak()
	}
	c.undisturbed(2 * n)
	for _, s := range []*client{stranger, otherPort} {
		s.expectNothing()
	}
	if st := c.Close(); st.A.Lost+st.A.Duplicates+st.A.SSRCChanges != 0 || st.A.Source != c.a.addr {
		t.Errorf("got %+v; want a stream of %v without a flaw", st.A, c.a.addr)
	}
}

// forgedReports returns RTCP that an attacker who knows the SSRCs can forge about the sides'
// streams: bad statistics and BYEs.
func forgedReports(tb testing.TB, ssrc, about uint32) map[string][]byte {
	tb.Helper()
	bad := []rtcp.ReceptionReport{{SSRC: about, FractionLost: 255, TotalLost: 1e6, Jitter: 1e6, LastSenderReport: 1, Delay: 1}}
	return map[string][]byte{
		"SR":      compound(tb, &rtcp.SenderReport{SSRC: ssrc, NTPTime: ntp(1), Reports: bad}),
		"RR":      compound(tb, &rtcp.ReceiverReport{SSRC: ssrc, Reports: bad}),
		"BYE":     compound(tb, &rtcp.Goodbye{Sources: []uint32{ssrc}}),
		"RR, BYE": compound(tb, &rtcp.ReceiverReport{SSRC: ssrc, Reports: bad}, &rtcp.Goodbye{Sources: []uint32{ssrc}}),
	}
}

func TestForgedReports(t *testing.T) {
	noLeaks(t)
	c := newAttacked(t, openEngine(t, nil))
	stranger, otherPort := newClient(t, "127.0.9.1:0"), newClient(t, "127.0.1.1:0")
	to, strays := rtcpOf(c.Local(SideA)), uint64(0)
	forge := func(from *client, pkt []byte) {
		from.send(to, pkt)
		strays++
	}
	c.speak()
	// As long as the side has sent no RTCP, RTCP from another address is refused, and RTCP from the
	// side's own address is accepted only with the stream's SSRC and without a goodbye.
	for _, pkt := range forgedReports(t, ssrcA, ssrcB) {
		forge(stranger, pkt)
	}
	for _, pkt := range forgedReports(t, 0x5555, ssrcB) {
		forge(otherPort, pkt)
	}
	forge(otherPort, forgedReports(t, ssrcA, ssrcB)["BYE"])
	forge(otherPort, forgedReports(t, ssrcA, ssrcB)["RR, BYE"])
	c.undisturbed(strays)
	if st := c.Stats().A; st.Remote != (remoteReport{}) || st.RTT != 0 || st.RxRTCP != 0 {
		t.Errorf("got %+v, %v, %d; want nothing of what was forged", st.Remote, st.RTT, st.RxRTCP)
	}
	// Once the side's RTCP is known, the right SSRC doesn't help either.
	c.report()
	c.bRTCP.send(rtcpOf(c.Local(SideB)), compound(t, &rtcp.SenderReport{SSRC: ssrcB, NTPTime: ntp(1)}))
	c.aRTCP.read()
	genuine := compound(t, &rtcp.ReceiverReport{SSRC: ssrcA, Reports: []rtcp.ReceptionReport{{SSRC: ssrcB, FractionLost: 64, LastSenderReport: 1}}})
	c.aRTCP.send(to, genuine)
	c.bRTCP.expect(rtcpOf(c.Local(SideB)), genuine)
	before := c.Stats().A
	if before.RTT <= 0 || before.Remote.FractionLost != 0.25 {
		t.Fatalf("got %v, %+v; want figures", before.RTT, before.Remote)
	}
	for range 5 {
		for _, from := range []*client{stranger, otherPort} {
			for _, pkt := range forgedReports(t, ssrcA, ssrcB) {
				forge(from, pkt)
			}
		}
		c.speak()
		c.report()
	}
	c.undisturbed(strays)
	if st := c.Close().A; st.Remote != before.Remote || st.RTT != before.RTT {
		t.Errorf("got %+v, %v; want as before, %+v, %v", st.Remote, st.RTT, before.Remote, before.RTT)
	}
	for _, s := range []*client{stranger, otherPort} {
		s.expectNothing()
	}
}

// If RTP and RTCP share a port, reports are accepted only from the source of RTP.
func TestForgedMuxedReports(t *testing.T) {
	noLeaks(t)
	c := newAttacked(t, openEngine(t, nil))
	c.SetPeer(SideA, Peer{RTP: c.a.addr, Mux: true})
	strays := uint64(0)
	forge := func() {
		for _, from := range []string{"127.0.9.1:0", "127.0.1.1:0"} { // the second is the side's address
			s := newClient(t, from)
			for _, pkt := range forgedReports(t, ssrcA, ssrcB) {
				s.send(c.Local(SideA), pkt)
				strays++
			}
			defer s.expectNothing()
		}
	}
	forge()
	c.speak()
	forge()
	genuine := rtcpPacket(t, ssrcA)
	c.a.send(c.Local(SideA), genuine)
	c.bRTCP.expect(rtcpOf(c.Local(SideB)), genuine)
	forge()
	c.speak()
	c.undisturbed(strays)
	if st := c.Close().A; st.Remote != (remoteReport{}) || st.RTT != 0 || st.RxRTCP != 1 {
		t.Errorf("got %+v, %v, %d reports; want one, and nothing of what was forged", st.Remote, st.RTT, st.RxRTCP)
	}
}

// This is the limit of the protection: until the side's own RTCP arrives, a report with the right
// SSRC from any port of the side's address counts as the side's, because a NAT may have chosen the
// port. A report from the address in the SDP takes the lock back at once.
func TestReportsOfANATedSide(t *testing.T) {
	noLeaks(t)
	c := newAttacked(t, openEngine(t, nil))
	otherPort := newClient(t, "127.0.1.1:0")
	c.speak()
	pkt, back := rtcpPacket(t, ssrcA), rtcpPacket(t, ssrcB)
	otherPort.send(rtcpOf(c.Local(SideA)), pkt)
	c.bRTCP.expect(rtcpOf(c.Local(SideB)), pkt)
	c.bRTCP.send(rtcpOf(c.Local(SideB)), back)
	otherPort.expect(rtcpOf(c.Local(SideA)), back)
	c.report()
	otherPort.send(rtcpOf(c.Local(SideA)), pkt)
	c.undisturbed(1)
	otherPort.expectNothing()
}

// Before a side is heard, it is sent no more packets than arrive for it, and only at the address
// in its SDP. No other address is sent anything. SRTP adds only its tag and MKI.
func TestNoAmplification(t *testing.T) {
	for name, suite := range map[string]Suite{"RTP": 0, "SRTP": SuiteAEADAES128GCM} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s := newSecured(t, [2]Suite{0, suite})
			const n = 50
			in, out := 0, 0
			for seq := range uint16(n) {
				pkt := sourcePacket(t, ssrcA, seq)
				s.a.send(s.Local(SideA), pkt)
				got, _ := s.b.read()
				in, out = in+len(pkt), out+len(got)
			}
			most := in
			if suite != 0 {
				most += n * (suites[suite].tag + len(s.crypto[SideB].Send.MKI))
			}
			if out != most {
				t.Errorf("%d bytes left for %d that came; want %d", out, in, most)
			}
			s.b.expectNothing()
			s.a.expectNothing()
			if st := s.Close(); st.B.TxPackets != n || st.B.TxRTCP+st.A.TxPackets+st.A.TxRTCP != 0 {
				t.Errorf("A %+v\nB %+v\nwant %d packets to side B", st.A, st.B, n)
			}
		})
	}
}

// Only an authentic packet locks a source, and only once: a copy locks nothing from another
// address, after another offer, or after a change of keys.
func TestReplayFromElsewhere(t *testing.T) {
	noLeaks(t)
	s := newSecured(t, [2]Suite{SuiteAESCM128SHA80, 0})
	thief := newClient(t, "127.0.1.1:0") // the side's address, another port
	var taken [][]byte
	for seq := range uint16(20) {
		taken = append(taken, bytes.Clone(s.says(SideA, rtpPacket(t, 0, seq, "true"))))
		s.hears(SideB)
	}
	replay := func(when string, want Drops) {
		t.Helper()
		before := s.Stats().A.DroppedTotal
		for _, pkt := range taken {
			thief.send(s.Local(SideA), pkt)
		}
		await(t, when, func() bool { return s.Stats().A.DroppedTotal >= before+uint64(len(taken)) })
		st := s.Stats().A
		if st.Dropped != want || st.Source == thief.addr {
			t.Errorf("%s: dropped %+v, locked on %v; want %+v", when, st.Dropped, st.Source, want)
		}
	}
	replay("after the lock", Drops{Replayed: 20})
	moved := newClient(t, "127.0.1.1:0")
	s.SetPeer(SideA, Peer{RTP: moved.addr})
	s.a = moved
	replay("after another offer", Drops{Replayed: 40})
	s.crypto[SideA].Receive = testKeys(SuiteAESCM128SHA80, 77)
	must(t, s.SetCrypto(SideA, s.crypto[SideA]))
	replay("under other keys", Drops{Replayed: 60})
	s.seals[SideA] = far(t, s.crypto[SideA].Receive)
	// The roll-over counter of a source that was known continues, and ours continues with it.
	s.says(SideA, rtpPacket(t, 0, 20, "true"))
	if got := s.hears(SideB); binary.BigEndian.Uint16(got[2:]) != 20 {
		t.Errorf("got % x", got)
	}
	s.b.expectNothing()
	thief.expectNothing()
	if st := s.Close(); st.A.Source != moved.addr {
		t.Errorf("locked on %v; want %v", st.A.Source, moved.addr)
	}
}
