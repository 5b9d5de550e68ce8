package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"flowbridge/media/packet"
)

// secured is a bridge whose sides may use SRTP, with the SRTP contexts of the clients at
// the far ends.
type secured struct {
	*bridge
	crypto  [2]Crypto
	seals   [2]*srtp.Context // encrypts the packets that each side sends; nil means plain RTP
	unseals [2]*srtp.Context
}

func newSecured(t *testing.T, suites [2]Suite) *secured {
	t.Helper()
	s := &secured{bridge: newBridge(t, openEngine(t, nil))}
	for side, suite := range suites {
		if suite == 0 {
			continue
		}
		s.crypto[side] = Crypto{Receive: testKeys(suite, byte(10+side)), Send: testKeys(suite, byte(20+side), 5)}
		s.seals[side], s.unseals[side] = far(t, s.crypto[side].Receive), far(t, s.crypto[side].Send)
		must(t, s.SetCrypto(Side(side), s.crypto[side]))
	}
	return s
}

func (s *secured) client(side Side) *client {
	if side == SideA {
		return s.a
	}
	return s.b
}

// says sends a packet from a side, protected if the side uses SRTP.
func (s *secured) says(from Side, pkt []byte) []byte {
	c := s.client(from)
	c.t.Helper()
	if s.seals[from] != nil {
		pkt = farSeals(c.t, s.seals[from], pkt)
	}
	c.send(s.Local(from), pkt)
	return pkt
}

// hears reads a packet that a side receives and removes the protection.
func (s *secured) hears(side Side) []byte {
	c := s.client(side)
	c.t.Helper()
	pkt, _ := c.read()
	if s.unseals[side] == nil {
		return pkt
	}
	plain, err := s.unseals[side].DecryptRTP(nil, pkt, nil)
	if err != nil {
		c.t.Fatalf("side %v got % x: %v", side, pkt, err)
	}
	return plain
}

func (s *secured) carries(from Side, pkt []byte) {
	c := s.client(from)
	c.t.Helper()
	s.says(from, pkt)
	if got := s.hears(from.Other()); !bytes.Equal(got, pkt) {
		c.t.Fatalf("side %v said % x and the other one heard % x", from, pkt, got)
	}
}

func TestSecureRelay(t *testing.T) {
	pairs := [][2]Suite{{SuiteAESCM128SHA80, SuiteAEADAES256GCM}, {SuiteAES256CMSHA32, SuiteAESCM128SHA32}}
	for _, s := range allSuites {
		pairs = append(pairs, [2]Suite{s, 0}, [2]Suite{0, s})
	}
	for _, pair := range pairs {
		t.Run(fmt.Sprintf("%v and %v", pair[0], pair[1]), func(t *testing.T) {
			s := newSecured(t, pair)
			for seq := range uint16(20) {
				s.carries(SideA, rtpPacket(t, 0, 100+seq, "from a"))
				s.carries(SideB, rtpPacket(t, 0, 900+seq, "from b, which says more"))
			}
			st := s.Close()
			if st.A.DroppedTotal+st.B.DroppedTotal != 0 || st.A.RxPackets != 20 || st.B.TxPackets != 20 || st.A.Source != s.a.addr || st.A.Lost != 0 {
				t.Errorf("A %+v\nB %+v", st.A, st.B)
			}
			if want := uint64(20 * (packet.HeaderLen + len("from a"))); st.A.RxBytes != want || st.B.TxBytes != want {
				t.Errorf("%d and %d bytes; want %d, without what SRTP adds", st.A.RxBytes, st.B.TxBytes, want)
			}
		})
	}
}

func TestSecureReports(t *testing.T) {
	s := newSecured(t, [2]Suite{SuiteAESCM128SHA32, SuiteAEADAES128GCM})
	a, b := newClient(t, "127.0.1.1:0"), newClient(t, "127.0.2.1:0")
	s.SetPeer(SideA, Peer{RTP: s.a.addr, RTCP: a.addr})
	s.SetPeer(SideB, Peer{RTP: s.b.addr, RTCP: b.addr})
	report := rtcpPacket(t, 77)
	for range 3 {
		sealed, err := s.seals[SideA].EncryptRTCP(nil, report, nil)
		must(t, err)
		a.send(rtcpOf(s.Local(SideA)), sealed)
		got, _ := b.read()
		if plain, err := s.unseals[SideB].DecryptRTCP(nil, got, nil); err != nil || !bytes.Equal(plain, report) {
			t.Fatalf("got % x, %v; want % x", plain, err, report)
		}
	}
	a.send(rtcpOf(s.Local(SideA)), report)
	await(t, "the plain report", func() bool { return s.Stats().A.Dropped.Unauthentic == 1 })
	b.expectNothing()
}

