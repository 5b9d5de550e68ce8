package message

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// Bounds of what a peer says of a party, in bytes.
const (
	MaxURI  = 512
	maxName = 128
)

// PartyOf is how templates see one side of the call. Of a URI that is too long,
// or holds a control character, only the name is kept: half a number would be
// another one.
func PartyOf(name string, uri *sip.Uri, country string) config.Party {
	p := config.Party{Name: Printable(Unquote(name), maxName)}
	text := uri.String()
	if len(text) > MaxURI || strings.ContainsFunc(text, IsControl) {
		return p
	}
	p.User, p.Host, p.URI = uri.User, uri.Host, text
	if raw := uri.Raw(); raw != "" { // tel: and others
		p.User = raw
	}
	number := p.User
	if context, ok := uri.UriParams.Get("phone-context"); ok && !strings.Contains(number, ";") {
		number += ";phone-context=" + context // of the user part by RFC 3966, but seen behind the host
	}
	if p.Number = NormaliseNumber(number, country); p.Number == number {
		p.Number = NormaliseNumber(p.User, country)
	}
	return p
}

func IsNumber(s string) bool { return AllDigits(strings.TrimPrefix(s, "+")) }

// IsHidden says that a party is a placeholder for one who does not want to be
// named (RFC 3323 section 4.1.1.3, and what carriers make of it).
func IsHidden(p config.Party) bool {
	user := plainUser(p)
	return user == "anonymous" || user == "restricted" || user == "private" || strings.EqualFold(p.Host, "anonymous.invalid")
}

// plainUser is a party's user part in lower case, without parameters.
func plainUser(p config.Party) string {
	user, _, _ := strings.Cut(p.User, ";")
	return strings.ToLower(Unescape(user))
}

// NamesNobody says that a party names nobody: it is hidden, or not known.
func NamesNobody(p config.Party) bool {
	user := plainUser(p)
	return IsHidden(p) || user == "" || user == "unavailable" || user == "unknown" || strings.EqualFold(p.Host, "unknown.invalid")
}
