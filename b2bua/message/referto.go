package message

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config/template"
)

// These are the errors in a REFER. The Warning of the refusal contains their texts.
var (
	// ErrReferTo means that there is not exactly one valid Refer-To. The answer is 400.
	ErrReferTo = errors.New("not one Refer-To")
	// ErrReferScheme means that we can't call a URI with this scheme. The answer is 416.
	ErrReferScheme = errors.New("a Refer-To with a URI of another scheme")
	errReferMethod = errors.New("a Refer-To for something else than a call") // RFC 3515 section 2.4.2
	errReferredBy  = errors.New("not one Referred-By")
)

// maxReferred bounds the headers within a Refer-To.
const maxReferred = 16

// Referral is the call that a Refer-To asks for (RFC 3515 section 2.1).
type Referral struct {
	URI     string // without headers and method; ParseURI can read it
	Scheme  string // sip, sips or tel
	user    string // with escapes; for tel, the number with its parameters
	Host    string // an IPv6 address is without brackets; empty for tel
	Headers []HeaderLine
	Dropped []string // names of headers that a referrer may not set
	method  string   // INVITE or empty, which means the same
}

// ReferTo reads the Refer-To of a REFER. There must be one (RFC 3515 section 2.4.1).
func ReferTo(req sip.Message) (Referral, error) {
	all := RawValues(req, "refer-to", "r")
	if len(all) != 1 {
		return Referral{}, fmt.Errorf("%w: there are %d", ErrReferTo, len(all))
	}
	return ParseReferTo(all[0])
}

// ParseReferTo reads a Refer-To: a name-addr, or an addr-spec, whose URI has no
// headers (RFC 3261 section 20).
func ParseReferTo(value string) (r Referral, err error) {
	if firstOf(value) != len(value) {
		return Referral{}, fmt.Errorf("%w: there are two", ErrReferTo)
	}
	a, wrong := splitAddress(value)
	if wrong != "" {
		return Referral{}, fmt.Errorf("%w: it %s", ErrReferTo, wrong)
	}
	base, embedded, asked := cutEmbedded(a.uri)
	if _, _, bracketed := CutUnquoted(value, '<'); asked && !bracketed {
		return Referral{}, fmt.Errorf("%w: headers in a URI without brackets", ErrReferTo)
	}
	if err := r.readURI(base); err != nil {
		return Referral{}, err
	}
	if asked && r.Scheme == "tel" {
		return Referral{}, fmt.Errorf("%w: headers in a tel URI", ErrReferTo)
	}
	// In an addr-spec, parameters that were meant for the URI belong to the header.
	if _, err := r.readMethod(a.params); err != nil {
		return Referral{}, err
	}
	if err := r.readHeaders(embedded); err != nil {
		return Referral{}, err
	}
	return r, nil
}

// Referred reads the party that an order names instead of a REFER: a number, a host, user@host, or a URI. The call gets
// the headers, under the rules for a Refer-To.
func Referred(to string, headers []HeaderLine) (r Referral, err error) {
	scheme, _, found := CutByte(strings.ToLower(to), ':')
	switch {
	case found && (scheme == "sip" || scheme == "sips" || scheme == "tel"):
	case to != "" && strings.IndexByte("+0123456789*#(", to[0]) >= 0 && !strings.Contains(to, "@"):
		to = "tel:" + to
	default:
		to = "sip:" + to
	}
	if r, err = ParseReferTo("<" + to + ">"); err != nil || len(headers) == 0 {
		return r, err
	}
	_, embedded, _ := strings.Cut(strings.Trim(WithEmbedded("", headers), "<>"), "?")
	return r, r.readHeaders(embedded)
}

// cutEmbedded splits the headers off a URI. The user part may contain a ?, too.
func cutEmbedded(uri string) (base, embedded string, found bool) {
	host := strings.IndexByte(uri, '@') + 1
	i := strings.IndexByte(uri[host:], '?')
	if i < 0 {
		return uri, "", false
	}
	return uri[:host+i], uri[host+i+1:], true
}

