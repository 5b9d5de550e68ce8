package b2bua

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emiago/sipgo/sip"
)

// The ways in which a REFER can't be followed.
var (
	errReferTo     = errors.New("not one Refer-To")                          // 400
	errReferScheme = errors.New("a Refer-To with a URI of another scheme")   // 416
	errReferMethod = errors.New("a Refer-To for something else than a call") // RFC 3515 section 2.4.2
	errReferredBy  = errors.New("not one Referred-By")
)

// maxReferred bounds the headers within a Refer-To.
const maxReferred = 16

// referral is who a Refer-To wants to be called, and how (RFC 3515 section 2.1).
type referral struct {
	uri     string // without headers and method; parseURI can read it
	scheme  string // sip, sips or tel
	user    string // escapes and all; of tel the number with its parameters
	host    string // of an IPv6 address without its brackets; empty with tel
	headers []headerLine
	dropped []string // names of headers that a referrer may not set
	method  string   // INVITE if the URI says so, else empty: the same
}

// referTo reads the Refer-To of a REFER, which has to have one (RFC 3515
// section 2.4.1).
func referTo(req sip.Message) (referral, error) {
	all := namedHeaders(req, "refer-to", "r")
	if len(all) != 1 {
		return referral{}, fmt.Errorf("%w: there are %d", errReferTo, len(all))
	}
	return parseReferTo(all[0])
}

// parseReferTo reads a Refer-To: a name-addr, or an addr-spec, whose URI then
// has no headers (RFC 3261 section 20).
func parseReferTo(value string) (r referral, err error) {
	if firstOf(value) != len(value) {
		return referral{}, fmt.Errorf("%w: there are two", errReferTo)
	}
	a, wrong := splitAddress(value)
	if wrong != "" {
		return referral{}, fmt.Errorf("%w: it %s", errReferTo, wrong)
	}
	base, embedded, asked := cutEmbedded(a.uri)
	if _, _, bracketed := cutUnquoted(value, '<'); asked && !bracketed {
		return referral{}, fmt.Errorf("%w: headers in a URI without brackets", errReferTo)
	}
	if err := r.readURI(base); err != nil {
		return referral{}, err
	}
	if asked && r.scheme == "tel" {
		return referral{}, fmt.Errorf("%w: headers in a tel URI", errReferTo)
	}
	// Of an addr-spec what stands behind a semicolon is the header's, though it
	// was meant for the URI.
	if _, err := r.readMethod(a.params); err != nil {
		return referral{}, err
	}
	if err := r.readHeaders(embedded); err != nil {
		return referral{}, err
	}
	return r, nil
}

// cutEmbedded splits the headers off a URI. A ? may also stand in the user
// part.
func cutEmbedded(uri string) (base, embedded string, found bool) {
	host := strings.IndexByte(uri, '@') + 1
	i := strings.IndexByte(uri[host:], '?')
	if i < 0 {
		return uri, "", false
	}
	return uri[:host+i], uri[host+i+1:], true
}

// readURI reads a URI without headers, whose form splitAddress has judged.
func (r *referral) readURI(uri string) error {
	if len(uri) > maxURI {
		return fmt.Errorf("%w: a URI of more than %d bytes", errReferTo, maxURI)
	}
	scheme, rest, _ := cutByte(uri, ':')
	r.scheme = strings.ToLower(scheme)
	switch r.scheme {
	case "sip", "sips":
		return r.readSIP(rest)
	case "tel":
		return r.readTel(rest)
	default:
		return fmt.Errorf("%w: %q", errReferScheme, phrase(scheme))
	}
}

// readSIP reads a SIP URI (RFC 3261 section 19.1.1). It has to be one that we
// would call if it stood in the configuration.
func (r *referral) readSIP(rest string) error {
	at, params, _ := cutByte(rest, ';')
	if userinfo, server, hasUser := cutByte(rest, '@'); hasUser {
		at, params, _ = cutByte(server, ';')
		at = userinfo + "@" + at
	}
	params, err := r.readMethod(params)
	if err != nil {
		return err
	}
	text := "sip:" + at + params
	uri := parseURI(text)
	if !soundURI(text, &uri) {
		return fmt.Errorf("%w: the URI %q", errReferTo, phrase(rest))
	}
	r.uri, r.user, r.host = r.scheme+text[len("sip"):], uri.User, trimBrackets(uri.Host)
	return nil
}

// telBytes may stand in a number, telParamBytes in its parameters (RFC 3966
// section 3).
var (
	telBytes      = setOfBytes(func(c byte) bool { return isHex(c) || strings.IndexByte("*#-.()", c) >= 0 })
	telParamBytes = setOfBytes(func(c byte) bool { return isTokenByte(c) && c != '`' || strings.IndexByte(";=[]/:&$()", c) >= 0 })
)

// readTel reads a tel URI from its number on. A local number without its
// phone-context is taken for one that our side knows.
func (r *referral) readTel(rest string) error {
	number, params, _ := cutByte(rest, ';')
	digits := strings.TrimPrefix(number, "+")
	if hasOther(digits, &telBytes) || withoutSeparators(digits) == "" || hasOther(params, &telParamBytes) {
		return fmt.Errorf("%w: the number %q", errReferTo, phrase(rest))
	}
	params, err := r.readMethod(params)
	if err != nil {
		return err
	}
	r.user = number + params
	r.uri = r.scheme + ":" + r.user
	return nil
}

