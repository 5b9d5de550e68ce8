package twilio

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Twilio's limits of a <Sip> URI (twilio.com/docs, "TwiML Voice: <Sip>", and
// its warning 21227).
const (
	maxURI     = 254  // characters before the headers
	maxHeaders = 1023 // characters of the headers
)

// The errors of CheckHeader and SIPURI.
var (
	ErrHeaderName  = errors.New("header name that Twilio does not take")
	ErrHeaderValue = errors.New("header value that can't be sent")
	ErrHeadersLong = errors.New("headers of more than 1023 characters")
	ErrURI         = errors.New("not a SIP URI for Twilio")
)

// Header is a header that Twilio puts into its INVITE.
type Header struct{ Name, Value string }

// standardHeaders are the names that need no x- (twilio.com/docs, warning
// 13252: exactly as documented).
var standardHeaders = []string{"User-to-User", "Remote-Party-ID", "P-Preferred-Identity", "P-Called-Party-ID"}

// CheckHeader says whether Twilio takes a header of this name in a SIP URI: a
// name that begins with x-, but not with X-Twilio, whose are Twilio's own; or
// one of User-to-User, Remote-Party-ID, P-Preferred-Identity and
// P-Called-Party-ID. The error is an ErrHeaderName.
func CheckHeader(name string) error {
	if slices.Contains(standardHeaders, name) {
		return nil
	}
	lower := strings.ToLower(name)
	switch {
	case !strings.HasPrefix(lower, "x-") || len(lower) == len("x-"):
		return fmt.Errorf("%w: %q; a name begins with X-, or is one of %s", ErrHeaderName, name, strings.Join(standardHeaders, ", "))
	case strings.HasPrefix(lower, "x-twilio"):
		return fmt.Errorf("%w: %q; X-Twilio… are Twilio's own", ErrHeaderName, name)
	case strings.ContainsFunc(name, func(r rune) bool { return r > '~' || !alphanumeric(byte(r)) && !strings.ContainsRune("-_.", r) }):
		return fmt.Errorf("%w: %q; a name has letters, digits, '-', '_' and '.'", ErrHeaderName, name)
	}
	return nil
}

// SIPURI appends headers to a SIP URI, for Twilio to send in its INVITE (RFC
// 3261 section 19.1.1). Values are percent-encoded once, as section 25.1
// demands of an hvalue, with two exceptions: ';' stays as it is unless
// encodeSemicolon is set, because Synthflow's documents print it so in
// X-EI=S.<id>; (Twilio's warning 32110 wants it encoded), and '+' is encoded, because it would be a space to whoever
// reads the headers as a query. The URI must have no headers of its own.
//
// The error is of what Twilio would refuse or mend, and names it: one of
// ErrURI, ErrHeaderName, ErrHeaderValue, ErrHeadersLong.
func SIPURI(uri string, headers []Header, encodeSemicolon bool) (string, error) {
	if err := checkURI(uri); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, h := range headers {
		if err := CheckHeader(h.Name); err != nil {
			return "", err
		}
		if !utf8.ValidString(h.Value) || strings.ContainsFunc(h.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", fmt.Errorf("%w: %s has a control character, or is not UTF-8", ErrHeaderValue, h.Name)
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(h.Name)
		b.WriteByte('=')
		escape(&b, h.Value, encodeSemicolon)
		if b.Len() > maxHeaders {
			return "", fmt.Errorf("%w: up to %s it is %d", ErrHeadersLong, h.Name, b.Len())
		}
	}
	if b.Len() == 0 {
		return uri, nil
	}
	return uri + "?" + b.String(), nil
}

// checkURI wants scheme, user and host, and no character that ends a URI where
// it is put into a header or into TwiML.
func checkURI(uri string) error {
	_, rest, _ := strings.Cut(uri, ":")
	user, host, ok := strings.Cut(rest, "@")
	scheme := strings.ToLower(uri[:len(uri)-len(rest)])
	switch {
	case scheme != "sip:" && scheme != "sips:":
		return fmt.Errorf("%w: %q; a URI begins with sip: or sips: here", ErrURI, uri)
	case !ok || user == "" || strings.Trim(host, ":;") == "" || strings.HasPrefix(host, ":") || strings.HasPrefix(host, ";") || strings.Contains(host, "@"):
		return fmt.Errorf("%w: %q; write sip:<user>@<host>", ErrURI, uri)
	case strings.ContainsRune(uri, '?'):
		return fmt.Errorf("%w: %q has headers, which go elsewhere", ErrURI, uri)
	case strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"\^{|}`+"`", r) }):
		return fmt.Errorf("%w: %q has a character that no URI has", ErrURI, uri)
	case len(uri) > maxURI:
		return fmt.Errorf("%w: it has %d characters, Twilio takes %d", ErrURI, len(uri), maxURI)
	}
	return nil
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// unescaped are the characters that an hvalue has besides letters and digits:
// mark and hnv-unreserved of RFC 3261 section 25.1, without the '+'.
const unescaped = "-_.!~*'()" + "[]/?:$"

func escape(b *strings.Builder, value string, encodeSemicolon bool) {
	const hex = "0123456789ABCDEF"
	for i := range len(value) {
		c := value[i]
		if alphanumeric(c) || strings.IndexByte(unescaped, c) >= 0 || c == ';' && !encodeSemicolon {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
}