// readURI reads a URI without headers, whose form splitAddress has checked.
func (r *Referral) readURI(uri string) error {
	if len(uri) > MaxURI {
		return fmt.Errorf("%w: a URI of more than %d bytes", ErrReferTo, MaxURI)
	}
	scheme, rest, _ := CutByte(uri, ':')
	r.Scheme = strings.ToLower(scheme)
	switch r.Scheme {
	case "sip", "sips":
		return r.readSIP(rest)
	case "tel":
		return r.readTel(rest)
	default:
		return fmt.Errorf("%w: %q", ErrReferScheme, Phrase(scheme))
	}
}

// readSIP reads a SIP URI (RFC 3261 section 19.1.1), which must be as well-formed as a
// URI in the configuration.
func (r *Referral) readSIP(rest string) error {
	at, params, _ := CutByte(rest, ';')
	if userinfo, server, hasUser := CutByte(rest, '@'); hasUser {
		at, params, _ = CutByte(server, ';')
		at = userinfo + "@" + at
	}
	params, err := r.readMethod(params)
	if err != nil {
		return err
	}
	text := "sip:" + at + params
	uri := ParseURI(text)
	if !IsSound(text, &uri) {
		return fmt.Errorf("%w: the URI %q", ErrReferTo, Phrase(rest))
	}
	r.URI, r.user, r.Host = r.Scheme+text[len("sip"):], uri.User, TrimBrackets(uri.Host)
	return nil
}