// Only an authentic packet locks a source, whatever its address is.
func TestUnauthenticLocksNothing(t *testing.T) {
	s := newSecured(t, [2]Suite{SuiteAESCM128SHA80, 0})
	stranger := newClient(t, "127.0.1.1:0") // the address is believed, with any port
	forged := farSeals(t, far(t, testKeys(SuiteAESCM128SHA80, 99)), rtpPacket(t, 0, 1, "forged"))
	stranger.send(s.Local(SideA), forged)
	stranger.send(s.Local(SideA), rtpPacket(t, 0, 1, "plain RTP, long enough to have a tag"))
	stranger.send(s.Local(SideA), []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}) // STUN
	await(t, "the drops", func() bool { return s.Stats().A.DroppedTotal == 3 })
	if st := s.Stats(); st.A.Source.IsValid() || st.A.Dropped != (Drops{Unauthentic: 2, Malformed: 1}) || st.A.RxPackets != 0 {
		t.Errorf("got %+v; want 2 unauthentic, 1 malformed and no source", st.A)
	}
	// One authentic packet is enough proof, even from another port than the one in the SDP.
	s.a = newClient(t, "127.0.1.1:0")
	s.carries(SideA, rtpPacket(t, 0, 5, "true"))
	again := s.says(SideA, rtpPacket(t, 0, 6, "true"))
	s.hears(SideB)
	s.a.send(s.Local(SideA), again)
	await(t, "the replay", func() bool { return s.Stats().A.Dropped.Replayed == 1 })
	s.b.expectNothing()
	if st := s.Close(); st.A.Source != s.a.addr || len(s.events) != 1 {
		t.Errorf("source %v, %d events; want %v and one", st.A.Source, len(s.events), s.a.addr)
	}
}

// If a side sends from another address, its packet numbers continue.
func TestSecureSourceChange(t *testing.T) {
	s := newSecured(t, [2]Suite{0, SuiteAESCM128SHA80})
	for seq := range uint16(70) {
		s.carries(SideB, rtpPacket(t, 0, 65500+seq, "before"))
	}
	after := newClient(t, "127.0.2.9:0") // the same peer at another address, so its packet numbers continue
	s.SetPeer(SideB, Peer{RTP: after.addr})
	s.b = after
	for seq := range uint16(10) {
		s.carries(SideB, rtpPacket(t, 0, 34+seq, "after"))
		s.carries(SideA, rtpPacket(t, 0, seq, "to it"))
	}
	if st := s.Close(); st.B.DroppedTotal != 0 || st.B.RxPackets != 80 || st.B.Lost != 0 {
		t.Errorf("got %+v; want 80 packets and no drops", st.B)
	}
}

func TestSecureAgain(t *testing.T) {
	s := newSecured(t, [2]Suite{SuiteAESCM128SHA80, 0})
	set := func(c Crypto) {
		t.Helper()
		s.crypto[SideA] = c
		must(t, s.SetCrypto(SideA, c))
	}
	seq := uint16(65500)
	talk := func(n int) {
		t.Helper()
		for range n {
			s.carries(SideA, rtpPacket(t, 0, seq, "from a"))
			s.carries(SideB, rtpPacket(t, 0, seq-1<<15, "to a")) // a number that SRTP need not change
			seq++
		}
	}
	talk(100)
	set(s.crypto[SideA])
	talk(10)
	old := s.seals[SideA]
	set(Crypto{Receive: testKeys(SuiteAEADAES128GCM, 50), Send: s.crypto[SideA].Send})
	s.carries(SideA, rtpPacket(t, 0, seq, "under the former keys"))
	seq++
	s.seals[SideA] = far(t, s.crypto[SideA].Receive)
	s.seals[SideA].SetROC(0xcafe0001, 1)
	s.carries(SideA, rtpPacket(t, 0, seq, "under the new ones"))
	seq++
	late := farSeals(t, old, rtpPacket(t, 0, seq, "late"))
	s.a.send(s.Local(SideA), late)
	if got := s.hears(SideB); !bytes.Contains(got, []byte("late")) {
		t.Errorf("got % x", got)
	}
	seq++
	talk(10)

	set(Crypto{}) // plain RTP again; the keys are forgotten
	s.seals[SideA], s.unseals[SideA] = nil, nil
	for range 10 {
		s.carries(SideA, rtpPacket(t, 0, seq, "from a"))
		s.carries(SideB, rtpPacket(t, 0, seq-1<<15, "to a"))
		seq++
	}
	if err := s.SetCrypto(SideA, Crypto{Send: &Keys{Suite: SuiteAESCM128SHA80}}); !errors.Is(err, errKeys) {
		t.Errorf("got %v; want ErrKeys", err)
	}
	if st := s.Close(); st.A.DroppedTotal+st.B.DroppedTotal != 0 {
		t.Errorf("A %+v\nB %+v", st.A.Dropped, st.B.Dropped)
	}
	if err := s.SetCrypto(SideA, s.crypto[SideA]); err != nil {
		t.Errorf("on a closed session: %v", err)
	}
}

