package config

import (
	"strings"
)

// parseHeaderPattern parses the name of a header to pass from one side to the other, or a prefix of names followed by a
// *.
func parseHeaderPattern(t string) (string, complaint) {
	begin, pattern := strings.CutSuffix(t, "*")
	switch {
	case !tokenOnly.MatchString(t):
		return "", refuse("is not a header name", "use letters, digits and dashes")
	case strings.Contains(begin, "*"):
		return "", refuse("has a * that does not end it", `write the name, or how the names begin and one *, like "X-*"`)
	case pattern && len(begin) < 2:
		return "", refuse("stands for too many headers", `write at least two characters before the *, like "X-*"`)
	case !pattern && !Passable(t):
		return "", refuse("belongs to one side of the call and is never passed on",
			"remove it; carry the value in a header of another name, X-…")
	}
	return t, complaint{}
}

// Passable reports whether a header may be passed from one side of a call to the other. The B2BUA must not write the
// header itself, and it must not concern one dialog or hop. A name with a * stands only for passable headers.
func Passable(name string) bool {
	name = strings.ToLower(name)
	return !ownHeader(name) && !hopHeader(name)
}

// ownHeader reports whether the B2BUA writes a header itself, or its compact form (RFC 3261 §7.3.3). name is in lower
// case.
func ownHeader(name string) bool {
	switch name {
	case "via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards",
		"content-length", "l", "content-type", "c", "route", "record-route":
		return true
	}
	return false
}

// hopHeader reports whether a header concerns one dialog or hop. It does not cover the headers that the B2BUA writes.
// name is in lower case.
func hopHeader(name string) bool {
	switch name {
	case "authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info",
		"require", "proxy-require", "supported", "k", "unsupported", "allow", "rseq", "rack", "session-expires",
		"x", "min-se",
		"path", "service-route", "refer-to", "r", "referred-by", "b", "replaces", "target-dialog", "content-encoding", "e",
		"content-disposition", "mime-version", "warning", "server", "user-agent", "retry-after", "event", "o", "timestamp":
		return true
	}
	return false
}
