package peers

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"flowbridge/config"
	"flowbridge/sim/siptest"
)

func mustPeers(t *testing.T, trunks string) *Snapshot {
	t.Helper()
	env := func(string) (string, bool) { return "secret", true }
	cfg, err := config.Parse("test.yaml", []byte("sip: {tls: {client_ca: "+siptest.AuthorityFile(t)+"}}\ntrunks:\n"+trunks+
		"targets:\n  - {name: agent, kind: sip, uri: \"sip:x@192.0.2.20\"}\nroutes:\n  - {targets: [agent]}\n"), env)
	if err != nil {
		t.Fatal(err)
	}
	return NewAdmission(cfg, nil).Peers.Load()
}

// manyTrunks has trunks that share addresses, but differ in their other conditions.
const manyTrunks = `
  - {name: wide, sources: ["10.0.0.0/8", "10.1.2.0/24"]}
  - {name: narrow, sources: ["10.1.0.0/16"]}
  - {name: domain, sources: ["10.1.0.0/16"], match: {to_domain: Acme.example.com}}
  - {name: header, sources: ["10.1.0.0/16"], match: {header: "X-Trunk: acme"}}
  - {name: two, sources: ["10.1.0.0/16"], match: {to_domain: acme.example.com, header: "X-Trunk: acme"}}
  - {name: cert, certificates: [pbx.example.com, "192.0.2.1"]}
  - {name: cert_here, sources: ["10.1.0.0/16"], certificates: [pbx.example.com], match: {to_domain: "2001:db8::1"}}
  - {name: v6, sources: ["2001:db8::/32"]}
  - {name: softphone, sources: ["192.0.2.0/24", local]}
  - {name: loop, sources: ["127.0.0.0/8"]}
  - {name: auth, auth: {username: a, password_env: P}}
  - {name: auth_domain, auth: {username: a, password_env: P}, match: {to_domain: acme.example.com}}
`

func TestCandidates(t *testing.T) {
	p := mustPeers(t, manyTrunks)
	for _, tt := range []struct {
		name, from, uri, headers string
		names                    []string
		want                     string // the trunks that match, the most specific first
	}{
		{"by the longer prefix of two trunks", "10.1.9.9:5060", "sip:1@h", "", nil, "narrow wide auth"},
		{"by the longer prefix of one trunk", "10.1.2.9:5060", "sip:1@h", "", nil, "wide narrow auth"},
		{"by the only prefix", "10.2.0.1:5060", "sip:1@h", "", nil, "wide auth"},
		{"by the domain, in any case", "10.1.9.9:5060", "sip:1@ACME.example.COM:5061", "", nil, "domain narrow wide auth_domain auth"},
		{"by a header", "10.1.9.9:5060", "sip:1@h", "x-trunk:  acme \n", nil, "header narrow wide auth"},
		{"by one of several headers", "10.1.9.9:5060", "sip:1@h", "X-Trunk: other\nX-Trunk: acme\n", nil, "header narrow wide auth"},
		{"not by another value", "10.1.9.9:5060", "sip:1@h", "X-Trunk: Acme\n", nil, "narrow wide auth"},
		{"by two conditions", "10.1.9.9:5060", "sip:1@acme.example.com", "X-Trunk: acme\n", nil, "two domain header narrow wide auth_domain auth"},
		{"by the certificate", "10.1.9.9:5060", "sip:1@h", "", []string{"x", "PBX.example.com"}, "cert narrow wide auth"},
		{"by certificate and address", "10.1.9.9:5060", "sip:1@[2001:DB8::1]", "", []string{"pbx.example.com"}, "cert_here cert narrow wide auth"},
		{"by an address in the certificate", "198.51.100.9:1", "sip:1@h", "", []string{"192.0.2.1"}, "cert auth"},
		{"by another certificate", "198.51.100.9:1", "sip:1@h", "", []string{"evil.example.com"}, "auth"},
		{"IPv6", "[2001:db8::5]:5060", "sip:1@h", "", nil, "v6 auth"},
		{"this machine", "127.0.0.1:5060", "sip:1@h", "", nil, "softphone loop auth"},
		{"a stranger", "198.51.100.9:5060", "sip:1@acme.example.com", "", nil, "auth_domain auth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := siptest.Request(t, "INVITE "+tt.uri+" SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\n"+
				"Call-ID: x\nCSeq: 1 INVITE\n"+tt.headers+"Content-Length: 0\n\n")
			from := Sender{netip.MustParseAddrPort(tt.from), tt.names}
			var got []string
			for _, c := range p.Candidates(req, from) {
				got = append(got, c.Caller.Name)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v; want %s", got, tt.want)
			}
			if l := p.Likely(req, from); l == nil || l.Caller.Name != got[0] {
				t.Errorf("likely: %+v; want %s", l, got[0])
			}
		})
	}
}

