package config

import (
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

var (
	dayPart    = regexp.MustCompile(`^(\d{1,5})d`)
	hostPart   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	namePart   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	countryNum = regexp.MustCompile(`^[1-9][0-9]{0,2}$`)
	tokenOnly  = regexp.MustCompile("^[A-Za-z0-9.!%*_+`'~-]+$") // RFC 3261 §25.1, token
	sipUser    = regexp.MustCompile(`^[A-Za-z0-9_.!~*'()&=+$,;?/%:-]+$`)
)

// parseDuration parses a duration above 0.
func parseDuration(t string) (time.Duration, complaint) {
	d, c := readDuration(t)
	if c.none() && d <= 0 {
		return 0, refuse("is not longer than nothing", "write a duration above 0")
	}
	return d, c
}

// isZero reports whether a text is a zero duration in any unit: 0, 0s.
func isZero(t string) bool {
	d, c := readDuration(t)
	return c.none() && d == 0
}

// readDuration parses Go's syntax, with whole days before it: 90d, 1d12h.
func readDuration(t string) (time.Duration, complaint) {
	wrong := refuse("is not a duration", "write one like 500ms, 30s, 5m, 4h or 90d")
	var days time.Duration
	rest := t
	if m := dayPart.FindStringSubmatch(t); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, wrong
		}
		days, rest = time.Duration(n)*day, t[len(m[0]):]
	}
	var more time.Duration
	if rest != "" || days == 0 && rest == t {
		var err error
		if more, err = time.ParseDuration(rest); err != nil {
			return 0, wrong
		}
	}
	if more > math.MaxInt64-days {
		return 0, wrong
	}
	if more < 0 {
		return more, complaint{}
	}
	return days + more, complaint{}
}

func parseName(t string) (string, complaint) {
	if !namePart.MatchString(t) {
		return "", refuse("cannot be a name", "use up to 64 letters, digits, dots, dashes and underscores")
	}
	return t, complaint{}
}

func parseAddr(t string) (netip.Addr, complaint) {
	a, err := netip.ParseAddr(t)
	if err != nil {
		return netip.Addr{}, refuse("is not an IP address", `write one like "192.0.2.1" or "2001:db8::1"`)
	}
	return a.Unmap(), complaint{}
}

// parsePrefix parses a network, or an address as a network of one.
func parsePrefix(t string) (netip.Prefix, complaint) {
	if a, err := netip.ParseAddr(t); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), complaint{}
	}
	p, err := netip.ParsePrefix(t)
	if err != nil && isHostName(t) {
		return netip.Prefix{}, refuse("is a host name, and no name is looked up here",
			`write the networks that the peer names; "getent ahosts NAME" shows a name's addresses, but rarely all`)
	}
	if err != nil {
		return netip.Prefix{}, refuse("is neither an IP address nor a network",
			`write one like "203.0.113.0/24" or "2001:db8::1"`)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, refuse("is an IPv4 network written as IPv6", "write it as IPv4")
	}
	if p != p.Masked() {
		return netip.Prefix{}, refuse("has address bits beyond its length",
			"write the network's first address, or the address alone")
	}
	return p, complaint{}
}

// parseAdvertise parses an address that peers can send to.
func parseAdvertise(t string) (string, complaint) {
	if findsAddress(t) {
		return parseFound(t)
	}
	a, c := parseAddr(t)
	if !c.none() {
		return "", c
	}
	if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
		return "", refuse("is no address that a peer can send to", `write the public address, or "" for the interface's own`)
	}
	return a.String(), complaint{}
}

// parseAdvertiseHost also accepts a host name.
func parseAdvertiseHost(t string) (string, complaint) {
	got, c := parseAdvertise(t)
	if findsAddress(t) {
		return got, c
	}
	if _, err := netip.ParseAddr(t); c.none() || err == nil {
		return got, c
	}
	if isHostName(t) {
		return t, complaint{}
	}
	return "", refuse("is neither an IP address nor a host name", "write it without scheme and port")
}

