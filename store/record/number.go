package record

import (
	"slices"
	"strings"
	"unicode"
)

// HasNumber reports whether is is true for the digits of a number in the record: of a party, a target or a variable.
func (r *Record) HasNumber(is func(digits string) bool) bool {
	for _, text := range []string{r.From, r.To, r.Lead, r.Target} {
		if NumberIn(text, is) {
			return true
		}
	}
	for _, value := range r.Variables {
		if NumberIn(value, is) {
			return true
		}
	}
	return slices.ContainsFunc(r.Attempts, func(a Attempt) bool { return NumberIn(a.Target, is) })
}

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
