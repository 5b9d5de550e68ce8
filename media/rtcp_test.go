package media

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"flowbridge/media/packet"
)

func compound(tb testing.TB, packets ...rtcp.Packet) []byte {
	tb.Helper()
	b, err := rtcp.Marshal(packets)
	must(tb, err)
	return b
}

// ntp returns a 64-bit timestamp with these middle 32 bits.
func ntp(middle uint32) uint64 { return 0xabcd<<48 | uint64(middle)<<16 | 0x1234 }

func TestRoundTrip(t *testing.T) {
	const second = 65536 // in units of DLSR
	for _, tt := range []struct {
		name      string
		lsr, dlsr uint32
		at        time.Duration
		want      time.Duration
	}{
		{"at once", 7, 0, 1040 * time.Millisecond, 40 * time.Millisecond},
		{"after a second and a half", 7, second * 3 / 2, 2540 * time.Millisecond, 40 * time.Millisecond},
		{"the one after", 8, 0, 2100 * time.Millisecond, 100 * time.Millisecond},
		{"no report was got", 0, 0, 1040 * time.Millisecond, 0},
		{"another's", 9, 0, 1040 * time.Millisecond, 0},
		{"before it was sent", 7, 2 * second, 2 * time.Second, 0},
		{"eleven seconds", 7, 0, 12 * time.Second, 0},
		{"a delay of hours", 7, 1<<32 - 1, 30 * time.Second, 0},
	} {
		var r roundTrip
		r.note(7, time.Second)
		r.note(0, time.Second)
		r.note(8, 2*time.Second)
		if r.measure(tt.lsr, tt.dlsr, tt.at); r.smoothed != tt.want {
			t.Errorf("%s: got %v; want %v", tt.name, r.smoothed, tt.want)
		}
	}
}

func TestRoundTripIsSmoothedAndForgets(t *testing.T) {
	var r roundTrip
	for i := range reportsKept + 1 {
		r.note(uint32(i+1), 0)
	}
	r.measure(1, 0, time.Millisecond)
	if r.smoothed != 0 {
		t.Errorf("a report that is forgotten gave %v", r.smoothed)
	}
	r.measure(2, 0, 80*time.Millisecond)
	r.measure(2, 0, 160*time.Millisecond)
	if r.smoothed != 90*time.Millisecond {
		t.Errorf("got %v; want 90ms", r.smoothed)
	}
}

func TestRTCPAllocatesNothing(t *testing.T) {
	r := newRelay(1, [2]netip.AddrPort{}, [2]sockets{}, nil)
	pkt := rtcpPacket(t, 0x11)
	if n := allocations(100, func() {
		r.readReports(SideA, pkt, time.Second)
	}); n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}

func addRTCP(f *testing.F) {
	f.Add(rtcpPacket(f, 0x11))
	f.Add(compound(f, &rtcp.ReceiverReport{SSRC: 0x11, Reports: []rtcp.ReceptionReport{{SSRC: 0xb2, LastSequenceNumber: 70, LastSenderReport: 1}}}))
	f.Add(compound(f, &rtcp.Goodbye{Sources: []uint32{0x11, 0xb2}, Reason: "x"}))
	f.Add(compound(f, &rtcp.TransportLayerNack{SenderSSRC: 0x11, MediaSSRC: 0xb2, Nacks: []rtcp.NackPair{{PacketID: 5}}}))
	f.Add(compound(f, &rtcp.ExtendedReport{SenderSSRC: 0x11, Reports: []rtcp.ReportBlock{&rtcp.VoIPMetricsReportBlock{SSRC: 0xb2}}}))
	f.Add([]byte("\xa1\xc9\x00\x07ssrc01234567890123456789\x00\x00\x00\x04"))
	f.Add([]byte("\x9f\xca\x00\x01\x00\x00\x00\x11\x9f\xca\x00\x02\x00\x00\x00\x11\x01\xff\x00\x00"))
}

// FuzzReadRTCP reads valid RTCP, and changes nothing.
func FuzzReadRTCP(f *testing.F) {
	addRTCP(f)
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if !packet.ValidRTCP(pkt) {
			return
		}
		r := newRelay(1, [2]netip.AddrPort{}, [2]sockets{}, nil)
		before := bytes.Clone(pkt)
		r.readReports(SideA, pkt, time.Second)
		if !bytes.Equal(pkt, before) {
			t.Error("reading changed the packet")
		}
	})
}