// Digits are also encrypted. Packets that are relayed after them get unused numbers.
func TestSecureDigits(t *testing.T) {
	s := newSecured(t, [2]Suite{0, SuiteAESCM128SHA80})
	for seq := range uint16(5) {
		s.carries(SideA, rtpPacket(t, 0, seq, "speech"))
	}
	must(t, s.SendDigit(SideB, Digit{Digit: '5', Duration: 40 * ms, PayloadType: 101}))
	packets := uint16(0)
	for ends := 0; ends < digitEnds; packets++ { // a late worker leaves out some packets before the end
		got := s.hears(SideB)
		e, ok := packet.ParseEvent(packet.Payload(got))
		if got[1]&0x7f != 101 || !ok || e.Code != 5 {
			t.Fatalf("got % x; want the digit 5", got)
		}
		if e.End {
			ends++
		}
	}
	s.carriesShifted(rtpPacket(t, 0, 9, "speech"), packets)
	if st := s.Close(); st.A.DroppedTotal != 0 || st.B.TxPackets != uint64(packets)+6 {
		t.Errorf("A %+v, %d packets sent; want %d of the digit and 6", st.A.Dropped, st.B.TxPackets, packets)
	}
}

// carriesShifted makes side A send a packet, which must arrive at side B with its number
// shifted by by. Its timestamp may be shifted, too, in case the test is late.
func (s *secured) carriesShifted(pkt []byte, by uint16) {
	s.b.t.Helper()
	s.says(SideA, pkt)
	got, want := s.hears(SideB), bytes.Clone(pkt)
	binary.BigEndian.PutUint16(want[2:], binary.BigEndian.Uint16(pkt[2:])+by)
	copy(want[4:8], got[4:8])
	if !bytes.Equal(got, want) {
		s.b.t.Fatalf("heard % x; want % x", got, want)
	}
}

// secure gives these sides of all sessions of a bench SRTP keys. The returned context
// encrypts packets for side A.
func (b *bench) secure(a, z Suite) *srtp.Context {
	b.tb.Helper()
	var seals *srtp.Context
	for _, r := range b.relays {
		for side, suite := range []Suite{a, z} {
			if suite == 0 {
				continue
			}
			in, out := testKeys(suite, byte(10+side)), testKeys(suite, byte(20+side))
			r.secure[side].set(cryptoChange{in: opening(b.tb, in), out: sealing(b.tb, out)})
			if side == 0 {
				seals = far(b.tb, in)
			}
		}
	}
	return seals
}

// fresh sets the packet that the bench offers next, with this number, encrypted if seals
// is set.
func (b *bench) fresh(seq uint16, seals *srtp.Context, plain []byte) {
	binary.BigEndian.PutUint16(plain[2:], seq)
	b.packet = plain
	if seals != nil {
		b.packet = farSeals(b.tb, seals, plain)
	}
}

func (b *bench) drain() {
	for range b.relays {
		b.arrives(b.to)
		if n, errno := receive(b.to, b.sink[:], &b.source); errno != 0 || n < packet.HeaderLen {
			b.tb.Fatalf("got %d bytes, %v", n, errno)
		}
	}
}

// BenchmarkSecureRelay is BenchmarkRelay with SRTP on one side or both.
func BenchmarkSecureRelay(b *testing.B) {
	pairs := [][2]Suite{{}, {SuiteAESCM128SHA80, SuiteAESCM128SHA80}, {SuiteAEADAES128GCM, SuiteAEADAES128GCM}}
	for _, s := range allSuites {
		pairs = append(pairs, [2]Suite{s, 0}, [2]Suite{0, s})
	}
	for _, p := range pairs {
		b.Run(p[0].String()+"-"+p[1].String(), func(b *testing.B) {
			r := newBench(b, 32)
			seals := r.secure(p[0], p[1])
			plain := bytes.Clone(r.packet)
			b.ReportAllocs()
			var spent time.Duration
			packets, seq := 0, uint16(0)
			for b.Loop() {
				r.fresh(seq, seals, plain)
				seq++
				r.offer(r.from)
				begin := time.Now()
				r.carry()
				spent += time.Since(begin)
				r.drain()
				packets += len(r.relays)
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(packets), "ns/packet")
		})
	}
}
