package cli

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shown makes text from outside safe for a terminal.
func Shown(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Count formats a number of things: "1 trunk", "2 trunks".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// Counts summarizes a configuration: "1 trunk, 2 targets, 3 routes", and the size of its table of numbers if there
// is one.
func Counts(trunks, targets, routes, numbers int) string {
	text := Count(trunks, "trunk") + ", " + Count(targets, "target") + ", " + Count(routes, "route")
	if numbers > 0 {
		text += ", " + Count(numbers, "number")
	}
	return text
}

// CallsLeft says how many calls are still up.
func CallsLeft(n int) string {
	if n == 1 {
		return "1 call is left"
	}
	return Count(n, "call") + " are left"
}

// Joined returns a list of values as text, separated by commas.
func Joined[T fmt.Stringer](all []T) string {
	texts := make([]string, len(all))
	for i, v := range all {
		texts[i] = v.String()
	}
	return strings.Join(texts, ", ")
}

// ShellWord returns a text as one word for a shell, quoted if needed.
func ShellWord(s string) string {
	needsQuotes := func(r rune) bool {
		return !strings.ContainsRune("+-_./:@=,%", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	if s != "" && !strings.ContainsFunc(s, needsQuotes) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// IsPrintable reports whether s has only visible ASCII.
func IsPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// ASCII makes text from outside safe for a terminal, with one column per byte.
func ASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// hostPort matches a host, an IPv6 address in brackets, and an optional port.
var hostPort = regexp.MustCompile(`^(\[[^]]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?$`)

// HostPort splits a host and a port. If the text has no port, it returns defaultPort; ok is false if that is 0.
func HostPort(s string, defaultPort uint16) (host string, port uint16, ok bool) {
	m := hostPort.FindStringSubmatch(s)
	if m == nil {
		return "", 0, false
	}
	host, port = strings.Trim(m[1], "[]"), defaultPort
	if m[2] != "" {
		n, err := strconv.ParseUint(m[2], 10, 16)
		if err != nil {
			return "", 0, false
		}
		port = uint16(n)
	}
	if host != m[1] {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return "", 0, false
		}
	}
	return host, port, port > 0
}
