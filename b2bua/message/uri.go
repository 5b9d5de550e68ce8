package message

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
	"flowbridge/config/template"
)

// IsSound reports whether a rendered URI is unambiguous: it has at most one @ with a user
// before it, no password, and only URI characters. The parser is lax and takes the host
// from before a second @.
func IsSound(text string, uri *sip.Uri) bool {
	ats := strings.Count(text, "@")
	if uri.Scheme != "sip" || uri.HierarhicalSlashes || uri.Password != "" || !isHost(uri.Host) || !isUser(uri.User) ||
		ats > 1 || (ats == 1 && uri.User == "") {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>\"\\^`{|}", r)
	})
}

// AsRequestURI removes the parts that a URI may have but a Request-URI may not: headers, and the parameter method (RFC
// 3261 section 19.1.1).
func AsRequestURI(uri sip.Uri) sip.Uri {
	uri.Headers = nil
	params := uri.UriParams
	if slices.ContainsFunc(params, func(p sip.HeaderKV) bool {
		return strings.EqualFold(p.K, "method") ||
			strings.Contains(p.K, "?")
	}) {
		uri.UriParams = nil
		for _, p := range params {
			p.K, _, _ = strings.Cut(p.K, "?") // the library takes headers for part of a last parameter without a value
			if !strings.EqualFold(p.K, "method") {
				uri.UriParams = append(uri.UriParams, p)
			}
		}
	}
	return uri
}

// UserOf returns a party's number as the user part of a SIP URI. A number that is too
// long when escaped is useless.
func UserOf(p template.Party) string {
	if user := EscapeUser(p.Number); user != "" && len(user) <= MaxURI/2 {
		return user
	}
	return "anonymous"
}

// userChars may be in a user part, in addition to %-escapes and the ; before parameters
// (RFC 3261 section 25.1: unreserved and user-unreserved).
const userChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,?/"

// EscapeUser percent-encodes the characters that may not be in a user part.
func EscapeUser(user string) string {
	if onlyUserChars(user) {
		return user
	}
	return template.Escape(user, userChars)
}

func onlyUserChars(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(userChars, s[i]) < 0 {
			return false
		}
	}
	return true
}

// isUser reports whether s can be the user part of a SIP URI without escaping.
func isUser(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(userChars, s[i]) < 0 && s[i] != ';' && !template.IsEscape(s[i:]) {
			return false
		}
	}
	return true
}

// isHost reports whether s is an IP address or can be a host name.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(TrimBrackets(s)); err == nil {
		return true
	}
	return s != "" && len(s) <= 253 && !hasOther(s, &domainBytes)
}

// IsStream reports whether a transport uses connections.
func IsStream(transport string) bool {
	return transport == config.TransportTCP || transport == config.TransportTLS
}

// TransportName returns a transport in the configuration's spelling. Empty means udp.
func TransportName(transport string) string {
	if IsStream(transport) {
		return transport
	}
	return config.TransportUDP
}

// DefaultPort returns the port of a SIP URI without one (RFC 3261 section 19.1.2).
func DefaultPort(transport string) uint16 {
	if transport == config.TransportTLS {
		return uint16(sip.DefaultTlsPort)
	}
	return uint16(sip.DefaultUdpPort)
}

// ViaTransport returns a transport as it is spelled in Via.
func ViaTransport(transport string) string {
	switch transport {
	case config.TransportTCP:
		return "TCP"
	case config.TransportTLS:
		return "TLS"
	default:
		return "UDP"
	}
}

// TransportOf returns the transport that a message came by: config.TransportTCP or
// TransportTLS, or "" for UDP.
func TransportOf(msg sip.Message) string {
	switch t := msg.Transport(); {
	case EqualFold(t, config.TransportTCP):
		return config.TransportTCP
	case EqualFold(t, config.TransportTLS):
		return config.TransportTLS
	default:
		return ""
	}
}
