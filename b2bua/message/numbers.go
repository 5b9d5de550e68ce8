package message

import (
	"net/url"
	"strings"

	"flowbridge/config"
	"flowbridge/config/template"
)

// NormaliseNumber turns a user part into a number: digits, with + if the country is
// known. A local number is completed with its phone-context (RFC 3966 section 5.1.5), or
// else with country, the calling code for national numbers. Without either it is
// unchanged. A user part that is not a number is unchanged, too, including its escapes.
func NormaliseNumber(user, country string) string {
	number, params, _ := strings.Cut(user, ";")
	plain := withoutSeparators(Unescape(number))
	digits, international := strings.CutPrefix(plain, "+")
	if !AllDigits(digits) {
		return user
	}
	if international {
		return plain
	}
	if whole, ok := inContext(digits, phoneContext(params)); ok {
		return whole
	}
	return config.National(digits, country)
}

// phoneContext returns the digits of a phone-context that begins a global number, or ""
// if it is a domain or missing. The parameters in params are separated by semicolons.
func phoneContext(params string) string {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "phone-context") {
			continue
		}
		digits, global := strings.CutPrefix(withoutSeparators(Unescape(value)), "+")
		if global && AllDigits(digits) && len(digits) <= maxDigits {
			return digits
		}
		return ""
	}
	return ""
}

// The lengths of the longest E.164 number, and of the shortest local number that is not a short
// code.
const (
	maxDigits   = 15
	shortestNum = 7
)

// inContext completes a local number with a phone-context. If the result is impossible,
// the number is a short code or the context is not a prefix of numbers. Then the number
// is unchanged.
func inContext(digits, context string) (string, bool) {
	code := callingCode(context)
	if code == "" {
		return "", false
	}
	whole := config.National(digits, code)
	switch {
	case strings.HasPrefix(whole, "+"):
	case len(context) == len(code) && len(digits) < shortestNum:
		return "", false
	default:
		whole = "+" + context + digits
	}
	if n := len(whole) - 1; n > maxDigits || n < shortestNum || (code == "1" && whole[1] == '1' && n != 11) {
		return "", false
	}
	return whole, true
}

// callingCode returns the country calling code at the beginning of digits, or "" if there
// is none (ITU-T E.164: the code has one digit, two for these, otherwise three).
func callingCode(digits string) string {
	const two = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 " +
		"60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "
	switch {
	case digits == "" || digits[0] == '0':
		return ""
	case digits[0] == '1' || digits[0] == '7':
		return digits[:1]
	case len(digits) >= 2 && strings.Contains(two, " "+digits[:2]+" "):
		return digits[:2]
	case len(digits) >= 3:
		return digits[:3]
	default:
		return ""
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

// Unescape undoes percent-encoding (RFC 3261 section 19.1.2), unless the result would
// contain control characters.
func Unescape(s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil || strings.ContainsFunc(plain, template.IsControl) {
		return s
	}
	return plain
}
