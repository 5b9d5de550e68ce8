//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// homer receives HEP, and keeps the datagrams as a capture.
type homer struct {
	t    *testing.T
	at   netip.AddrPort
	mu   sync.Mutex
	got  int
	file string
}

// captureHEP starts a server for HEP over UDP.
func (s *stage) captureHEP() *homer {
	s.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.stranger, 0)))
	must(s, err)
	h := &homer{t: s.T, at: local(conn), file: filepath.Join(s.TempDir(), "hep.pcap")}
	file, err := os.Create(h.file)
	must(s, err)
	w := pcapgo.NewWriter(file)
	must(s, w.WriteFileHeader(65536, layers.LinkTypeIPv4))
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer file.Close()
		b := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			h.write(w, from, b[:n])
		}
	}()
	s.Cleanup(func() { conn.Close(); <-done })
	return h
}

func (h *homer) write(w *pcapgo.Writer, from netip.AddrPort, data []byte) {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.Addr().AsSlice(), DstIP: h.at.Addr().AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(h.at.Port())}
	_ = udp.SetNetworkLayerForChecksum(ip)
	buffer := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload(data))
	if err == nil {
		err = w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: len(buffer.Bytes()), Length: len(buffer.Bytes())}, buffer.Bytes())
	}
	if err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got++
}

// packets returns how many packets have come so far.
func (h *homer) packets() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got
}

// TestHEP mirrors a call. tshark reads the SIP of both legs and the reports about RTP, which must all have the id of
// the call. tshark is told that the capture is HEP, because some versions do not recognise it.
func TestHEP(t *testing.T) {
	s := newPreparedStage(t)
	server := s.captureHEP()
	b := s.serve(setup{telemetry: fmt.Sprintf(`{hep: {to: "udp://%s", capture_id: 77}}`, server.at)})
	n := s.relayed(8000, func() {})
	r := b.records(hungUpByCaller)[0]
	b.stop() // queued packets are sent
	eventually(t, "the packets are there", func() bool { return server.packets() >= 14 })

	hep := fmt.Sprintf("udp.port==%d,hep3", server.at.Port())
	read := func(filter string, fields ...string) []string {
		args := []string{"-X", "lua_script:testdata/hep.lua", "-d", hep, "-Y", filter, "-T", "fields", "-E", "separator=|"}
		for _, f := range fields {
			args = append(args, "-e", f)
		}
		return tshark(t, server.file, args...)
	}
	legs := map[string][]string{}
	for _, line := range read("sip", "hep3.correlation", "hep3.capture_id", "sip.Call-ID", "sip.Method", "sip.Status-Code", "hep3.src") {
		f := strings.Split(line, "|")
		if f[0] != r.ID || f[1] != "77" {
			t.Errorf("correlation id and capture id: %q", line)
		}
		legs[f[2]] = append(legs[f[2]], f[3]+f[4])
		if f[3] == "INVITE" {
			want := s.carrier.String()
			if f[2] != r.SIPCallID {
				want = s.b2bua.String()
			}
			if f[5] != want {
				t.Errorf("the INVITE %s comes from %s; want %s", f[2], f[5], want)
			}
		}
	}
	for _, id := range []string{r.SIPCallID, r.TargetSIPCallID} {
		said := strings.Join(legs[id], " ")
		for _, want := range []string{"INVITE", "200", "ACK", "BYE"} {
			if !strings.Contains(said, want) {
				t.Errorf("leg %s: %s; want %s", id, said, want)
			}
		}
	}
	if len(legs) != 2 {
		t.Errorf("legs: %v", legs)
	}
	reports := read("hep3.type == 5 && json", "hep3.correlation", "hep3.payload", "hep3.src", "hep3.dst")
	if len(reports) < 2 {
		t.Fatalf("reports: %q", reports)
	}
	all := strings.Join(reports, "\n")
	if strings.Count(all, r.ID) != len(reports) {
		t.Errorf("reports: %q", reports)
	}
	t.Logf("%d packets each way, reports:\n%s", n, all)
}
