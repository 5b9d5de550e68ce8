package b2bua

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/config"
	"flowbridge/internal/siptest"
)

func mustPeers(t *testing.T, trunks string) *snapshot {
	t.Helper()
	env := func(string) (string, bool) { return "secret", true }
	cfg, err := config.Parse("test.yaml", []byte("sip: {tls: {client_ca: "+authorityFile(t)+"}}\ntrunks:\n"+trunks+
		"targets:\n  - {name: agent, kind: sip, uri: \"sip:x@192.0.2.20\"}\nroutes:\n  - {targets: [agent]}\n"), env)
	if err != nil {
		t.Fatal(err)
	}
	return newAdmission(cfg, nil).peers.Load()
}

// authorityFile is the PEM file of an authority.
func authorityFile(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// manyTrunks share addresses, and are told apart by everything there is.
const manyTrunks = `
  - {name: wide, sources: ["10.0.0.0/8", "10.1.2.0/24"]}
  - {name: narrow, sources: ["10.1.0.0/16"]}
  - {name: domain, sources: ["10.1.0.0/16"], match: {to_domain: Acme.example.com}}
  - {name: header, sources: ["10.1.0.0/16"], match: {header: "X-Trunk: acme"}}
  - {name: two, sources: ["10.1.0.0/16"], match: {to_domain: acme.example.com, header: "X-Trunk: acme"}}
  - {name: port, sources: ["10.1.0.0/16"], match: {port: 5080}}
  - {name: cert, certificates: [pbx.example.com, "192.0.2.1"]}
  - {name: cert_here, sources: ["10.1.0.0/16"], certificates: [pbx.example.com], match: {to_domain: "2001:db8::1"}}
  - {name: v6, sources: ["2001:db8::/32"], match: {port: 5060}}
  - {name: auth, auth: {username: a, password_env: P}}
  - {name: auth_domain, auth: {username: a, password_env: P}, match: {to_domain: acme.example.com}}
`

func TestCandidates(t *testing.T) {
	p := mustPeers(t, manyTrunks)
	for _, tt := range []struct {
		name, from, uri, headers string
		names                    []string
		want                     string // the most specific first
	}{
		{"by the longer prefix of two trunks", "10.1.9.9:5060", "sip:1@h", "", nil, "narrow wide auth"},
		{"by the longer prefix of one trunk", "10.1.2.9:5060", "sip:1@h", "", nil, "wide narrow auth"},
		{"by the only prefix", "10.2.0.1:5060", "sip:1@h", "", nil, "wide auth"},
		{"by the domain, in any case", "10.1.9.9:5060", "sip:1@ACME.example.COM:5061", "", nil, "domain narrow wide auth_domain auth"},
		{"by a header", "10.1.9.9:5060", "sip:1@h", "x-trunk:  acme \n", nil, "header narrow wide auth"},
		{"by one of several headers", "10.1.9.9:5060", "sip:1@h", "X-Trunk: other\nX-Trunk: acme\n", nil, "header narrow wide auth"},
		{"not by another value", "10.1.9.9:5060", "sip:1@h", "X-Trunk: Acme\n", nil, "narrow wide auth"},
		{"by two conditions", "10.1.9.9:5060", "sip:1@acme.example.com", "X-Trunk: acme\n", nil, "two domain header narrow wide auth_domain auth"},
		{"by the port", "10.1.9.9:5080", "sip:1@h", "", nil, "port narrow wide auth"},
		{"by the certificate", "10.1.9.9:5060", "sip:1@h", "", []string{"x", "PBX.example.com"}, "cert narrow wide auth"},
		{"by certificate and address", "10.1.9.9:5060", "sip:1@[2001:DB8::1]", "", []string{"pbx.example.com"}, "cert_here cert narrow wide auth"},
		{"by an address in the certificate", "198.51.100.9:1", "sip:1@h", "", []string{"192.0.2.1"}, "cert auth"},
		{"by another certificate", "198.51.100.9:1", "sip:1@h", "", []string{"evil.example.com"}, "auth"},
		{"IPv6", "[2001:db8::5]:5060", "sip:1@h", "", nil, "v6 auth"},
		{"a stranger", "198.51.100.9:5060", "sip:1@acme.example.com", "", nil, "auth_domain auth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := siptest.Request(t, "INVITE "+tt.uri+" SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\n"+
				"Call-ID: x\nCSeq: 1 INVITE\n"+tt.headers+"Content-Length: 0\n\n")
			from := sender{netip.MustParseAddrPort(tt.from), tt.names}
			var got []string
			for _, c := range p.candidates(req, from) {
				got = append(got, c.cfg.Name)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v; want %s", got, tt.want)
			}
			if l := p.likely(req, from); l == nil || l.cfg.Name != got[0] {
				t.Errorf("likely: %+v; want %s", l, got[0])
			}
		})
	}
}

