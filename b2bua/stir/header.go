package stir

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// The limits for a peer: the bytes of one Identity header, and the number of an INVITE's
// headers that are read.
const (
	maxHeader  = 8192
	maxHeaders = 8
)

// header is one Identity header (RFC 8224 section 4).
type header struct {
	protected string // the JOSE header, as base64url; empty in the compact form
	payload   string // the claims; empty in the compact form
	signature []byte
	info      string // the URL of the certificate
	ppt       string // the extension; empty if none
}

// compact reports whether the claims must be made from the SIP request (RFC 8224 section
// 4.1.1).
func (h *header) compact() bool { return h.protected == "" }

var (
	errTooLong    = errors.New("an Identity header of more than 8192 bytes")
	errForm       = errors.New("an Identity header that is not well-formed")
	errAlgorithm  = errors.New("an algorithm other than ES256")
	errNoInfo     = errors.New("an Identity header without info")
	errTwice      = errors.New("an Identity header with a parameter twice")
	errBadInfo    = errors.New("an info that is no URL in brackets")
	errSignature  = errors.New("a signature that is not one of ES256")
	errBadBase64  = errors.New("a PASSporT that is not base64url")
	errHalfLength = errors.New("a PASSporT with one of header and claims")
)

// parseHeader reads the value of an Identity header.
func parseHeader(value string) (h header, err error) {
	if len(value) > maxHeader {
		return h, errTooLong
	}
	token, params, ok := cutUnquoted(value, ';')
	if !ok {
		return h, errNoInfo
	}
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return h, errForm
	}
	h.protected, h.payload = parts[0], parts[1]
	if (h.protected == "") != (h.payload == "") {
		return h, errHalfLength
	}
	if h.signature, err = base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil ||
		len(h.signature) != signatureSize {
		return h, errSignature
	}
	return h, h.read(params)
}

// read reads the parameters. Unknown ones are allowed.
func (h *header) read(params string) error {
	seen := map[string]bool{}
	for more := true; more; {
		var one string
		one, params, more = cutUnquoted(params, ';')
		name, value, _ := strings.Cut(one, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == "" || seen[name] {
			return errTwice
		}
		seen[name] = true
		switch name {
		case "info":
			inner, ok := strings.CutPrefix(value, "<")
			inner, closed := strings.CutSuffix(inner, ">")
			if u, err := url.Parse(inner); !ok || !closed || err != nil || u.Host == "" || !printable(inner) {
				return errBadInfo
			}
			h.info = inner
		case "alg":
			if unquote(value) != "ES256" {
				return errAlgorithm
			}
		case "ppt":
			h.ppt = unquote(value)
			if h.ppt == "" || !printable(h.ppt) {
				return errForm
			}
		}
	}
	if h.info == "" {
		return errNoInfo
	}
	return nil
}

// cutUnquoted splits v at the first sep outside quotes and brackets.
func cutUnquoted(v string, sep byte) (before, after string, found bool) {
	quoted, bracket := false, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && !bracket:
			quoted = !quoted
		case quoted:
		case c == '<':
			bracket = true
		case c == '>':
			bracket = false
		case c == sep && !bracket:
			return v[:i], v[i+1:], true
		}
	}
	return v, "", false
}

func unquote(v string) string {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

// printable reports whether a text has nothing but visible ASCII.
func printable(v string) bool {
	return !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' })
}
