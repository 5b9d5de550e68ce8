package config

import (
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Identity is the section `identity` of a trunk: callers are verified by the Identity headers of its INVITEs (RFC 8224,
// SHAKEN).
type Identity struct {
	// The PEM file of the roots of callers' certificates, as published by the country's policy administrator.
	RootsFile string `key:"roots" is:"file" required:"the PEM file of the roots that callers' certificates lead to"`
	// The only hosts that certificates are fetched from, over HTTPS: certs.example.com, or "*.example.com" for all names
	// below it. Without a port: 443 and 8443.
	Hosts []string `key:"hosts" is:"certificate-host" required:"the hosts of callers' certificates, like [certs.example.com]" filled:""`
	// The failures for which a call is refused (RFC 8224): 403 (stale), 428 (no Identity), 436 (no certificate), 437
	// (certificate not accepted), 438 (wrong signature, other numbers, a replay). Other calls pass.
	Refuse []int `key:"refuse" is:"identity-status"`
	// Roots are the certificates in the file.
	Roots *x509.CertPool
}

func (i *Identity) check(s section) {
	if s.authorities("roots"); i.RootsFile == "" {
		return
	}
	i.Roots = x509.NewCertPool()
	if data, err := os.ReadFile(i.RootsFile); err == nil { // an error has been reported
		i.Roots.AppendCertsFromPEM(data)
	}
}

// identityStatuses returns the failures of RFC 8224 section 6.2.2.
func identityStatuses() []string { return []string{"403", "428", "436", "437", "438"} }

// parseIdentityStatus parses a status of identityStatuses.
func parseIdentityStatus(t string) (int, complaint) {
	if slices.Contains(identityStatuses(), t) {
		n, _ := strconv.Atoi(t)
		return n, complaint{}
	}
	return 0, refuse("is no failure of RFC 8224", "write some of "+strings.Join(identityStatuses(), ", "))
}

// parseCertificateHost parses a host, or a pattern of hosts, perhaps with a port.
func parseCertificateHost(t string) (string, complaint) {
	wrong := refuse("is not the host of certificates",
		`write a name like certs.example.com, or "*.example.com", without https://, perhaps with a port`)
	host := t
	if h, p, err := net.SplitHostPort(t); err == nil {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "", wrong
		}
		host = h
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil && a.Zone() == "" {
		return t, complaint{}
	}
	name, pattern := strings.CutPrefix(host, "*.")
	switch {
	case !isHostName(name):
		return "", wrong
	case pattern && !strings.Contains(name, "."):
		return "", refuse("stands for too many hosts", `write at least two labels behind the *, like "*.example.com"`)
	}
	return strings.ToLower(t), complaint{}
}
