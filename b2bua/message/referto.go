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
)

// The ways in which a REFER can't be followed.
var (
	ErrReferTo     = errors.New("not one Refer-To")                          // 400
	ErrReferScheme = errors.New("a Refer-To with a URI of another scheme")   // 416
	errReferMethod = errors.New("a Refer-To for something else than a call") // RFC 3515 section 2.4.2
	errReferredBy  = errors.New("not one Referred-By")
)

// maxReferred bounds the headers within a Refer-To.
const maxReferred = 16

// Referral is who a Refer-To wants to be called, and how (RFC 3515 section 2.1).
type Referral struct {
	Uri     string // without headers and method; parseURI can read it
	Scheme  string // sip, sips or tel
	user    string // escapes and all; of tel the number with its parameters
	Host    string // of an IPv6 address without its brackets; empty with tel
	Headers []HeaderLine
	Dropped []string // names of headers that a referrer may not set
	method  string   // INVITE if the URI says so, else empty: the same
}

// ReferTo reads the Refer-To of a REFER, which has to have one (RFC 3515
// section 2.4.1).
func ReferTo(req sip.Message) (Referral, error) {
	all := RawValues(req, "refer-to", "r")
	if len(all) != 1 {
		return Referral{}, fmt.Errorf("%w: there are %d", ErrReferTo, len(all))
	}
	return parseReferTo(all[0])
}

// parseReferTo reads a Refer-To: a name-addr, or an addr-spec, whose URI then
// has no headers (RFC 3261 section 20).
func parseReferTo(value string) (r Referral, err error) {
	if firstOf(value) != len(value) {
		return Referral{}, fmt.Errorf("%w: there are two", ErrReferTo)
	}
	a, wrong := SplitAddress(value)
	if wrong != "" {
		return Referral{}, fmt.Errorf("%w: it %s", ErrReferTo, wrong)
	}
	base, embedded, asked := cutEmbedded(a.Uri)
	if _, _, bracketed := CutUnquoted(value, '<'); asked && !bracketed {
		return Referral{}, fmt.Errorf("%w: headers in a URI without brackets", ErrReferTo)
	}
	if err := r.readURI(base); err != nil {
		return Referral{}, err
	}
	if asked && r.Scheme == "tel" {
		return Referral{}, fmt.Errorf("%w: headers in a tel URI", ErrReferTo)
	}
	// Of an addr-spec what stands behind a semicolon is the header's, though it
	// was meant for the URI.
	if _, err := r.readMethod(a.Params); err != nil {
		return Referral{}, err
	}
	if err := r.readHeaders(embedded); err != nil {
		return Referral{}, err
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

// readSIP reads a SIP URI (RFC 3261 section 19.1.1). It has to be one that we
// would call if it stood in the configuration.
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
	r.Uri, r.user, r.Host = r.Scheme+text[len("sip"):], uri.User, TrimBrackets(uri.Host)
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
	r.Uri = r.Scheme + ":" + r.user
	return nil
}

// readMethod takes the method out of parameters. Only calls are made.
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

// readHeaders reads the headers that the call is to have (RFC 3261 section
// 19.1.1). Each has to be sound, also those that are dropped.
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
		case (name == "Replaces" || name == "Subject") && slices.ContainsFunc(r.Headers, func(o HeaderLine) bool { return o.Name == name }):
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
	if h.Name, err = url.PathUnescape(key); err != nil || !found || !IsToken(h.Name) || strings.Contains(h.Name, "%") || len(h.Name) > MaxPhrase {
		return HeaderLine{}, fmt.Errorf("%w: the header %q", ErrReferTo, Phrase(escaped))
	}
	if h.Value, err = url.PathUnescape(v); err != nil {
		return HeaderLine{}, fmt.Errorf("%w: the escapes of %s", ErrReferTo, h.Name)
	}
	switch {
	case len(h.Value) > MaxPassedValue:
		return HeaderLine{}, fmt.Errorf("%w: more than %d bytes of %s", ErrReferTo, MaxPassedValue, h.Name)
	case strings.ContainsFunc(h.Value, IsControl):
		return HeaderLine{}, fmt.Errorf("%w: control characters in %s", ErrReferTo, h.Name)
	case !utf8.ValidString(h.Value):
		return HeaderLine{}, fmt.Errorf("%w: no UTF-8 in %s", ErrReferTo, h.Name)
	}
	h.Value = Trim(h.Value)
	return h, nil
}

// settable is the name of a header that a referrer may set, empty for all
// others (RFC 3261 section 19.1.5):
//
//   - User-to-User is what a referrer tells the next party (RFC 7433 section
//     4), Subject a word to a human, and X- headers are what the two have
//     agreed upon. Not X-EI: by that a platform knows the call.
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
	case strings.HasPrefix(lower, "x-") && len(name) > 2 && lower != "x-ei":
		return name
	default:
		return ""
	}
}

// ReferredBy is the URI of a message's Referred-By, empty where there is none
// (RFC 3892 section 3). Its parameters, a signature's Content-ID among them,
// are left out: the body that they name does not go on.
func ReferredBy(msg sip.Message) (string, error) {
	all := RawValues(msg, "referred-by", "b")
	if len(all) == 0 {
		return "", nil
	}
	if len(all) > 1 || firstOf(all[0]) != len(all[0]) {
		return "", fmt.Errorf("%w: there are several", errReferredBy)
	}
	a, wrong := SplitAddress(all[0])
	if wrong != "" {
		return "", fmt.Errorf("%w: it %s", errReferredBy, wrong)
	}
	if _, _, asked := cutEmbedded(a.Uri); asked || len(a.Uri) > MaxURI {
		return "", fmt.Errorf("%w: a URI with headers or of more than %d bytes", errReferredBy, MaxURI)
	}
	return a.Uri, nil
}

// WantsReport says whether a REFER wants to hear what became of it: unless
// Refer-Sub is false (RFC 4488 section 4).
func WantsReport(req sip.Message) bool {
	for _, v := range RawValues(req, "refer-sub", "refer-sub") {
		if word, _, _ := CutByte(v, ';'); EqualFold(Trim(word), "false") {
			return false
		}
	}
	return true
}

// Sipfrag is the body of a NOTIFY about a REFER: a status line (RFC 3515
// section 2.4.5, RFC 3420 section 2).
func Sipfrag(code int, reason string) []byte {
	if reason = Phrase(reason); reason == "" {
		reason = reasonPhrases[code] // may be empty too
	}
	return []byte("SIP/2.0 " + strconv.Itoa(code) + " " + reason + "\r\n")
}