// isHostName follows RFC 1123 §2.1. The last label must not be a number, because otherwise 300.1.1.1 would be a name.
func isHostName(t string) bool {
	labels := strings.Split(strings.TrimSuffix(t, "."), ".")
	for _, l := range labels {
		if !hostPart.MatchString(l) {
			return false
		}
	}
	_, err := strconv.Atoi(labels[len(labels)-1])
	return err != nil && len(t) <= 253
}

func parseListener(t string) (Listener, complaint) {
	scheme, rest, ok := strings.Cut(t, "://")
	if !ok {
		return Listener{}, refuse("has no transport", `write it like "udp://0.0.0.0:5060" or "udp://[::]:5060"`)
	}
	switch scheme {
	case TransportUDP, TransportTCP, TransportTLS:
	default:
		return Listener{}, refuse("has an unknown transport",
			meant(scheme, []string{TransportUDP, TransportTCP, TransportTLS}, `write it like "udp://0.0.0.0:5060"`))
	}
	ap, err := netip.ParseAddrPort(rest)
	if err != nil {
		return Listener{}, refuse("is not an IP address and port", `write it like "udp://0.0.0.0:5060" or "udp://[::]:5060"`)
	}
	return Listener{Transport: scheme, AddrPort: ap}, complaint{}
}

func parseAddrPort(t string) (netip.AddrPort, complaint) {
	ap, err := netip.ParseAddrPort(t)
	if err != nil {
		return netip.AddrPort{}, refuse("is not an IP address and port", `write it like "127.0.0.1:8080" or "[::1]:8080"`)
	}
	return ap, complaint{}
}

// portRange is the value of media.ports.
type portRange struct{ low, high uint16 }

// parsePorts parses "low-high". RTP needs an even port and RTCP the odd one above. A call needs two such pairs.
func parsePorts(t string) (portRange, complaint) {
	wrong := refuse("is not a range of ports", `write it like "10000-32767"`)
	a, b, ok := strings.Cut(t, "-")
	if !ok {
		return portRange{}, wrong
	}
	low, err1 := strconv.ParseUint(strings.TrimSpace(a), 10, 16)
	high, err2 := strconv.ParseUint(strings.TrimSpace(b), 10, 16)
	if err1 != nil || err2 != nil {
		return portRange{}, wrong
	}
	first := low + low%2
	switch {
	case low < 1024:
		return portRange{}, refuse("begins among the ports below 1024, which belong to the system",
			`write it like "10000-32767"`)
	case high < low:
		return portRange{}, refuse("ends before it begins", "write the lower port first")
	case high+1 < first+4:
		return portRange{}, refuse("has no room for one call, which takes two pairs of an even port and the odd one above it",
			`write it like "10000-32767"`)
	}
	return portRange{uint16(low), uint16(high)}, complaint{}
}

// parseAPI parses the base URL of a platform's API. The token is sent there, so plain http is allowed only for machines
// nearby.
func parseAPI(t string) (string, complaint) {
	u, err := url.Parse(t)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", refuse("is not an https URL", `write it like "https://api.synthflow.ai"`)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", complaint{
			problem: "the URL holds more than scheme, host and path",
			remedy:  `write it like "https://api.synthflow.ai"`, hide: true,
		}
	}
	if u.Scheme == "http" && !nearby(u.Hostname()) {
		return "", refuse("would send the token unencrypted",
			"write https; http is for loopback, private addresses and names without a dot")
	}
	return strings.TrimSuffix(t, "/"), complaint{}
}

func nearby(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
	}
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".internal")
}

// hostOrAddress accepts a host name or an address, and returns it in lower case.
func hostOrAddress(remedy string) func(string) (string, complaint) {
	return func(t string) (string, complaint) {
		if _, c := parseAddr(t); !c.none() && !isHostName(t) {
			return "", refuse("is neither a host name nor an address", remedy)
		}
		return strings.ToLower(t), complaint{}
	}
}

// parseCertName parses a name in a certificate.
var parseCertName = hostOrAddress("write a name of the trunk's certificate, like pbx.example.com")
