package packet

import (
	"encoding/binary"
	"testing"

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

func rtcpPacket(tb testing.TB, ssrc uint32) []byte {
	tb.Helper()
	return compound(tb, &rtcp.SenderReport{SSRC: ssrc, PacketCount: 7}, &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{
		{Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x@y"}}},
	}})
}

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
		if !ValidRTCP(pkt) {
			t.Fatalf("%s: the packet is none", tt.name)
		}
		p, rest := NextRTCP(pkt)
		if got := string(p.Reports()); got != tt.reports || p.Sent() != tt.sent || len(rest) != 0 {
			t.Errorf("%s: blocks %q, sent %x, rest %q; want %q, %x", tt.name, got, p.Sent(), rest, tt.reports, tt.sent)
		}
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

// FuzzReports compares our report blocks with those that another library reads.
func FuzzReports(f *testing.F) {
	addRTCP(f)
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if !ValidRTCP(pkt) {
			return
		}
		for rest := pkt; len(rest) > 0; {
			var p Control
			one := rest
			p, rest = NextRTCP(rest)
			one = one[:len(one)-len(rest)]
			var theirs rtcp.ReceiverReport
			if one[0]&0x20 != 0 || p.kind != rtcpRR || theirs.Unmarshal(one) != nil {
				continue
			}
			blocks := p.Reports()
			if len(blocks) != ReportBlockLen*len(theirs.Reports) {
				t.Fatalf("%d bytes of blocks; want %d blocks", len(blocks), len(theirs.Reports))
			}
			for i, want := range theirs.Reports {
				if got := binary.BigEndian.Uint32(blocks[ReportBlockLen*i+16:]); got != want.LastSenderReport {
					t.Errorf("LSR %x; want %x", got, want.LastSenderReport)
				}
			}
		}
	})
}