// readMethod takes the method out of parameters. Only calls are made.
func (r *referral) readMethod(params string) (kept string, err error) {
	var b strings.Builder
	for params != "" {
		var one string
		one, params, _ = cutUnquoted(params, ';')
		key, v, _ := cutByte(one, '=')
		switch {
		case trimmed(one) == "":
		case !equalFold(unescape(trimmed(key)), "method"):
			b.WriteString(";" + one)
		case equalFold(unescape(trimmed(v)), "invite"):
			r.method = "INVITE"
		default:
			return "", fmt.Errorf("%w: %q", errReferMethod, phrase(v))
		}
	}
	return b.String(), nil
}

// readHeaders reads the headers that the call is to have (RFC 3261 section
// 19.1.1). Each has to be sound, also those that are dropped.
func (r *referral) readHeaders(embedded string) error {
	if embedded == "" {
		return nil
	}
	n := 0
	for one := range strings.SplitSeq(embedded, "&") {
		if n++; n > maxReferred {
			return fmt.Errorf("%w: more than %d headers", errReferTo, maxReferred)
		}
		h, err := embeddedHeader(one)
		if err != nil {
			return err
		}
		switch name := settable(h.name); {
		case name == "":
			r.dropped = append(r.dropped, h.name)
		case (name == "Replaces" || name == "Subject") && slices.ContainsFunc(r.headers, func(o headerLine) bool { return o.name == name }):
			return fmt.Errorf("%w: two %s", errReferTo, name)
		default:
			r.headers = append(r.headers, headerLine{name, h.value})
		}
	}
	return nil
}

// embeddedHeader decodes one header of a URI.
func embeddedHeader(escaped string) (h headerLine, err error) {
	key, v, found := strings.Cut(escaped, "=")
	if h.name, err = url.PathUnescape(key); err != nil || !found || !isToken(h.name) || len(h.name) > maxPhrase {
		return headerLine{}, fmt.Errorf("%w: the header %q", errReferTo, phrase(escaped))
	}
	if h.value, err = url.PathUnescape(v); err != nil {
		return headerLine{}, fmt.Errorf("%w: the escapes of %s", errReferTo, h.name)
	}
	switch {
	case len(h.value) > maxPassedValue:
		return headerLine{}, fmt.Errorf("%w: more than %d bytes of %s", errReferTo, maxPassedValue, h.name)
	case strings.ContainsFunc(h.value, isControl):
		return headerLine{}, fmt.Errorf("%w: control characters in %s", errReferTo, h.name)
	case !utf8.ValidString(h.value):
		return headerLine{}, fmt.Errorf("%w: no UTF-8 in %s", errReferTo, h.name)
	}
	h.value = trimmed(h.value)
	return h, nil
}

// settable is the name of a header that a referrer may set, empty for all
// others (RFC 3261 section 19.1.5):
//
//   - User-to-User is what a referrer tells the next party (RFC 7433 section
//     4), Subject a word to a human, and X- headers are what the two have
//     agreed upon. Whoever gives an X- header a meaning of its own has to look
//     here first.
//   - Replaces makes the call take another's place (RFC 3891).
//   - Not what says who calls (From, P-Asserted-Identity and all P- headers,
//     Privacy, Diversion, Identity), how the message goes (Via, Route, Contact,
//     Call-ID), or how we can do things (Supported, Require, Allow, Accept):
//     these are ours. Not Call-Info and Alert-Info: phones fetch what they
//     name. Not Referred-By: the REFER has one itself. Not Authorization, body
//     and Content-Type: we send our own.
func settable(name string) string {
	switch lower := strings.ToLower(name); {
	case lower == "user-to-user":
		return "User-to-User"
	case lower == "replaces":
		return "Replaces"
	case lower == "subject", lower == "s":
		return "Subject"
	case strings.HasPrefix(lower, "x-") && len(name) > 2:
		return name
	default:
		return ""
	}
}

// referredBy is the URI of a message's Referred-By, empty where there is none
// (RFC 3892 section 3). Its parameters, a signature's Content-ID among them,
// are left out: the body that they name does not go on.
func referredBy(msg sip.Message) (string, error) {
	all := namedHeaders(msg, "referred-by", "b")
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
	if _, _, asked := cutEmbedded(a.uri); asked || len(a.uri) > maxURI {
		return "", fmt.Errorf("%w: a URI with headers or of more than %d bytes", errReferredBy, maxURI)
	}
	return a.uri, nil
}

// wantsReport says whether a REFER wants to hear what became of it: unless
// Refer-Sub is false (RFC 4488 section 4).
func wantsReport(req sip.Message) bool {
	for _, v := range namedHeaders(req, "refer-sub", "refer-sub") {
		if word, _, _ := cutByte(v, ';'); equalFold(trimmed(word), "false") {
			return false
		}
	}
	return true
}

// sipfrag is the body of a NOTIFY about a REFER: a status line (RFC 3515
// section 2.4.5, RFC 3420 section 2).
func sipfrag(code int, reason string) []byte {
	if reason = phrase(reason); reason == "" {
		reason = reasonPhrases[code] // may be empty too
	}
	return []byte("SIP/2.0 " + strconv.Itoa(code) + " " + reason + "\r\n")
}