func TestStanding(t *testing.T) {
	here, there := Sender{Addr: netip.MustParseAddrPort("10.1.2.3:5060")}, Sender{Addr: netip.MustParseAddrPort("192.0.2.1:5060")}
	const plain = "  - {name: plain, sources: [10.1.2.3]}\n"
	const auth = "  - {name: auth, auth: {username: a, password_env: P}}\n"
	const both = "  - {name: both, sources: [10.1.0.0/16], auth: {username: a, password_env: P}}\n"
	const cert = "  - {name: cert, certificates: [pbx.example.com]}\n"
	for _, tt := range []struct {
		trunks      string
		here, there SourceTrust
	}{
		{plain, SourceTrust{Known: true}, SourceTrust{}},
		{auth, SourceTrust{Open: true, Asked: true}, SourceTrust{Open: true, Asked: true}},
		{both, SourceTrust{Known: true, Asked: true}, SourceTrust{}},
		{plain + auth, SourceTrust{Known: true, Open: true}, SourceTrust{Open: true, Asked: true}},
		{plain + both, SourceTrust{Known: true}, SourceTrust{}},
		{both + auth, SourceTrust{Known: true, Open: true, Asked: true}, SourceTrust{Open: true, Asked: true}},
		{cert, SourceTrust{}, SourceTrust{}},
		{cert + plain, SourceTrust{Known: true}, SourceTrust{}},
	} {
		p := mustPeers(t, tt.trunks)
		a, b := p.TrustOf(here), p.TrustOf(there)
		a.natAuto, b.natAuto = false, false
		if a != tt.here || b != tt.there {
			t.Errorf("%s%+v and %+v; want %+v and %+v", tt.trunks, a, b, tt.here, tt.there)
		}
	}
}

// A reload that does not change a trunk's rate keeps the rate's state.
func TestReloadKeepsRate(t *testing.T) {
	carrier := func(cps int) *config.Config {
		return &config.Config{Trunks: []config.Trunk{{Name: "carrier", MaxCPS: cps}}}
	}
	a := NewAdmission(carrier(1), nil)
	rate := func() *rate.Limiter { return a.trunks["carrier"].rate }
	before := rate()
	if a.Reload(carrier(1), nil); rate() != before {
		t.Error("the rate has begun anew")
	}
	if a.Reload(carrier(2), nil); rate() == before || rate().Burst() != 2 {
		t.Error("the rate is not the new one")
	}
	if a.Reload(carrier(0), nil); rate() != nil {
		t.Error("there is still a rate")
	}
}

// An address belongs to another trunk unless it belongs to one of the call's own trunks, or
// the trunk's network also contains the called address. Targets do not count as trunks.
func TestIsOthers(t *testing.T) {
	p := mustPeers(t, `
  - {name: carrier, sources: ["192.0.2.10"]}
  - {name: pbx, sources: ["10.1.0.0/16"], uri: "sip:{{.To.Number}}@10.1.0.1"}
  - {name: both, sources: ["192.0.2.0/24", "198.51.100.7"]}
`)
	referred := NewReferred("agent", nil, "", p.Targets["agent"].Dial)
	for _, tt := range []struct {
		from   string
		callee *Target
		at     string
		want   bool
	}{
		{"192.0.2.10", nil, "192.0.2.10", false},
		{"192.0.2.11", nil, "192.0.2.10", true},
		{"203.0.113.1", nil, "192.0.2.10", false},
		{"10.1.0.2", p.Targets["agent"], "192.0.2.20", true},
		{"10.1.0.2", p.Targets["agent"], "10.1.0.1", false},
		{"192.0.2.10", p.Targets["agent"], "192.0.2.20", false},
		{"10.1.0.2", p.Callees["pbx"], "10.1.0.1", false},
		{"10.1.0.2", referred, "10.1.0.1", false},
		{"10.1.0.2", referred, "10.2.0.1", true},
		{"198.51.100.7", p.Targets["agent"], "192.0.2.20", true},
	} {
		from := Sender{Addr: netip.AddrPortFrom(netip.MustParseAddr(tt.from), 5060)}
		if got := p.isOthers(from, p.Trunks[0], tt.callee, netip.MustParseAddr(tt.at)); got != tt.want {
			t.Errorf("%s, of a leg to %+v at %s: another trunk's %v; want %v", tt.from, tt.callee, tt.at, got, tt.want)
		}
	}
}
