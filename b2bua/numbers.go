package b2bua

import (
	"net/url"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// normalise gives a user part as a number: digits, with + where that can be
// told. country is the calling code that national numbers belong to; with
// none they stay as they came. What is no number stays the user part, escapes
// and all.
func normalise(user, country string) string {
	number, _, _ := strings.Cut(unescape(user), ";")
	digits := withoutSeparators(number)
	international := strings.HasPrefix(digits, "+")
	digits = strings.TrimPrefix(digits, "+")
	switch {
	case !allDigits(digits):
		return user
	case international:
		return "+" + digits
	case country == "":
		return digits
	case country == "1":
		return northAmerican(digits)
	case strings.HasPrefix(digits, "00") && len(digits) > 8:
		return "+" + digits[2:]
	case country == "39" && len(digits) > 5: // Italy's numbers keep their 0
		return "+39" + digits
	case strings.HasPrefix(digits, "0") && len(digits) > 4:
		return "+" + country + digits[1:]
	default: // a short code, or a subscriber number without area code
		return digits
	}
}

// northAmerican reads a number as it is dialled under country code 1, where
// the national prefix is the country code itself.
func northAmerican(digits string) string {
	switch {
	case strings.HasPrefix(digits, "011") && len(digits) > 10:
		return "+" + digits[3:]
	case len(digits) == 11 && digits[0] == '1':
		return "+" + digits
	case len(digits) == 10:
		return "+1" + digits
	default:
		return digits
	}
}

// withoutSeparators drops the visual separators of RFC 3966 section 3.
func withoutSeparators(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '-', '.', '(', ')', ' ':
			return -1
		}
		return r
	}, s)
}

func allDigits(s string) bool {
	if s == "" {
		return false
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// unescape undoes percent-encoding (RFC 3261 section 19.1.2), as far as the
// result has no control characters.
func unescape(s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil || strings.ContainsFunc(plain, isControl) {
		return s
	}
	return plain
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// party is how templates see one side of the call.
func party(name string, uri *sip.Uri, country string) config.Party {
	user, host := uri.User, uri.Host
	if raw := uri.Raw(); raw != "" { // tel: and others
		user = raw
	}
	return config.Party{
		Number: normalise(user, country),
		User:   user,
		Name:   unquoted(name),
		Host:   host,
		URI:    uri.String(),
	}
}

// callerOf is the calling party: P-Asserted-Identity of a trunk that is
// trusted (RFC 3325), else From.
func callerOf(invite *sip.Request, t *config.Trunk) config.Party {
	if t.Trusted {
		for _, h := range invite.GetHeaders("p-asserted-identity") {
			var uri sip.Uri
			params := sip.NewParams()
			name, err := sip.ParseAddressValue(h.Value(), &uri, &params)
			if err == nil {
				return party(name, &uri, t.Country)
			}
		}
	}
	from := invite.From()
	return party(from.DisplayName, &from.Address, t.Country)
}

// diversion is the number of the topmost Diversion (RFC 5806), or "".
func diversion(invite *sip.Request, country string) string {
	h := invite.GetHeader("diversion")
	if h == nil {
		return ""
	}
	var uri sip.Uri
	if err := sip.ParseUri(addrSpec(h.Value()), &uri); err != nil {
		return ""
	}
	return party("", &uri, country).Number
}

// anonymous says whether the caller asked not to be named (RFC 3323 section
// 4.2, RFC 3325 section 9.3).
func anonymous(invite *sip.Request) bool {
	for _, h := range invite.GetHeaders("privacy") {
		for v := range strings.FieldsFuncSeq(h.Value(), func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
			if strings.EqualFold(v, "id") || strings.EqualFold(v, "user") || strings.EqualFold(v, "full") {
				return true
			}
		}
	}
	return false
}
