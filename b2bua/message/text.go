package message

import (
	"strings"

	"flowbridge/config/template"
)

// text is a part of a message: bytes in Scan, a string in the parser's readers. Functions
// over text handle both.
type text interface{ ~string | ~[]byte }

// isSpace reports whether c is white space within a header, including the line ends of
// folds (RFC 3261 section 25.1, LWS).
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// Trim returns v without the white space around it.
func Trim[T text](v T) T {
	for len(v) > 0 && isSpace(v[0]) {
		v = v[1:]
	}
	for len(v) > 0 && isSpace(v[len(v)-1]) {
		v = v[:len(v)-1]
	}
	return v
}

// CutByte splits v at the first sep.
func CutByte[T text](v T, sep byte) (before, after T, found bool) {
	for i := range len(v) {
		if v[i] == sep {
			return v[:i], v[i+1:], true
		}
	}
	return v, v[len(v):], false
}

// CutUnquoted splits v at the first sep outside quoted-strings.
func CutUnquoted[T text](v T, sep byte) (before, after T, found bool) {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return v[:i], v[i+1:], true
		}
	}
	return v, v[len(v):], false
}

// CutParam splits the first parameter off a list that is separated by semicolons. An
// empty parameter has an empty key.
func CutParam[T text](list T) (key, value, rest T) {
	one, rest, _ := CutUnquoted(list, ';')
	key, value, _ = CutByte(one, '=')
	return Trim(key), Trim(value), rest
}

// firstOf returns the index of the end of a list's first value. A value ends at a comma
// outside quotes and brackets.
func firstOf[T text](list T) int {
	quoted, bracket := false, false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && !bracket:
			quoted = !quoted
		case quoted:
		case c == '<':
			bracket = true
		case c == '>':
			bracket = false
		case c == ',' && !bracket:
			return i
		}
	}
	return len(list)
}

// byteSet is a set of bytes.
type byteSet [256]bool

func setOfBytes(in func(byte) bool) (set byteSet) {
	for c := range set {
		set[c] = in(byte(c))
	}
	return set
}

// hasOther reports whether v has a byte outside the set.
func hasOther[T text](v T, set *byteSet) bool {
	for i := range len(v) {
		if !set[v[i]] {
			return true
		}
	}
	return false
}

var (
	letters    = setOfBytes(isLetter)
	digitBytes = setOfBytes(func(c byte) bool { return c >= '0' && c <= '9' })
	tokenBytes = setOfBytes(isTokenByte)
	// wordBytes may be in a Call-ID, tag or branch. This is laxer than the grammar: it
	// excludes only bytes that could be misread.
	wordBytes = setOfBytes(func(c byte) bool { return c > ' ' && c != 0x7f })
	// schemeBytes may be in the scheme of a URI.
	schemeBytes = setOfBytes(func(c byte) bool {
		return isLetter(c) || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'
	})
	// uriBytes excludes the bytes that end a URI in any context. It allows bytes beyond
	// ASCII.
	uriBytes = setOfBytes(func(c byte) bool { return c > ' ' && c != 0x7f && c != '<' && c != '>' && c != '"' })
	// hostBytes may be in a host, which may be an IPv6 address. It is lax, because looking
	// up anything else only fails.
	hostBytes = setOfBytes(func(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte(`"<>@/?;,[]\*`, c) < 0 })
	// domainBytes may be in host names that we call.
	domainBytes = setOfBytes(func(c byte) bool {
		return isLetter(c) || c >= '0' && c <= '9' || c == '-' ||
			c == '.' || c == '_'
	})
	noBrackets = setOfBytes(func(c byte) bool { return c != '[' && c != ']' })
	// nameBytes excludes the bytes that need quotes in a name: the comma, which separates
	// list items, and the backslash, which would escape the quotes that the library adds.
	nameBytes = setOfBytes(func(c byte) bool { return c != ',' && c != '\\' })
)

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// IsToken reports whether v is a token (RFC 3261 section 25.1).
func IsToken[T text](v T) bool { return len(v) > 0 && !hasOther(v, &tokenBytes) }

func isTokenByte(c byte) bool {
	return isLetter(c) || c >= '0' && c <= '9' || strings.IndexByte("-.!%*_+`'~", c) >= 0
}

// Decimal reads a number of at most limit.
func Decimal[T text](v T, limit int) (n int, ok bool) {
	for i := range len(v) {
		c := v[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = 10*n + int(c-'0'); n > limit {
			return 0, false
		}
	}
	return n, len(v) > 0
}

// AllDigits reports whether v consists of ASCII digits and is not empty.
func AllDigits[T text](v T) bool { return len(v) > 0 && !hasOther(v, &digitBytes) }

// EqualFold reports whether v equals lower, a lower-case ASCII word, in any case.
func EqualFold[T text](v T, lower string) bool {
	if len(v) != len(lower) {
		return false
	}
	for i := range len(v) {
		c := v[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Printable returns s without control characters, which could end a header, and cut
// to n bytes.
func Printable(s string, n int) string { return harmless(s, n, -1) }

// MaxPhrase bounds a reason phrase, in bytes.
const MaxPhrase = 128

// Phrase returns a peer's reason phrase as it may be passed on: on one line, and cut
// to MaxPhrase.
func Phrase(s string) string { return harmless(s, MaxPhrase, ' ') }

// harmless returns s cut to n bytes, with each control character replaced by control, or
// removed if control is -1.
func harmless(s string, n int, control rune) string {
	s = strings.Map(func(r rune) rune {
		if template.IsControl(r) {
			return control
		}
		return r
	}, s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
