package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"flowbridge/media/packet"
)

func TestRelaysBothWays(t *testing.T) {
	v4, v6 := relayV4, relayV6
	for _, tt := range []struct {
		name  string
		addr  [2]netip.Addr
		hosts [2]string
	}{
		{"default", [2]netip.Addr{}, [2]string{"127.0.1.1:0", "127.0.2.1:0"}},
		{"v4 to v4", [2]netip.Addr{v4, v4}, [2]string{"127.0.1.1:0", "127.0.2.1:0"}},
		{"v6 to v6", [2]netip.Addr{v6, v6}, [2]string{"[::1]:0", "[::1]:0"}},
		{"v4 to v6", [2]netip.Addr{v4, v6}, [2]string{"127.0.1.1:0", "[::1]:0"}},
		{"v6 to v4", [2]netip.Addr{v6, v4}, [2]string{"[::1]:0", "127.0.2.1:0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := openEngine(t, nil)
			s := newSession(t, e, SessionConfig{Addr: tt.addr})
			a, b := newClient(t, tt.hosts[0]), newClient(t, tt.hosts[1])
			aRTCP, bRTCP := newClient(t, tt.hosts[0]), newClient(t, tt.hosts[1])
			s.SetPeer(SideA, Peer{RTP: a.addr, RTCP: aRTCP.addr})
			s.SetPeer(SideB, Peer{RTP: b.addr, RTCP: bRTCP.addr})
			for side := range 2 {
				if l := s.Local(Side(side)); l.Port()%2 != 0 || tt.addr[side].IsValid() && l.Addr() != tt.addr[side] {
					t.Errorf("side %v is bound to %v", Side(side), l)
				}
			}

			const n = 100
			var bytes uint64
			for seq := range uint16(n) {
				there, back := rtpPacket(t, 0, seq, "from a"), rtpPacket(t, 101, 500+seq, "from the agent")
				a.send(s.Local(SideA), there)
				b.expect(s.Local(SideB), there)
				b.send(s.Local(SideB), back)
				a.expect(s.Local(SideA), back)
				bytes += uint64(len(there))
			}
			report := rtcpPacket(t, 1)
			aRTCP.send(rtcpOf(s.Local(SideA)), report)
			bRTCP.expect(rtcpOf(s.Local(SideB)), report)
			bRTCP.send(rtcpOf(s.Local(SideB)), report)
			aRTCP.expect(rtcpOf(s.Local(SideA)), report)

			st := s.Close()
			want := SideStats{
				RxPackets: n, RxBytes: bytes, TxPackets: n, TxBytes: st.B.RxBytes,
				RxRTCP: 1, TxRTCP: 1, Source: a.addr, SSRC: 0xcafe0001,
			}
			ignore := cmpopts.IgnoreFields(SideStats{}, "FirstRTP", "LastRTP", "JitterMS", "JitterMaxMS", "JitterMeanMS")
			if d := cmp.Diff(want, st.Of(SideA), ignore, cmp.Comparer(func(x, y netip.AddrPort) bool { return x == y })); d != "" {
				t.Errorf("side a (-want +got):\n%s", d)
			}
			if st.B.PayloadType != 101 || st.B.RxPackets != n || st.B.TxBytes != bytes {
				t.Errorf("side b: got %+v", st.B)
			}
			if st.A.FirstRTP.Before(e.epoch) || st.A.LastRTP.Before(st.A.FirstRTP) {
				t.Errorf("first RTP %v, last %v", st.A.FirstRTP, st.A.LastRTP)
			}
		})
	}
}

func TestPassesEveryPayloadTypeUntouched(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	for pt := range uint8(128) {
		br.carries(rtpPacket(t, pt, uint16(pt), "\x01\x8a\x03\x20"))
	}
}

func TestStrangerIsDroppedCountedAndNotAnswered(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	guess := newClient(t, "127.0.9.9:0")
	first, second := rtpPacket(t, 0, 1, "x"), rtpPacket(t, 0, 2, "x")

	guess.send(br.Local(SideA), rtpPacket(t, 0, 9, "before the lock"))
	br.carries(first)
	otherPort := newClient(t, "127.0.1.1:0")
	otherPort.send(br.Local(SideA), rtpPacket(t, 0, 9, "after the lock"))
	guess.send(br.Local(SideA), rtpPacket(t, 0, 9, "after the lock"))
	br.carries(second)

	back := rtpPacket(t, 0, 3, "back")
	br.b.send(br.Local(SideB), back)
	br.a.expect(br.Local(SideA), back)
	guess.expectNothing()
	otherPort.expectNothing()
	st := br.Close()
	if st.A.Dropped != (Drops{WrongSource: 3}) || st.A.DroppedTotal != 3 || st.A.RxPackets != 2 {
		t.Errorf("got %+v; want 3 from a wrong source and 2 received", st.A)
	}
}