func TestStanding(t *testing.T) {
	here, there := sender{addr: netip.MustParseAddrPort("10.1.2.3:5060")}, sender{addr: netip.MustParseAddrPort("192.0.2.1:5060")}
	const plain = "  - {name: plain, sources: [10.1.2.3]}\n"
	const auth = "  - {name: auth, auth: {username: a, password_env: P}}\n"
	const both = "  - {name: both, sources: [10.1.0.0/16], auth: {username: a, password_env: P}}\n"
	const cert = "  - {name: cert, certificates: [pbx.example.com]}\n"
	for _, tt := range []struct {
		trunks      string
		here, there standing
	}{
		{plain, standing{known: true}, standing{}},
		{auth, standing{open: true, asked: true}, standing{open: true, asked: true}},
		{both, standing{known: true, asked: true}, standing{}},
		{plain + auth, standing{known: true, open: true}, standing{open: true, asked: true}},
		{plain + both, standing{known: true}, standing{}},
		{both + auth, standing{known: true, open: true, asked: true}, standing{open: true, asked: true}},
		{cert, standing{}, standing{}},
		{cert + plain, standing{known: true}, standing{}},
	} {
		p := mustPeers(t, tt.trunks)
		a, b := p.standing(here), p.standing(there)
		a.natAuto, b.natAuto = false, false
		if a != tt.here || b != tt.there {
			t.Errorf("%s%+v and %+v; want %+v and %+v", tt.trunks, a, b, tt.here, tt.there)
		}
	}
}

// A trunk within the network of another one wants credentials: without them a
// call is not the other one's.
func TestWiderTrunkDoesNotTakeOver(t *testing.T) {
	yaml := strings.Replace(testConfig, "  - {name: carrier, sources: [\"192.0.2.10\"]",
		"  - {name: inner, sources: [192.0.2.0/28], auth: {username: u, password_env: P}}\n  - {name: carrier, sources: [192.0.2.0/24]", 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		m := w.carrier.expect("SIP/2.0 401")
		w.carrier.gaveUp(d, m)
		d.extra = "Authorization: Digest username=\"u\", realm=\"flowbridge\", nonce=\"x\", uri=\"sip:x\", response=\"y\"\n"
		w.carrier.invite(d)
		w.carrier.gaveUp(d, w.carrier.expect("SIP/2.0 401"))
	})
}

// Two trunks of one address, one with credentials: the call's domain says
// which, and whether it is challenged. What is neither's is refused.
func TestMatchDecides(t *testing.T) {
	yaml := strings.Replace(testConfig, "  - {name: carrier, sources: [\"192.0.2.10\"]",
		"  - {name: asked, sources: [\"192.0.2.10\"], match: {header: \"X-Trunk: asked\"}, auth: {username: u, password_env: P}}\n"+
			"  - {name: carrier, sources: [\"192.0.2.10\"], match: {to_domain: 198.51.100.1, port: 5060}", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.established()
		w.callerHangsUp(d)
		if r := w.record(); r.Trunk != "carrier" {
			t.Errorf("the call is of trunk %s", r.Trunk)
		}
		d = w.carrier.newCall("+15095785607")
		neither := strings.Replace(d.request("INVITE"), "@198.51.100.1:5060 SIP", "@other.example.com SIP", 1)
		w.carrier.send(neither)
		w.carrier.gaveUp(d, w.carrier.expect("SIP/2.0 403"))
		if n := w.server.Rejected().NoTrunk.Load(); n != 1 {
			t.Errorf("%d without a trunk; want 1", n)
		}
		d.extra = "X-Trunk: asked\n"
		toAsked := strings.Replace(d.request("INVITE"), "@198.51.100.1:5060 SIP", "@other.example.com SIP", 1)
		w.carrier.send(toAsked)
		m := w.carrier.expect("SIP/2.0 401")
		w.carrier.gaveUp(d, m)
		d.extra += authorize(d, m, "SHA-256", "u", "secret", 1)
		w.carrier.send(strings.Replace(d.request("INVITE"), "@198.51.100.1:5060 SIP", "@other.example.com SIP", 1))
		d.learn(w.carrier.expect("SIP/2.0 404")) // the routes are the other trunk's
		w.carrier.ackRefused(d)
		if r := w.record(); r.Trunk != "asked" {
			t.Errorf("the call is of trunk %s", r.Trunk)
		}
	})
}

// The names of a TLS client certificate come from the transport, not for UDP.
func TestSenderNames(t *testing.T) {
	s := &Server{}
	if from := s.sender("TLS", carrierAddr); from.names != nil {
		t.Errorf("names %v without a hook", from.names)
	}
	s.certNames = func(transport string, source netip.AddrPort) []string { return []string{transport, source.String()} }
	if from := s.sender("tls", carrierAddr); len(from.names) != 2 || from.names[1] != carrierAddr.String() || from.addr != carrierAddr {
		t.Errorf("the sender is %+v", from)
	}
	if from := s.sender("UDP", carrierAddr); from.names != nil {
		t.Errorf("names %v over UDP", from.names)
	}
}
