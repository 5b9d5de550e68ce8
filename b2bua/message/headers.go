package message

import (
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// MaxPassedValue bounds the value of a header that is passed on to the other side, in
// bytes.
const MaxPassedValue = 1024

// compactForms are the compact names of headers that may be passed on (RFC 3261
// section 7.3.3, RFC 3841, RFC 4474, RFC 6665).
var compactForms = [...]struct{ full, compact string }{
	{"Subject", "s"},
	{"Allow-Events", "u"},
	{"Accept-Contact", "a"},
	{"Reject-Contact", "j"},
	{"Request-Disposition", "d"},
	{"Identity", "y"},
	{"Identity-Info", "n"},
}

// CompactForm returns the compact name of a header that may be passed on, or the
// name itself.
func CompactForm(name string) string {
	for _, f := range compactForms {
		if strings.EqualFold(f.full, name) {
			return f.compact
		}
	}
	return name
}

// FullName returns the full name for a compact header name, or the name itself.
func FullName(name string) string {
	for _, f := range compactForms {
		if strings.EqualFold(f.compact, name) {
			return f.full
		}
	}
	return name
}

// Values returns the values of all headers with this name in order, with lists split at
// their commas (RFC 3261 section 7.3.1).
func Values(msg sip.Message, name string) (all []string) {
	for _, h := range headersOf(msg) {
		if strings.EqualFold(h.Name(), name) {
			all = append(all, SplitValues(h.Value())...)
		}
	}
	return all
}

// headersOf returns a message's headers. The library's own search makes a lower-case copy
// of each name.
func headersOf(msg sip.Message) []sip.Header {
	switch m := msg.(type) {
	case *sip.Request:
		return m.Headers()
	case *sip.Response:
		return m.Headers()
	}
	return nil
}

// SplitValues splits a list at its commas.
func SplitValues(list string) (all []string) {
	for {
		n := firstOf(list)
		all = append(all, strings.TrimSpace(list[:n]))
		if n == len(list) {
			return all
		}
		list = list[n+1:]
	}
}

// HasOption reports whether a header names an option tag. The header is Supported
// (also as k), Require, Proxy-Require or Unsupported (RFC 3261 section 20.37).
func HasOption(msg sip.Message, header, tag string) bool {
	compact := header
	if strings.EqualFold(header, "supported") {
		compact = "k"
	}
	return slices.ContainsFunc(tokens(msg, header, compact), func(v string) bool { return strings.EqualFold(v, tag) })
}

// Allows reports whether a message names a method in Allow (RFC 3261 section 20.5). It
// returns false if there is no Allow, because then nothing is known. Methods are
// case-sensitive (section 7.1).
func Allows(msg sip.Message, method string) bool {
	return slices.Contains(tokens(msg, "allow", "allow"), method)
}

// tokens returns the tokens in all headers of a name or its compact form. Tokens have no
// quotes, so every comma is a separator.
func tokens(msg sip.Message, name, compact string) (all []string) {
	for _, list := range RawValues(msg, name, compact) {
		for v := range strings.SplitSeq(list, ",") {
			if v = Trim(v); IsToken(v) {
				all = append(all, v)
			}
		}
	}
	return all
}

// RawValues returns the values of all headers of a name or its compact form, without
// splitting lists.
func RawValues(msg sip.Message, name, compact string) (all []string) {
	names := [...]string{name, compact}
	for i, n := range names {
		if i > 0 && strings.EqualFold(n, name) {
			break
		}
		for _, h := range headersOf(msg) {
			if strings.EqualFold(h.Name(), n) {
				all = append(all, h.Value())
			}
		}
	}
	return all
}

// FirstHeader returns the value of the first header with this name, or "" if there is none.
func FirstHeader(msg sip.Message, name string) string {
	for _, h := range headersOf(msg) {
		if strings.EqualFold(h.Name(), name) {
			return h.Value()
		}
	}
	return ""
}
