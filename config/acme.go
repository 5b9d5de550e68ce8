package config

import (
	"path/filepath"
	"strings"
)

// ACME is the section `sip.tls.acme`.
type ACME struct {
	// The certificate's host names. Naming them accepts the CA's terms.
	Domains []string `key:"domains" is:"acme-domain"`
	// The CA's directory.
	Directory string `key:"directory" is:"api" default:"https://acme-v02.api.letsencrypt.org/directory" knob:""`
	// The PEM file of the authorities behind the CA's server. Empty: the system's.
	CA string `key:"ca" is:"file" knob:""`
	// Where the CA asks during an order: http:// (HTTP-01, port 80) or tls:// (TLS-ALPN-01, port 443).
	Listen Challenges `key:"listen" default:"http://0.0.0.0:80" knob:""`
}

// Challenges is where an ACME CA asks. Its transport is http or tls.
type Challenges Listener

// parseChallenges parses the address.
func parseChallenges(t string) (at Challenges, c complaint) {
	scheme, rest, _ := strings.Cut(t, "://")
	const remedy = `write it like "http://0.0.0.0:80" or "tls://0.0.0.0:443"`
	if scheme != "http" && scheme != TransportTLS {
		return at, refuse("has no scheme that a CA asks by", remedy)
	}
	addr, c := parseAddrPort(rest)
	if !c.none() {
		return at, refuse(c.problem, remedy)
	}
	return Challenges{Transport: scheme, AddrPort: addr}, c
}

// On reports whether a CA gives the certificate.
func (a *ACME) On() bool { return len(a.Domains) > 0 }

func (a *ACME) check(s section) {
	if s.absent {
		return
	}
	s.require("domains", "the host names of the certificate, like [sip.example.com]")
	s.notEmpty("domains")
	s.authorities("ca")
}

// parseACMEDomain parses a name for which a CA can ask a machine.
func parseACMEDomain(t string) (string, complaint) {
	if _, c := parseAddr(t); c.none() || !isHostName(t) || !strings.Contains(t, ".") {
		return "", refuse("is no host name for which a CA can ask a machine", "write one like sip.example.com")
	}
	return strings.ToLower(t), complaint{}
}

// Account returns the file with the key of the account at the CA.
func (a *ACME) Account(cert string) string { return strings.TrimSuffix(cert, ".pem") + "-account.pem" }

// fileOf returns the file of the certificate and its key, beside the store.
func (a *ACME) fileOf(store string) string {
	return strings.TrimSuffix(store, filepath.Ext(store)) + "-acme.pem"
}
