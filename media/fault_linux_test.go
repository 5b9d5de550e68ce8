package media

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pion/rtp"

	"flowbridge/media/latch"
	"flowbridge/media/packet"
)

// Disorder in the network is passed on and counted. Repairing it would take time, which the receiver's jitter
// buffer has and the relay has not.
func TestPassesDisorderOn(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	for _, seq := range []uint16{1, 2, 2, 2, 5, 4, 3, 7, 6, 7, 65530, 8, 9} { // 65530 is from before the first packet
		br.carries(rtpPacket(t, 0, seq, fmt.Sprint(seq)))
	}
	st := br.Close().A
	if st.Lost != 0 || st.Duplicates != 3 || st.Reordered != 4 || st.RxPackets != 13 || st.DroppedTotal != 0 {
		t.Errorf("%d lost, %d twice, %d reordered of %d, %d dropped; want 0, 3, 4 of 13, 0", st.Lost, st.Duplicates, st.Reordered, st.RxPackets, st.DroppedTotal)
	}
}

// rich returns an RTP packet with every optional header field and padding.
func rich(tb testing.TB, seq uint16) []byte {
	tb.Helper()
	p := rtp.Packet{
		Header: rtp.Header{
			Version: 2, Marker: true, SequenceNumber: seq, Timestamp: uint32(seq) * 160, SSRC: 0xcafe0001, CSRC: []uint32{1, 2},
		},
		Payload:     []byte("0123456789"),
		PaddingSize: 4,
	}
	must(tb, p.SetExtension(1, []byte{7, 8}))
	b, err := p.Marshal()
	must(tb, err)
	return b
}

// Packets are cut at every length, in every kind of session and on every port. A packet that is not valid any
// more is counted and not relayed, a valid one is relayed, and so is always the next whole packet.
func TestCutPackets(t *testing.T) {
	for name, suite := range map[string]Suite{"RTP": 0, "SRTP": SuiteAESCM128SHA80, "SRTP, AEAD": SuiteAEADAES128GCM} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s := newSecured(t, [2]Suite{suite, 0})
			aRTCP, bRTCP := newClient(t, "127.0.1.1:0"), newClient(t, "127.0.2.1:0")
			s.SetPeer(SideA, Peer{RTP: s.a.addr, RTCP: aRTCP.addr})
			s.SetPeer(SideB, Peer{RTP: s.b.addr, RTCP: bRTCP.addr})
			s.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 0}) // so that payloads are parsed
			seq, bad := uint16(100), uint64(0)
			s.carries(SideA, rich(t, seq))
			for n := range 41 {
				seq++
				for _, whole := range [][]byte{rich(t, seq), rtpPacket(t, 0, seq, "0123456789012345678901234567"), rtcpPacket(t, 0xcafe0001)} {
					cut := whole[:min(n, len(whole))]
					s.a.send(s.Local(SideA), cut)
					if _, ok := packet.ParseRTP(cut); ok && suite == 0 {
						s.b.expect(s.Local(SideB), cut)
					} else {
						bad++
					}
					aRTCP.send(rtcpOf(s.Local(SideA)), cut)
					if suite == 0 && packet.ValidRTCP(cut) {
						bRTCP.expect(rtcpOf(s.Local(SideB)), cut)
					} else {
						bad++
					}
				}
				s.carries(SideA, rich(t, seq))
			}
			await(t, "the rest", func() bool { return s.Stats().A.DroppedTotal == bad })
			s.b.expectNothing()
			bRTCP.expectNothing()
			if d := s.Close().A.Dropped; d.Malformed+d.Unauthentic != bad || (suite == 0) != (d.Unauthentic == 0) {
				t.Errorf("dropped %+v; want %d malformed or unauthentic", d, bad)
			}
		})
	}
}

// The longest packet that is relayed has 1500 bytes. With SRTP it may be longer when it leaves. A packet that
// is longer than the buffer must not be taken for its beginning.
func TestLongPackets(t *testing.T) {
	for name, suite := range map[string]Suite{"RTP": 0, "into SRTP": SuiteAEADAES128GCM} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s := newSecured(t, [2]Suite{0, suite})
			seq := uint16(0)
			for _, size := range []int{1499, maxPacket, maxPacket + 1, bufferSize, bufferSize + 1, 9000, 65507} {
				seq++
				pkt := rtpPacket(t, 0, seq, strings.Repeat("x", size-packet.HeaderLen))
				s.says(SideA, pkt)
				if size <= maxPacket && !bytes.Equal(s.hears(SideB), pkt) {
					t.Errorf("%d bytes did not arrive as they were", size)
				}
			}
			s.carries(SideA, rtpPacket(t, 0, seq+1, "as ever"))
			await(t, "the rest", func() bool { return s.Stats().A.DroppedTotal == 5 }) // the kernel may have been faster
			s.b.expectNothing()
			if st := s.Close().A; st.Dropped != (Drops{Oversize: 5}) || st.RxPackets != 3 {
				t.Errorf("got %+v; want 3 packets and 5 that are too long", st)
			}
		})
	}
}