func TestSendsToTheSourceThatWasLatched(t *testing.T) {
	e := openEngine(t, nil)
	behindNAT, b := newClient(t, "127.0.3.3:0"), newClient(t, "127.0.2.1:0")
	got := make(chan Event, 4)
	s := newSession(t, e, SessionConfig{OnEvent: func(ev Event) { got <- ev }})
	s.SetPeer(SideA, Peer{
		RTP:      netip.MustParseAddrPort("127.0.1.1:40000"), // no client is there
		Believed: []netip.Prefix{netip.MustParsePrefix("127.0.3.0/24")},
	})
	s.SetPeer(SideB, Peer{RTP: b.addr})

	behindNAT.send(s.Local(SideA), rtpPacket(t, 8, 65535, "hello"))
	behindNAT.send(s.Local(SideA), rtpPacket(t, 8, 0, "hello"))
	pkt := rtpPacket(t, 8, 1, "hello")
	behindNAT.send(s.Local(SideA), pkt)
	b.expect(s.Local(SideB), pkt)
	b.send(s.Local(SideB), pkt)
	behindNAT.expect(s.Local(SideA), pkt)
	if want := (EventLatched{Side: SideA, Source: behindNAT.addr}); <-got != Event(want) {
		t.Errorf("want %+v first", want)
	}
	if want := (EventLatched{Side: SideB, Source: b.addr}); <-got != Event(want) {
		t.Errorf("want %+v second", want)
	}
	s.Close()
	if len(got) != 0 {
		t.Errorf("one more event: %+v", <-got)
	}
}

func TestNamedSourceTakesTheLockOver(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	other := newClient(t, "127.0.1.1:0") // a's address with another port
	for seq := range uint16(3) {
		other.send(br.Local(SideA), rtpPacket(t, 0, seq, "x"))
	}
	br.b.expect(br.Local(SideB), rtpPacket(t, 0, 2, "x"))
	for seq := range uint16(3) {
		br.a.send(br.Local(SideA), rtpPacket(t, 0, 3+seq, "y"))
	}
	if got, _ := br.b.read(); string(packet.Payload(got)) != "y" {
		t.Errorf("got % x; want the named source's", got)
	}
	for _, want := range []netip.AddrPort{other.addr, br.a.addr} {
		if ev := br.event(t); ev != Event(EventLatched{SideA, want}) {
			t.Errorf("got %+v; want a lock on %v", ev, want)
		}
	}
}

func TestChangedPeerOpensTheLatch(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	pkt := rtpPacket(t, 0, 1, "x")
	br.carries(pkt)

	br.SetPeer(SideA, Peer{RTP: br.a.addr}) // the same as before, so the lock stays
	if got := br.Stats().A.Source; got != br.a.addr {
		t.Errorf("source after the same peer: %v; want %v", got, br.a.addr)
	}
	moved := newClient(t, "127.0.1.7:0")
	br.SetPeer(SideA, Peer{RTP: moved.addr})
	await(t, "the source is forgotten", func() bool { return !br.Stats().A.Source.IsValid() })
	br.b.send(br.Local(SideB), pkt)
	moved.expect(br.Local(SideA), pkt)
	br.a.send(br.Local(SideA), pkt) // from the former source
	moved.send(br.Local(SideA), pkt)
	if got, _ := br.b.read(); binary.BigEndian.Uint16(got[2:]) != 2 {
		t.Errorf("got % x; want what follows on the first", got)
	}
	st := br.Close()
	if st.A.Source != moved.addr || st.A.Dropped.WrongSource != 1 {
		t.Errorf("got %+v; want source %v and one drop", st.A, moved.addr)
	}

	t.Run("hold", func(t *testing.T) {
		br := newBridge(t, openEngine(t, nil))
		br.SetPeer(SideB, Peer{RTP: netip.MustParseAddrPort("0.0.0.0:4000")})
		br.a.send(br.Local(SideA), pkt)
		await(t, "the drop", func() bool { return br.Stats().A.Dropped.NoDestination == 1 })
		br.b.expectNothing()
	})
}

