package b2bua

import (
	"net/netip"
	"strings"
	"testing"

	"flowbridge/internal/siptest"
)

// A refusal goes where any other answer would: to the port in Via, unless rport
// or the trunk's NAT says otherwise (RFC 3261 section 18.2.2, RFC 3581).
func TestRefusalGoesWhereViaSays(t *testing.T) {
	for name, c := range map[string]struct {
		via, nat string
		port     uint16
	}{
		"port in Via":      {"192.0.2.10:5080;branch=z9hG4bK1", "auto", 5080},
		"no port":          {"192.0.2.10;branch=z9hG4bK1", "auto", 5060},
		"rport":            {"192.0.2.10:5080;rport;branch=z9hG4bK1", "auto", 40123},
		"other host":       {"198.18.1.1:5080;branch=z9hG4bK1", "auto", 5080},
		"name":             {"pbx.example:5080;branch=z9hG4bK1", "auto", 5080},
		"private":          {"10.0.0.5:5080;branch=z9hG4bK1", "auto", 40123},
		"private, off":     {"10.0.0.5:5080;branch=z9hG4bK1", "off", 5080},
		"other host, on":   {"198.18.1.1:5080;branch=z9hG4bK1", "on", 40123},
		"its own host, on": {"192.0.2.10:5080;branch=z9hG4bK1", "on", 5080},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(testConfig, `sources: ["192.0.2.10"]`, `sources: ["192.0.2.10"], nat: "`+c.nat+`"`, 1)
			inWorldWith(t, yaml, func(w *world) {
				sender := w.peer(netip.AddrPortFrom(siptest.Carrier.Addr(), 40123))
				w.others = append(w.others, sender)
				listener := sender
				if c.port == 5060 {
					listener = w.carrier
				} else if c.port != 40123 {
					listener = w.peer(netip.AddrPortFrom(siptest.Carrier.Addr(), c.port))
					w.others = append(w.others, listener)
				}
				sender.send("INVITE sip:1@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP " + c.via + "\nFrom: <sip:a@b>;tag=f\n" +
					"To: <sip:c@d>\nCall-ID: x\nCSeq: 1 INVITE\nMax-Forwards: many\n\n")
				listener.expect("SIP/2.0 400 Max-Forwards")
			})
		})
	}
}
