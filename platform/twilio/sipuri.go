package twilio

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"flowbridge/config/twiml"
)

// Twilio's limits on a <Sip> URI (twilio.com/docs, "TwiML Voice: <Sip>", and its warning 21227).
const (
	maxURI     = 254  // characters before the headers
	maxHeaders = 1023 // characters of the headers
)

// These are the errors of SIPURI.
var (
	errHeaderValue = errors.New("header value that can't be sent")
	errHeadersLong = errors.New("headers of more than 1023 characters")
	errURI         = errors.New("not a SIP URI for Twilio")
)

// Header is a header that Twilio puts into its INVITE.
type Header struct{ Name, Value string }

// SIPURI appends headers to a SIP URI, for Twilio to send in its INVITE (RFC 3261 section 19.1.1). Values are
// percent-encoded once, as section 25.1 requires for an hvalue, with two exceptions. ';' stays, because Synthflow's
// documents show X-EI=S.<id> with it, and Twilio treats it like %3B. '+' is encoded, because programs that read the
// headers as a query take it for a space. The URI must not have headers.
//
// An error names the part that Twilio would refuse or change.
func SIPURI(uri string, headers []Header) (string, error) {
	if err := checkURI(uri); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, h := range headers {
		if err := twiml.CheckHeader(h.Name); err != nil {
			return "", err
		}
		if !utf8.ValidString(h.Value) || strings.ContainsFunc(h.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", fmt.Errorf("%w: %s has a control character, or is not UTF-8", errHeaderValue, h.Name)
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(h.Name)
		b.WriteByte('=')
		escape(&b, h.Value)
		if b.Len() > maxHeaders {
			return "", fmt.Errorf("%w: up to %s it is %d", errHeadersLong, h.Name, b.Len())
		}
	}
	if b.Len() == 0 {
		return uri, nil
	}
	return uri + "?" + b.String(), nil
}

// checkURI requires scheme, user and host, and forbids characters that end a URI in a header or in TwiML.
func checkURI(uri string) error {
	_, rest, _ := strings.Cut(uri, ":")
	user, host, ok := strings.Cut(rest, "@")
	scheme := strings.ToLower(uri[:len(uri)-len(rest)])
	switch {
	case scheme != "sip:" && scheme != "sips:":
		return fmt.Errorf("%w: %q; a URI begins with sip: or sips: here", errURI, uri)
	case !ok || user == "" || strings.Trim(host, ":;") == "" || strings.HasPrefix(host, ":") ||
		strings.HasPrefix(host, ";") || strings.Contains(host, "@"):
		return fmt.Errorf("%w: %q; write sip:<user>@<host>", errURI, uri)
	case strings.ContainsRune(uri, '?'):
		return fmt.Errorf("%w: %q has headers, which go elsewhere", errURI, uri)
	case strings.ContainsFunc(uri, func(r rune) bool {
		return r <= ' ' || r > '~' ||
			strings.ContainsRune(`<>"\^{|}`+"`", r)
	}):
		return fmt.Errorf("%w: %q has a character that no URI has", errURI, uri)
	case len(uri) > maxURI:
		return fmt.Errorf("%w: it has %d characters, Twilio takes %d", errURI, len(uri), maxURI)
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// unescaped lists the characters of an hvalue in addition to letters and digits: mark and hnv-unreserved of RFC 3261
// section 25.1, without '+'.
const unescaped = "-_.!~*'()" + "[]/?:$"

func escape(b *strings.Builder, value string) {
	const hex = "0123456789ABCDEF"
	for i := range len(value) {
		c := value[i]
		if alphanumeric(c) || strings.IndexByte(unescaped, c) >= 0 || c == ';' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
}
