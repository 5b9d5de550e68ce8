package media

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func compound(tb testing.TB, packets ...rtcp.Packet) []byte {
	tb.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// ntp is a 64-bit timestamp whose middle 32 bits are given.
func ntp(middle uint32) uint64 { return 0xabcd<<48 | uint64(middle)<<16 | 0x1234 }

func TestNextRTCP(t *testing.T) {
	block := "sourFcumehsnjittlsr_dlsr"
	sr := "ssrcntpsntpfrtp_pktsocts"
	for _, tt := range []struct {
		name, pkt string
		reports   string
		sent      uint32
	}{
		{"SR with a block", "\x81\xc8\x00\x0c" + sr + block, block, 0x70736e74},
		{"SR without", "\x80\xc8\x00\x06" + sr, "", 0x70736e74},
		{"SR with an extension", "\x80\xc8\x00\x07" + sr + "more", "", 0x70736e74},
		{"SR that is cut", "\x80\xc8\x00\x02ssrcntps", "", 0},
		{"RR with two blocks", "\x82\xc9\x00\x0dssrc" + block + block, block + block, 0},
		{"RR with more blocks than fit", "\x83\xc9\x00\x0dssrc" + block + block, "", 0},
		{"RR whose padding takes a block's place", "\xa1\xc9\x00\x07ssrc" + block[:20] + "\x00\x00\x00\x04", "", 0},
		{"RR with padding", "\xa1\xc9\x00\x08ssrc" + block + "\x00\x00\x00\x04", block, 0},
		{"RR whose padding does not fit", "\xa1\xc9\x00\x07ssrc" + block[:23] + "\xff", "", 0},
		{"RR without sender", "\x80\xc9\x00\x00", "", 0},
		{"SDES", "\x81\xca\x00\x02ssrc\x00\x00\x00\x00", "", 0},
	} {
		pkt := []byte(tt.pkt)
		pkt[3] = byte(len(pkt)/4 - 1)
		if !validRTCP(pkt) {
			t.Fatalf("%s: the packet is none", tt.name)
		}
		p, rest := nextRTCP(pkt)
		if got := string(p.reports()); got != tt.reports || p.sent() != tt.sent || len(rest) != 0 {
			t.Errorf("%s: blocks %q, sent %x, rest %q; want %q, %x", tt.name, got, p.sent(), rest, tt.reports, tt.sent)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	const second = 65536 // of DLSR
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

// The stream of this side goes on with another SSRC and later times; the one it
// hears has been given another SSRC and higher numbers.
var (
	ownAlias   = alias{known: true, from: 0x11, to: 0xa1, time: 1000, seq: 5, top: 70000}
	heardAlias = alias{known: true, from: 0x22, to: 0xb2, time: 9, seq: 300, top: 3<<16 + 700}
)

func TestTranslate(t *testing.T) {
	const seen = 3<<16 + 264 // 65500 and 300 past the wrap
	block := func(ssrc, last uint32) rtcp.ReceptionReport {
		return rtcp.ReceptionReport{SSRC: ssrc, FractionLost: 3, TotalLost: 4, LastSequenceNumber: last, Jitter: 5, LastSenderReport: 6, Delay: 7}
	}
	for _, tt := range []struct {
		name      string
		pkt, want []rtcp.Packet
	}{
		{
			"sender report",
			[]rtcp.Packet{&rtcp.SenderReport{SSRC: 0x11, NTPTime: 8, RTPTime: 1<<32 - 1, PacketCount: 9, OctetCount: 10, Reports: []rtcp.ReceptionReport{block(0xb2, seen)}}},
			[]rtcp.Packet{&rtcp.SenderReport{SSRC: 0xa1, NTPTime: 8, RTPTime: 999, PacketCount: 9, OctetCount: 10, Reports: []rtcp.ReceptionReport{block(0x22, 2<<16+65500)}}},
		},
		{
			"receiver report with description and a goodbye",
			[]rtcp.Packet{
				&rtcp.ReceiverReport{SSRC: 0x11, Reports: []rtcp.ReceptionReport{block(0x77, seen), block(0xb2, 900)}},
				&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{
					{Source: 0x99, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "\x00\x00\x00\x11"}}},
					{Source: 0x11, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "abcde"}, {Type: rtcp.SDESTool, Text: "x"}}},
					{Source: 0x11, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESNote, Text: ""}}},
				}},
				&rtcp.Goodbye{Sources: []uint32{0x99, 0x11}, Reason: "bye"},
			},
			[]rtcp.Packet{
				&rtcp.ReceiverReport{SSRC: 0xa1, Reports: []rtcp.ReceptionReport{block(0x77, seen), block(0x22, 3<<16+600)}},
				&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{
					{Source: 0x99, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "\x00\x00\x00\x11"}}},
					{Source: 0xa1, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "abcde"}, {Type: rtcp.SDESTool, Text: "x"}}},
					{Source: 0xa1, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESNote, Text: ""}}},
				}},
				&rtcp.Goodbye{Sources: []uint32{0x99, 0xa1}, Reason: "bye"},
			},
		},
		{
			"another's report",
			[]rtcp.Packet{&rtcp.SenderReport{SSRC: 0x99, RTPTime: 5, Reports: []rtcp.ReceptionReport{block(0x22, 5)}}},
			[]rtcp.Packet{&rtcp.SenderReport{SSRC: 0x99, RTPTime: 5, Reports: []rtcp.ReceptionReport{block(0x22, 5)}}},
		},
		{
			"feedback",
			[]rtcp.Packet{
				&rtcp.TransportLayerNack{SenderSSRC: 0x11, MediaSSRC: 0xb2, Nacks: []rtcp.NackPair{{PacketID: 400, LostPackets: 3}, {PacketID: 100}}},
				&rtcp.PictureLossIndication{SenderSSRC: 0x11, MediaSSRC: 0xb2},
			},
			[]rtcp.Packet{
				&rtcp.TransportLayerNack{SenderSSRC: 0xa1, MediaSSRC: 0x22, Nacks: []rtcp.NackPair{{PacketID: 100, LostPackets: 3}, {PacketID: 65336}}},
				&rtcp.PictureLossIndication{SenderSSRC: 0xa1, MediaSSRC: 0x22},
			},
		},
		{
			"extended reports",
			[]rtcp.Packet{&rtcp.ExtendedReport{SenderSSRC: 0x11, Reports: []rtcp.ReportBlock{
				&rtcp.LossRLEReportBlock{SSRC: 0xb2, BeginSeq: 301, EndSeq: 20, Chunks: []rtcp.Chunk{0x4006, 0}},
				&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 0xb2000000b2},
				&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: 0x99}, {SSRC: 0xb2, LastRR: 1, DLRR: 2}}},
				&rtcp.VoIPMetricsReportBlock{SSRC: 0xb2, LossRate: 1},
			}}},
			[]rtcp.Packet{&rtcp.ExtendedReport{SenderSSRC: 0xa1, Reports: []rtcp.ReportBlock{
				&rtcp.LossRLEReportBlock{SSRC: 0x22, BeginSeq: 1, EndSeq: 65256, Chunks: []rtcp.Chunk{0x4006, 0}},
				&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 0xb2000000b2},
				&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: 0x99}, {SSRC: 0x22, LastRR: 1, DLRR: 2}}},
				&rtcp.VoIPMetricsReportBlock{SSRC: 0x22, LossRate: 1},
			}}},
		},
	} {
		got, want := compound(t, tt.pkt...), compound(t, tt.want...)
		if translate(got, ownAlias, heardAlias); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got % x\nwant % x", tt.name, got, want)
		}
	}
}

