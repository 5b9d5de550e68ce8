package media

import (
	"testing"

	"github.com/pion/rtcp"
)

// A side with SRTP reports about the numbers that it was sent. The sender gets
// the report with its own numbers.
func TestReportsOfRenumberedPackets(t *testing.T) {
	s := newSecured(t, [2]Suite{0, SuiteAESCM128SHA80})
	b := newClient(t, "127.0.2.1:0")
	a := newClient(t, "127.0.1.1:0")
	s.SetPeer(SideA, Peer{RTP: s.a.addr, RTCP: a.addr})
	s.SetPeer(SideB, Peer{RTP: s.b.addr, RTCP: b.addr})
	for seq := range uint16(4) {
		s.says(SideA, rtpPacket(t, 0, 65000+seq, "high"))
		s.hears(SideB)
	}
	report, err := (&rtcp.ReceiverReport{SSRC: 9, Reports: []rtcp.ReceptionReport{{SSRC: 0xcafe0001, LastSequenceNumber: 65003 - 1<<15}}}).Marshal()
	must(t, err)
	report, err = s.seals[SideB].EncryptRTCP(nil, report, nil)
	must(t, err)
	b.send(rtcpOf(s.Local(SideB)), report)
	got, _ := a.read()
	var heard rtcp.ReceiverReport
	if err := heard.Unmarshal(got); err != nil || len(heard.Reports) != 1 || uint16(heard.Reports[0].LastSequenceNumber) != 65003 {
		t.Errorf("got %+v, %v; want 65003", heard, err)
	}
}

// RFC 5761: RTP and RTCP share a port, and both are encrypted.
func TestSecureMux(t *testing.T) {
	s := newSecured(t, [2]Suite{SuiteAEADAES128GCM, SuiteAESCM128SHA32})
	s.SetPeer(SideA, Peer{RTP: s.a.addr, Mux: true})
	s.SetPeer(SideB, Peer{RTP: s.b.addr, Mux: true})
	report := rtcpPacket(t, 0xcafe0001)
	for seq := range uint16(5) {
		s.carries(SideA, rtpPacket(t, 0, seq, "speech"))
		sealed, err := s.seals[SideA].EncryptRTCP(nil, report, nil)
		must(t, err)
		s.a.send(s.Local(SideA), sealed)
		got, from := s.b.read()
		if _, err := s.unseals[SideB].DecryptRTCP(nil, got, nil); err != nil || from != s.Local(SideB) {
			t.Fatalf("got % x from %v: %v", got, from, err)
		}
	}
	if st := s.Close(); st.A.DroppedTotal != 0 || st.A.RxPackets != 5 || st.A.RxRTCP != 5 {
		t.Errorf("got %+v", st.A)
	}
}