// The sequence number wraps several times, also with SRTP, whose packet numbers continue (RFC 3711 §3.3.1).
func TestNumbersWrapOverAndOver(t *testing.T) {
	for name, suites := range map[string][2]Suite{
		"RTP": {}, "SRTP": {SuiteAESCM128SHA80, SuiteAEADAES256GCM}, "SRTP on one side": {0, SuiteAESCM128SHA32},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s := newSecured(t, suites)
			const step, cycles = 2500, 6
			n := uint64(0)
			for number := 0; number < cycles<<16; number += step {
				s.carries(SideA, rtpPacket(t, 0, uint16(number), fmt.Sprint(number)))
				n++
			}
			st := s.Close().A
			if st.Wraps != cycles-1 || st.RxPackets != n || st.Lost != (n-1)*(step-1) || st.DroppedTotal != 0 {
				t.Errorf("%d wraps, %d packets, %d lost; want %d, %d, %d", st.Wraps, st.RxPackets, st.Lost, cycles-1, n, (n-1)*(step-1))
			}
		})
	}
}

// A source that changes its SSRC again and again remains one stream for the other side. After each change, the
// two packets that prove the new SSRC are lost.
func TestSourceChangesItsSSRC(t *testing.T) {
	l := newLine(t)
	const changes, each = 20, 30
	for i := range uint32(changes) {
		l.talkOn(0x100+i, uint16(i*7919), each)
		l.pass(latch.StreamSilence)
	}
	got := l.take()
	checkOrder(t, got)
	if want := each + (changes-1)*(each-latch.ProofFirst+1); len(got) != want {
		t.Errorf("%d packets heard; want %d", len(got), want)
	}
	if st := l.r.ledger.stats(l.w.epoch).A; st.SSRCChanges != changes-1 || st.Lost != 0 || st.Dropped != (Drops{WrongSSRC: (changes - 1) * (latch.ProofFirst - 1)}) {
		t.Errorf("%d changes, %d lost, dropped %+v", st.SSRCChanges, st.Lost, st.Dropped)
	}
}

// The other side's port is closed for a while, so that each packet causes an ICMP error. The sockets are not
// connected, so they do not get these errors.
func TestPeerIsUnreachable(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	seq := uint16(0)
	talk := func(heard bool) {
		for range 20 {
			seq++
			there, back := rtpPacket(t, 0, seq, "there"), rtpPacket(t, 0, seq, "back")
			br.a.send(br.Local(SideA), there)
			if heard {
				br.b.expect(br.Local(SideB), there)
				br.b.send(br.Local(SideB), back)
				br.a.expect(br.Local(SideA), back)
			}
		}
	}
	talk(true)
	_ = br.b.conn.Close()
	talk(false)
	await(t, "what is sent to nobody", func() bool { return br.Stats().B.TxPackets == uint64(seq) })
	br.b = newClient(t, br.b.addr.String())
	talk(true)
	st := br.Close()
	if st.A.DroppedTotal+st.B.DroppedTotal != 0 || st.B.TxPackets != 60 || st.B.RxPackets != 40 {
		t.Errorf("A %+v\nB %+v\nwant 60 sent to side B, 40 of it, and no drops", st.A, st.B)
	}
}

// Setting the system's clock has no effect on media: times are durations since the engine was opened, on the
// monotonic clock, which time.Since uses. A test can't set the clock, and a namespace has no wall clock of its
// own. So this test checks that nothing reads another clock.
func TestNothingReadsTheWallClock(t *testing.T) {
	e := openEngine(t, nil)
	if !strings.Contains(e.epoch.String(), " m=") {
		t.Errorf("the epoch %v has no monotonic reading", e.epoch)
	}
	sources, err := filepath.Glob("*.go")
	must(t, err)
	var reads []string
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				reads = append(reads, clockReads(f)...)
			}
		}
	}
	slices.Sort(reads)
	// The clock is read once for the epoch, and once per wake-up, when packets or commands arrive, or when
	// sessions and resting sockets are due.
	if want := []string{"Open: time.Now", "now: time.Since", "rest: time.Since", "tendSockets: time.NewTicker", "turn: time.Since", "turn: time.Since"}; !slices.Equal(reads, want) {
		t.Errorf("the clock is read by %q; want %q", reads, want)
	}
}

// clockReads returns the calls by which a function reads the time or waits for a time.
func clockReads(f *ast.FuncDecl) (reads []string) {
	ask := []string{
		"time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.Tick", "time.NewTimer", "time.NewTicker",
		"unix.ClockGettime", "unix.Gettimeofday", "unix.Time",
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && slices.Contains(ask, x.Name+"."+s.Sel.Name) {
				reads = append(reads, f.Name.Name+": "+x.Name+"."+s.Sel.Name)
			}
		}
		return true
	})
	return reads
}