func TestTranslateWithoutStreams(t *testing.T) {
	pkt := rtcpPacket(t, 0)
	got := bytes.Clone(pkt)
	if translate(got, alias{to: 5, time: 6}, alias{from: 5, seq: 6}); !bytes.Equal(got, pkt) {
		t.Errorf("got % x; want % x", got, pkt)
	}
}

func TestUnshiftExtended(t *testing.T) {
	for _, tt := range []struct {
		top       uint64
		seq       uint16
		got, want uint32
	}{
		{70000, 0, 123, 123},
		{70000, 10, 70010, 70000},
		{65000, 1000, 464, 65000}, // begun after the wrap: other cycles
		{65000, 1000, 1<<16 + 464, 65000},
		{65540, 10, 5<<16 + 9, 65535},
		{3, 10, 8, 0},       // before the first number
		{500, 10, 900, 500}, // of packets of our own
	} {
		var field [4]byte
		binary.BigEndian.PutUint32(field[:], tt.got)
		a := alias{seq: tt.seq, top: tt.top}
		if a.unshiftExtended(field[:]); binary.BigEndian.Uint32(field[:]) != tt.want {
			t.Errorf("%+v: got %d", tt, binary.BigEndian.Uint32(field[:]))
		}
	}
}

func TestRTCPAllocatesNothing(t *testing.T) {
	r := newRelay(1, [2]netip.AddrPort{}, [2]sockets{}, nil)
	pkt := rtcpPacket(t, 0x11)
	if n := testing.AllocsPerRun(100, func() {
		r.readReports(SideA, pkt, time.Second)
		translate(pkt, ownAlias, heardAlias)
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

// FuzzReadRTCP reads what validRTCP lets through, and compares report blocks
// with those of another reader.
func FuzzReadRTCP(f *testing.F) {
	addRTCP(f)
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if !validRTCP(pkt) {
			return
		}
		r := newRelay(1, [2]netip.AddrPort{}, [2]sockets{}, nil)
		before := bytes.Clone(pkt)
		r.readReports(SideA, pkt, time.Second)
		if !bytes.Equal(pkt, before) {
			t.Error("reading changed the packet")
		}
		for rest := pkt; len(rest) > 0; {
			var p controlPacket
			one := rest
			p, rest = nextRTCP(rest)
			one = one[:len(one)-len(rest)]
			var theirs rtcp.ReceiverReport
			if one[0]&0x20 != 0 || p.kind != rtcpRR || theirs.Unmarshal(one) != nil {
				continue
			}
			blocks := p.reports()
			if len(blocks) != reportBlockLen*len(theirs.Reports) {
				t.Fatalf("%d bytes of blocks; want %d blocks", len(blocks), len(theirs.Reports))
			}
			for i, want := range theirs.Reports {
				if got := binary.BigEndian.Uint32(blocks[reportBlockLen*i+16:]); got != want.LastSenderReport {
					t.Errorf("LSR %x; want %x", got, want.LastSenderReport)
				}
			}
		}
	})
}

// FuzzTranslateRTCP: a compound stays one, of the same packets, and goes back to
// what it was.
func FuzzTranslateRTCP(f *testing.F) {
	addRTCP(f)
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if !validRTCP(pkt) {
			return
		}
		got := append(bytes.Clone(pkt), "behind"...)
		translate(got[:len(pkt)], ownAlias, heardAlias)
		if string(got[len(pkt):]) != "behind" || !validRTCP(got[:len(pkt)]) {
			t.Fatalf("got % x of % x", got, pkt)
		}
		for was, is := pkt, got[:len(pkt)]; len(was) > 0; {
			if !bytes.Equal(was[:rtcpHeaderLen], is[:rtcpHeaderLen]) {
				t.Fatalf("another header: got % x of % x", got, pkt)
			}
			_, was = nextRTCP(was)
			_, is = nextRTCP(is)
		}
		same := bytes.Clone(pkt)
		unchanged := func(ssrc uint32) alias { return alias{known: true, from: ssrc, to: ssrc, top: 70000} }
		if translate(same, unchanged(0x11), unchanged(0xb2)); !bytes.Equal(same, pkt) {
			t.Errorf("aliases of the same name changed % x to % x", pkt, same)
		}
	})
}
