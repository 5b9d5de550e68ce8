package packet

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/rtcp"
)

// This side's stream continues with another SSRC and later timestamps. The stream toward
// this side has another SSRC and higher sequence numbers.
var (
	ownAlias   = Alias{Known: true, From: 0x11, To: 0xa1, Time: 1000, Seq: 5, Top: 70000}
	heardAlias = Alias{Known: true, From: 0x22, To: 0xb2, Time: 9, Seq: 300, Top: 3<<16 + 700}
)

func TestTranslate(t *testing.T) {
	const seen = 3<<16 + 264 // 2<<16 + 65500, and 300 more, which cross the wrap
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
		if Translate(got, ownAlias, heardAlias); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got % x\nwant % x", tt.name, got, want)
		}
	}
}

func TestTranslateWithoutStreams(t *testing.T) {
	pkt := rtcpPacket(t, 0)
	got := bytes.Clone(pkt)
	if Translate(got, Alias{To: 5, Time: 6}, Alias{From: 5, Seq: 6}); !bytes.Equal(got, pkt) {
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
		{65000, 1000, 464, 65000}, // begun after the wrap, so the cycles differ
		{65000, 1000, 1<<16 + 464, 65000},
		{65540, 10, 5<<16 + 9, 65535},
		{3, 10, 8, 0},       // before the first packet
		{500, 10, 900, 500}, // only about packets of our own
	} {
		var field [4]byte
		binary.BigEndian.PutUint32(field[:], tt.got)
		a := Alias{Seq: tt.seq, Top: tt.top}
		if a.unshiftExtended(field[:]); binary.BigEndian.Uint32(field[:]) != tt.want {
			t.Errorf("%+v: got %d", tt, binary.BigEndian.Uint32(field[:]))
		}
	}
}

// TestRetime: only the timestamps and the jitter change.
func TestRetime(t *testing.T) {
	get := func(at uint32, jitter uint32) []byte {
		b, err := rtcp.Marshal([]rtcp.Packet{
			&rtcp.SenderReport{SSRC: 1, NTPTime: 5, RTPTime: at, Reports: []rtcp.ReceptionReport{{SSRC: 2, Jitter: jitter}, {SSRC: 3, Jitter: 2 * jitter}}},
			&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 2, Jitter: jitter, Delay: 7}}},
			&rtcp.Goodbye{Sources: []uint32{1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	pkt := get(100, 6)
	Retime(pkt, func(v uint32) uint32 { return v + 1 }, func(block []byte) { block[15] *= 2 })
	if want := get(101, 12); !bytes.Equal(pkt, want) {
		t.Errorf("got % x; want % x", pkt, want)
	}
}

func TestTranslateAllocatesNothing(t *testing.T) {
	pkt := rtcpPacket(t, 0x11)
	if n := testing.AllocsPerRun(100, func() { Translate(pkt, ownAlias, heardAlias) }); n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}

// FuzzTranslateRTCP checks that a translated compound packet has the same packets, and that
// translating it back gives the original.
func FuzzTranslateRTCP(f *testing.F) {
	addRTCP(f)
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if !ValidRTCP(pkt) {
			return
		}
		got := append(bytes.Clone(pkt), "behind"...)
		Translate(got[:len(pkt)], ownAlias, heardAlias)
		if string(got[len(pkt):]) != "behind" || !ValidRTCP(got[:len(pkt)]) {
			t.Fatalf("got % x of % x", got, pkt)
		}
		for was, is := pkt, got[:len(pkt)]; len(was) > 0; {
			if !bytes.Equal(was[:HeaderLenRTCP], is[:HeaderLenRTCP]) {
				t.Fatalf("another header: got % x of % x", got, pkt)
			}
			_, was = NextRTCP(was)
			_, is = NextRTCP(is)
		}
		same := bytes.Clone(pkt)
		unchanged := func(ssrc uint32) Alias { return Alias{Known: true, From: ssrc, To: ssrc, Top: 70000} }
		if Translate(same, unchanged(0x11), unchanged(0xb2)); !bytes.Equal(same, pkt) {
			t.Errorf("aliases of the same name changed % x to % x", pkt, same)
		}
	})
}
