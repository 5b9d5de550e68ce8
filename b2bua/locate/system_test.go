package locate

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The system's resolver reads name servers and hosts from files, and asks over UDP and TCP.
func TestSystem(t *testing.T) {
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.64.53:0")
	if err != nil {
		t.Fatal(err)
	}
	at := conn.LocalAddr().(*net.UDPAddr)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		_, overUDP := w.RemoteAddr().(*net.UDPAddr)
		switch q.Question[0].Name {
		case "large.test.":
			if m.Truncated = overUDP; !overUDP {
				rr, _ := dns.NewRR("large.test. 60 IN A 192.0.2.7")
				m.Answer = []dns.RR{rr}
			}
		case "refused.test.":
			m.Rcode = dns.RcodeRefused
		case "other.test.":
			m.Question[0].Name = "another.test."
		}
		_ = w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: conn, Handler: handler}, {Listener: l, Handler: handler}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		done := make(chan struct{})
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	dir := t.TempDir()
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost # us\n192.0.2.8 PBX.test pbx\nbad\n::1%lo x\n2001:db8::8 pbx.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &system{conf: "/nonexistent", file: hosts}
	if servers, _ := s.reread(); !slices.Equal(servers, []string{"127.0.0.1:53"}) {
		t.Errorf("servers %v", servers)
	}
	s.servers = []string{at.String()}
	r := New(t.Context(), Options{Ask: s.ask})
	for host, want := range map[string]string{
		"large.test": "udp://192.0.2.7:5060", "pbx.test": "udp://192.0.2.8:5060 udp://[2001:db8::8]:5060", "x": "look up x: name not found",
		"refused.test": "look up refused.test: name not found: name server " + at.String() + ": REFUSED",
		"other.test":   "look up other.test: name not found: name server " + at.String() + " answers another question",
	} {
		s.mu.Lock()
		s.readAt = time.Now()
		s.mu.Unlock()
		if got := r.leads(t.Context(), Query{host, 5060, udp}); got != want {
			t.Errorf("%s: %s; want %s", host, got, want)
		}
	}
}