// telBytes may be in a number, telParamBytes in its parameters (RFC 3966 section 3).
var (
	telBytes      = setOfBytes(func(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF*#-.()", c) >= 0 })
	telParamBytes = setOfBytes(func(c byte) bool {
		return isTokenByte(c) && c != '`' ||
			strings.IndexByte(";=[]/:&$()", c) >= 0
	})
)

// readTel reads a tel URI from its number on. A local number without a phone-context
// counts as a number that this side knows.
func (r *Referral) readTel(rest string) error {
	number, params, _ := CutByte(rest, ';')
	digits := strings.TrimPrefix(number, "+")
	if hasOther(digits, &telBytes) || withoutSeparators(digits) == "" || hasOther(params, &telParamBytes) {
		return fmt.Errorf("%w: the number %q", ErrReferTo, Phrase(rest))
	}
	params, err := r.readMethod(params)
	if err != nil {
		return err
	}
	r.user = number + params
	r.URI = r.Scheme + ":" + r.user
	return nil
}

// readMethod removes the method from parameters. The method must be INVITE.
func (r *Referral) readMethod(params string) (kept string, err error) {
	var b strings.Builder
	for params != "" {
		var one string
		one, params, _ = CutUnquoted(params, ';')
		key, v, _ := CutByte(one, '=')
		switch {
		case Trim(one) == "":
		case !EqualFold(Unescape(Trim(key)), "method"):
			b.WriteString(";" + one)
		case EqualFold(Unescape(Trim(v)), "invite"):
			r.method = "INVITE"
		default:
			return "", fmt.Errorf("%w: %q", errReferMethod, Phrase(v))
		}
	}
	return b.String(), nil
}

// readHeaders reads the headers that the call is to have (RFC 3261 section 19.1.1). All
// must be well-formed, including the dropped ones.
func (r *Referral) readHeaders(embedded string) error {
	if embedded == "" {
		return nil
	}
	n := 0
	for one := range strings.SplitSeq(embedded, "&") {
		if n++; n > maxReferred {
			return fmt.Errorf("%w: more than %d headers", ErrReferTo, maxReferred)
		}
		h, err := embeddedHeader(one)
		if err != nil {
			return err
		}
		switch name := settable(h.Name); {
		case name == "":
			r.Dropped = append(r.Dropped, h.Name)
		case (name == "Replaces" || name == "Subject") && slices.ContainsFunc(r.Headers,
			func(o HeaderLine) bool { return o.Name == name }):
			return fmt.Errorf("%w: two %s", ErrReferTo, name)
		default:
			r.Headers = append(r.Headers, HeaderLine{name, h.Value})
		}
	}
	return nil
}

// embeddedHeader decodes one header of a URI.
func embeddedHeader(escaped string) (h HeaderLine, err error) {
	key, v, found := strings.Cut(escaped, "=")
	if h.Name, err = url.PathUnescape(key); err != nil || !found || !IsToken(h.Name) || strings.Contains(h.Name, "%") ||
		len(h.Name) > MaxPhrase {
		return HeaderLine{}, fmt.Errorf("%w: the header %q", ErrReferTo, Phrase(escaped))
	}
	if h.Value, err = url.PathUnescape(v); err != nil {
		return HeaderLine{}, fmt.Errorf("%w: the escapes of %s", ErrReferTo, h.Name)
	}
	switch {
	case len(h.Value) > MaxPassedValue:
		return HeaderLine{}, fmt.Errorf("%w: more than %d bytes of %s", ErrReferTo, MaxPassedValue, h.Name)
	case strings.ContainsFunc(h.Value, template.IsControl):
		return HeaderLine{}, fmt.Errorf("%w: control characters in %s", ErrReferTo, h.Name)
	case !utf8.ValidString(h.Value):
		return HeaderLine{}, fmt.Errorf("%w: no UTF-8 in %s", ErrReferTo, h.Name)
	}
	h.Value = Trim(h.Value)
	return h, nil
}

// settable returns the name of a header if a referrer may set it, or "" if not (RFC 3261
// section 19.1.5):
//
//   - User-to-User is the referrer's message to the next party (RFC 7433 section 4),
//     Subject is for humans, and X- headers are agreed between the two parties. X-EI is
//     not allowed, because the platform identifies the call by it.
//   - Replaces makes the call take another's place (RFC 3891).
//   - Headers that name the caller (From, P-Asserted-Identity and all P- headers,
//     Privacy, Diversion, Identity), route the message (Via, Route, Contact, Call-ID)
//     or negotiate (Supported, Require, Allow, Accept) are set by the leg. Phones
//     fetch the targets of Call-Info and Alert-Info. The REFER has its own
//     Referred-By. Authorization, body and Content-Type are the leg's own.
func settable(name string) string {
	switch lower := strings.ToLower(name); {
	case lower == "user-to-user":
		return "User-to-User"
	case lower == "replaces":
		return "Replaces"
	case lower == "subject", lower == "s":
		return "Subject"
	case strings.HasPrefix(lower, "x-") && len(name) > 2 && lower != "x-ei":
		return name
	default:
		return ""
	}
}

// ReferredBy returns the URI of a message's Referred-By, or "" if there is none (RFC 3892
// section 3). Its parameters are left out: they may name a signature in the body, which
// is not passed on.
func ReferredBy(msg sip.Message) (string, error) {
	all := RawValues(msg, "referred-by", "b")
	if len(all) == 0 {
		return "", nil
	}
	if len(all) > 1 || firstOf(all[0]) != len(all[0]) {
		return "", fmt.Errorf("%w: there are several", errReferredBy)
	}
	a, wrong := splitAddress(all[0])
	if wrong != "" {
		return "", fmt.Errorf("%w: it %s", errReferredBy, wrong)
	}
	if _, _, asked := cutEmbedded(a.uri); asked || len(a.uri) > MaxURI {
		return "", fmt.Errorf("%w: a URI with headers or of more than %d bytes", errReferredBy, MaxURI)
	}
	return a.uri, nil
}

// WantsReport reports whether the sender of a REFER wants NOTIFYs about the call: it
// does unless Refer-Sub is false (RFC 4488 section 4).
func WantsReport(req sip.Message) bool {
	for _, v := range RawValues(req, "refer-sub", "refer-sub") {
		if word, _, _ := CutByte(v, ';'); EqualFold(Trim(word), "false") {
			return false
		}
	}
	return true
}

// Sipfrag returns the body of a NOTIFY about a REFER, a status line (RFC 3515 section
// 2.4.5, RFC 3420 section 2).
func Sipfrag(code int, reason string) []byte {
	if reason = Phrase(reason); reason == "" {
		reason = reasonPhrases[code] // may be empty, too
	}
	return []byte("SIP/2.0 " + strconv.Itoa(code) + " " + reason + "\r\n")
}

// WithEmbedded returns a URI with embedded headers (RFC 3261 section 19.1.1), in the
// angle brackets that it then needs.
func WithEmbedded(uri string, headers []HeaderLine) string {
	sep := "?"
	for _, h := range headers {
		uri += sep + h.Name + "=" + strings.ReplaceAll(url.QueryEscape(h.Value), "+", "%20")
		sep = "&"
	}
	return "<" + uri + ">"
}
