package message

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config/template"
)

// These are the limits of a party's URI and name, in bytes.
const (
	MaxURI  = 512
	maxName = 128
)

// PartyOf returns one side of the call in the form that templates use. If the URI is too
// long or has control characters, only the name is kept, because a part of a number would
// be another number.
func PartyOf(name string, uri *sip.Uri, country string) template.Party {
	p := template.Party{Name: Printable(Unquote(name), maxName)}
	text := URIText(uri)
	if len(text) > MaxURI || strings.ContainsFunc(text, template.IsControl) {
		return p
	}
	p.User, p.Host, p.URI = userIn(uri), uri.Host, text
	number := p.User
	if context, ok := uri.UriParams.Get("phone-context"); ok && !strings.Contains(number, ";") {
		number += ";phone-context=" + context // belongs to the user part by RFC 3966, but some put it after the host
	}
	if p.Number = NormaliseNumber(number, country); p.Number == number {
		p.Number = NormaliseNumber(p.User, country)
	}
	return p
}

func userIn(uri *sip.Uri) string {
	if raw := uri.Raw(); raw != "" { // tel: and other schemes
		return raw
	}
	return uri.User
}

// HidesCaller reports whether the URI in From replaces that of a caller who wants privacy.
func HidesCaller(uri *sip.Uri) bool {
	return isHidden(template.Party{User: userIn(uri), Host: uri.Host}) && isHidden(PartyOf("", uri, ""))
}

// ParseParty reads one name-addr or addr-spec of a telephone or SIP user, and the
// parameters after it.
func ParseParty(value, country string) (p template.Party, params sip.HeaderParams, ok bool) {
	var uri sip.Uri
	name, err := sip.ParseAddressValue(strings.TrimSpace(value), &uri, &params)
	if err != nil {
		return p, nil, false
	}
	switch uri.Scheme {
	case "sip", "sips":
		ok = uri.Host != ""
	case "tel":
		ok = uri.Raw() != ""
	}
	if !ok {
		return p, nil, false
	}
	p = PartyOf(name, &uri, country)
	return p, params, p.URI != ""
}

// IsNumber reports whether s is digits, with or without a plus.
func IsNumber(s string) bool { return AllDigits(strings.TrimPrefix(s, "+")) }

// isHidden reports whether a party replaces a caller who wants privacy (RFC 3323 section 4.1.1.3,
// and the words that carriers use).
func isHidden(p template.Party) bool {
	user := plainUser(p)
	return user == "anonymous" || user == "restricted" || user == "private" ||
		strings.EqualFold(p.Host, "anonymous.invalid")
}

// plainUser returns a party's user part in lower case, without parameters.
func plainUser(p template.Party) string {
	user, _, _ := strings.Cut(p.User, ";")
	return strings.ToLower(Unescape(user))
}

// NamesNobody reports whether a party is hidden or unknown.
func NamesNobody(p template.Party) bool {
	user := plainUser(p)
	return isHidden(p) || user == "" || user == "unavailable" || user == "unknown" ||
		strings.EqualFold(p.Host, "unknown.invalid")
}
