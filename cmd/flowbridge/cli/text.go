package cli

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shown is a text from outside, safe for a terminal.
func Shown(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// IsPrintable says whether s has only visible ASCII.
func IsPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// ASCII is a text from outside, safe for a terminal and one column a byte.
func ASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
