//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"flowbridge/internal/stirtest"
	"flowbridge/store/record"
)

// TestCallerIdentity verifies callers by their signatures. The certificate is fetched once over HTTPS. The result goes
// to the platform's variables, the agent's headers and the record. A forged, a replayed and a missing signature are
// refused.
func TestCallerIdentity(t *testing.T) {
	s := newStage(t)
	api := s.prepareCalls()
	signer := stirtest.New(t, stirtest.Provider)
	dir := t.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	must(t, os.WriteFile(roots, signer.RootFile, 0o600))
	ca := s.authority("ca")
	fetched := new(atomic.Int32)
	host := s.serveCertificates(ca.pair("certificates", s.stranger.String()), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/shaken.pem" {
			http.NotFound(w, r)
			return
		}
		fetched.Add(1)
		_, _ = w.Write(signer.File)
	})
	config := s.config(setup{
		listen:  []string{s.listener("udp", s.b2bua), s.listener("tcp", s.b2bua)},
		trunk:   fmt.Sprintf(`, identity: {roots: %q, hosts: [%q], refuse: [428, 438]}`, roots, host),
		prepare: `, custom_variables: {verstat: "{{.Identity.Verstat}}", attest: "{{.Identity.Attest}}"}`,
		headers: `{X-EI: "S.{{.Prepare.CallID}};", X-Verstat: "{{.Identity.Verstat}}", X-Attestation: "{{.Identity.Attest}}"}`,
	})
	b := startServer(t, dir, config, "SSL_CERT_FILE="+ca.file)
	s.server, b.targets = b, []uint16{s.agent.Port()}
	agent := s.sippAgent("caller_hangup", "-m", "4")
	carrier := s.connect(s.carrier, nil)
	from, to, url := strings.TrimPrefix(caller, "+"), strings.TrimPrefix(called, "+"), "https://"+host+"/shaken.pem"
	forger := stirtest.New(t, stirtest.Provider)

	// The first call makes the B2BUA fetch the certificate. How long a call waits for that is tested in b2bua/stir,
	// because this machine may be slow.
	carrier.signedCall("identity", signer.Identity(t, url, from, to), "")
	eventually(t, "the certificate is there", func() bool {
		return strings.Contains(b.text("/metrics"), "\nflowbridge_identity_fetches_total{result=\"ok\"} 1\n") && len(b.cdrs()) == 1
	})

	right := signer.Identity(t, url, from, to)
	answered := 1
	for i, tt := range []struct{ identity, status, verstat, attest string }{
		{right, "", "TN-Validation-Passed", "A"},
		{signer.Identity(t, url, from, to), "", "TN-Validation-Passed", "A"},
		{right, "438 Invalid Identity Header", "TN-Validation-Failed", ""},
		{forger.Identity(t, url, from, to), "438 Invalid Identity Header", "TN-Validation-Failed", ""},
		{signer.Identity(t, url, "15085550100", to), "438 Invalid Identity Header", "TN-Validation-Failed", ""},
		{"", "428 Use Identity Header", "No-TN-Validation", ""},
		{signer.Identity(t, "https://"+host+"/none.pem", from, to), "", "No-TN-Validation", ""}, // 436 is accepted
	} {
		id := fmt.Sprintf("identity-%d", i)
		carrier.signedCall(id, tt.identity, tt.status)
		var r record.Record
		eventually(t, "the call has a record", func() bool {
			all := b.cdrs()
			if len(all) == i+2 {
				r = all[0]
			}
			return len(all) == i+2
		})
		if r.Verstat != tt.verstat || r.Attest != tt.attest || (r.Cause == "identity_refused") != (tt.status != "") {
			t.Errorf("%s: the record says %q, %q and %q; want %q and %q", id, r.Verstat, r.Attest, r.Cause, tt.verstat, tt.attest)
		}
		if tt.status != "" {
			continue
		}
		answered++
		asked, invites := api.requests(), agent.received("INVITE ", answered)
		variables, invite := asked[len(asked)-1].Variables, invites[len(invites)-1]
		if variables["verstat"] != tt.verstat || variables["attest"] != tt.attest || invite.header("X-Verstat") != tt.verstat || invite.header("X-Attestation") != tt.attest {
			t.Errorf("%s: the platform has the variables %v, the agent:\n%s", id, variables, invite.raw)
		}
	}
	agent.finish()
	carrier.conn.Close()
	if n := fetched.Load(); n != 1 {
		t.Errorf("the certificate was fetched %d times", n)
	}
	b.nothingLeft()
	b.stop()
}

// serveCertificates serves HTTPS at an address that nothing else in the test uses.
func (s *stage) serveCertificates(pairs []tls.Certificate, answer http.HandlerFunc) (host string) {
	s.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(s.stranger, 0).String())
	must(s, err)
	server := httptest.NewUnstartedServer(answer)
	server.Listener.Close()
	server.Listener, server.TLS = listener, &tls.Config{Certificates: pairs, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	s.Cleanup(server.Close)
	return listener.Addr().String()
}

// signedCall places a call with an Identity. The call is answered, or refused with a status.
func (p *streamPeer) signedCall(id, identity, status string) {
	p.Helper()
	invite := p.request("INVITE", id, 1, message{})
	if identity != "" {
		invite = strings.Replace(invite, "\r\nContact:", "\r\nIdentity: "+identity+"\r\nContact:", 1)
	}
	p.send(invite)
	if status != "" {
		refused := p.await("SIP/2.0 4")
		if refused.first() != "SIP/2.0 "+status {
			p.Errorf("%s: %s; want %s", id, refused.first(), status)
		}
		p.send(p.request("ACK", id, 1, refused))
		return
	}
	p.await("SIP/2.0 180")
	ok := p.await("SIP/2.0 200")
	p.send(p.request("ACK", id, 1, ok))
	p.hangUp(id, ok)
}