func TestCountsWhatItCannotPass(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	good := rtpPacket(t, 0, 1, "x")
	br.a.send(br.Local(SideA), []byte("\x80\x00not"))
	br.a.send(br.Local(SideA), nil)
	br.a.send(br.Local(SideA), []byte("\x00\x01\x00\x00\x21\x12\xa4\x42 STUN to us")) // version 0
	br.a.send(br.Local(SideA), rtcpPacket(t, 1))                                      // RTCP on the RTP port
	if got := br.Stats().A.Source; got.IsValid() {
		t.Errorf("a malformed packet locked %v", got)
	}
	br.a.send(br.Local(SideA), append(good, make([]byte, maxPacket)...))
	br.a.send(br.Local(SideA), append(good, make([]byte, 4*bufferSize)...))
	largest := append(good, make([]byte, maxPacket-len(good))...)
	br.carries(largest)
	br.SetPeer(SideB, Peer{RTP: netip.MustParseAddrPort("[::1]:4000")}) // an IPv4 socket can't reach it
	br.a.send(br.Local(SideA), good)
	await(t, "the drop", func() bool { return br.Stats().A.Dropped.NoDestination == 1 })
	br.SetPeer(SideB, Peer{RTP: netip.MustParseAddrPort("255.255.255.255:4000")}) // fails with EACCES without SO_BROADCAST
	br.a.send(br.Local(SideA), good)
	await(t, "the error", func() bool { return br.Stats().A.Dropped.SendError == 1 })

	want := Drops{Malformed: 4, Oversize: 2, NoDestination: 1, SendError: 1}
	if got := br.Close().A; got.Dropped != want || got.RxPackets != 3 || got.DroppedTotal != 8 {
		t.Errorf("got %+v; want %+v and 3 received", got, want)
	}
}

func TestRenumbersOneDirection(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetPayloads(SideB, []PayloadChange{{From: 101, To: 96}})
	there := rtpPacket(t, 101, 1, "x")
	br.carries(there)

	br.b.send(br.Local(SideB), there)
	got, _ := br.a.read()
	h, ok := packet.ParseRTP(got)
	if want := (packet.Header{PayloadType: 96, Seq: 1, Timestamp: 160, SSRC: 0xcafe0001}); !ok || h != want {
		t.Errorf("got %+v; want %+v", h, want)
	}
	br.SetPayloads(SideB, nil)
	br.b.send(br.Local(SideB), there)
	br.a.expect(br.Local(SideA), there)
}

func TestLossIsCounted(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	for _, seq := range []uint16{65530, 65533, 65535, 2} {
		br.carries(rtpPacket(t, 0, seq, fmt.Sprint(seq)))
	}
	if st := br.Close(); st.A.Lost != 5 || st.B.Lost != 0 {
		t.Errorf("lost %d and %d; want 5 and 0", st.A.Lost, st.B.Lost)
	}
}

// A call is transferred: the side's media now comes from another endpoint, as
// another source with its own numbers (RFC 3550 §5.1). The other side gets one
// stream, in which missing packets are still missing.
func TestTransferToAnotherEndpoint(t *testing.T) {
	for name, to := range map[string]struct {
		host string
		ssrc uint32
		seq  uint16
	}{
		"elsewhere":               {"127.0.2.9:0", 0x2222, 40000},
		"behind the same address": {"127.0.2.1:0", 0x2222, 40000},
		"with the same SSRC":      {"127.0.2.9:0", 0x1111, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			br := newBridge(t, openEngine(t, nil))
			x, y := br.b, newClient(t, to.host)
			pass := func(from *client, ssrc uint32, seq, want uint16) {
				t.Helper()
				from.send(br.Local(SideB), sourcePacket(t, ssrc, seq))
				got, _ := br.a.read()
				h, _ := packet.ParseRTP(got)
				if said := string(packet.Payload(got)); h.Seq != want || h.SSRC != 0x1111 || said != "audio" {
					t.Errorf("got %+v, %q; want number %d of the first source", h, said, want)
				}
			}
			stray := func(seq uint16) { // its number would fit into the stream
				pkt := sourcePacket(t, 0x1111, seq)
				copy(packet.Payload(pkt), "stray")
				x.send(br.Local(SideB), pkt)
			}
			for _, seq := range []uint16{1, 2, 5} { // two are missing
				pass(x, 0x1111, seq, seq)
			}
			br.SetPeer(SideB, Peer{RTP: y.addr})
			stray(6)                                  // before y is heard
			for _, ahead := range []uint16{0, 1, 3} { // one is missing
				pass(y, to.ssrc, to.seq+ahead, 6+ahead)
				stray(7) // and afterwards
			}
			back := rtpPacket(t, 0, 1, "back")
			br.a.send(br.Local(SideA), back)
			y.expect(br.Local(SideB), back)
			x.expectNothing()
			await(t, "the strays", func() bool { return br.Stats().B.Dropped.WrongSource == 4 })
			st := br.Close()
			if st.B.Dropped != (Drops{WrongSource: 4}) || st.B.RxPackets != 6 || st.B.Lost != 3 || st.B.SSRC != to.ssrc || st.B.Source != y.addr {
				t.Errorf("got %+v; want 6 received of %v, 3 lost and 4 strays", st.B, y.addr)
			}
		})
	}
}
