package record

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
)

// MinSought is how many digits a number has at least that is sought in messages and in ids: shorter ones are in many of
// them by chance.
const MinSought = 7

// HasNumber reports whether is is true for the digits of a number in the record: of a party, a target or a variable, or
// of MinSought digits in an id or a text that others chose.
func (r *Record) HasNumber(is func(digits string) bool) bool {
	parties, chosen := []string{r.From, r.To, r.Lead, r.Target},
		[]string{r.SIPCallID, r.TargetSIPCallID, r.SynthflowCallID, r.ExternalID, r.OrigID}
	for _, value := range r.Variables {
		parties = append(parties, value)
	}
	for i := range r.Attempts {
		a := &r.Attempts[i]
		parties = append(parties, a.Target)
		chosen = append(append(chosen, a.SIPCallID, a.Error), a.Tried...)
	}
	if p := r.Report; p != nil {
		chosen = append(chosen, p.CallID, p.Status, p.EndReason, p.ExternalID)
	}
	return slices.ContainsFunc(parties, func(text string) bool { return NumberIn(text, is) }) ||
		slices.ContainsFunc(chosen, func(text string) bool { return NumberInMessage(text, is) })
}

// NumberInMessage is NumberIn for numbers of at least MinSought digits in a message. It also finds them in the hex of
// their characters, as in User-to-User (RFC 7433 section 4.1), and in base64, as in Identity (RFC 8224).
func NumberInMessage(text string, is func(digits string) bool) bool {
	long := func(digits string) bool { return len(digits) >= MinSought && is(digits) }
	if NumberIn(text, long) {
		return true
	}
	for _, digits := range strings.FieldsFunc(text, func(r rune) bool { return !isHex(r) }) {
		for range 2 { // it may have a digit before whole characters
			if len(digits) < 2*MinSought {
				break
			}
			plain, _ := hex.DecodeString(digits[:len(digits)&^1]) // all are hex digits
			if NumberIn(string(plain), long) {
				return true
			}
			digits = digits[1:]
		}
	}
	for _, coded := range strings.FieldsFunc(base64URL.Replace(text), func(r rune) bool { return !isBase64(r) }) {
		plain, _ := base64.RawURLEncoding.DecodeString(coded) // up to what is no base64
		if len(plain) >= MinSought && NumberIn(string(plain), long) {
			return true
		}
	}
	return false
}

var base64URL = strings.NewReplacer("+", "-", "/", "_") //nolint:gochecknoglobals // constant

func isBase64(r rune) bool {
	return isHex(r) || 'g' <= r && r <= 'z' || 'G' <= r && r <= 'Z' || r == '-' || r == '_'
}

func isHex(r rune) bool { return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F' }

// NumberIn reports whether is is true for the digits of a number in a text, as it stands or as people write it, with
// spaces, brackets, dots and dashes. The digits have no + or 00 before them.
func NumberIn(text string, is func(digits string) bool) bool {
	if !strings.ContainsAny(text, "0123456789") {
		return false
	}
	found := func(digits string) bool { return is(strings.TrimPrefix(digits, "00")) }
	other := func(r rune) bool { return !unicode.IsDigit(r) }
	return slices.ContainsFunc(strings.FieldsFunc(text, other), found) ||
		slices.ContainsFunc(strings.FieldsFunc(separators.Replace(text), other), found)
}

var separators = strings.NewReplacer( //nolint:gochecknoglobals // constant
	" ", "", "-", "", "(", "", ")", "", ".", "", "/", "", "\u00a0", "")
