package message

import (
	"strings"
	"unicode"
)

// text is a part of a message as the guard has it, or as the library's parser
// hands it on. What both must read in the same way is written once for both.
type text interface{ ~string | ~[]byte }

// isSpace says whether c is white space as it may stand within a header: with
// the line ends of folds (RFC 3261 section 25.1, LWS).
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// Trim is v without the white space around it.
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

// CutUnquoted splits v at the first sep that is not within a quoted-string.
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

// CutParam splits the first parameter off a list that semicolons separate. Of
// an empty one the key is empty.
func CutParam[T text](list T) (key, value, rest T) {
	one, rest, _ := CutUnquoted(list, ';')
	key, value, _ = CutByte(one, '=')
	return Trim(key), Trim(value), rest
}

// firstOf is where the first value of a list ends: at a comma that is neither
// quoted nor within brackets.
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

// byteSet is the bytes that may stand somewhere.
type byteSet [256]bool

func setOfBytes(in func(byte) bool) (set byteSet) {
	for c := range set {
		set[c] = in(byte(c))
	}
	return set
}

// hasOther says whether v has a byte that is not in the set.
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
	// wordBytes may stand in a Call-ID, tag or branch. Of the grammar only what
	// can't be mistaken is asked for.
	wordBytes = setOfBytes(func(c byte) bool { return c > ' ' && c != 0x7f })
	// schemeBytes may stand in the scheme of a URI.
	schemeBytes = setOfBytes(func(c byte) bool {
		return isLetter(c) || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'
	})
	// uriBytes leaves out what ends a URI wherever it stands. Of bytes that are
	// no ASCII it is lenient.
	uriBytes = setOfBytes(func(c byte) bool { return c > ' ' && c != 0x7f && c != '<' && c != '>' && c != '"' })
	// hostBytes may stand in a host, an IPv6 address among them. It is lenient:
	// what is no host is only looked up in vain.
	hostBytes = setOfBytes(func(c byte) bool { return c > ' ' && c != 0x7f && strings.IndexByte(`"<>@/?;,[]\*`, c) < 0 })
	// domainBytes may stand in the host names that we call.
	domainBytes = setOfBytes(func(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' })
	noBrackets  = setOfBytes(func(c byte) bool { return c != '[' && c != ']' })
	// nameBytes leaves out what a name can't have without quotes, even where one
	// is lenient: a list's comma, and what would escape the quotes that the
	// library puts around it.
	nameBytes = setOfBytes(func(c byte) bool { return c != ',' && c != '\\' })
)

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// IsToken says whether v is a token (RFC 3261 section 25.1).
func IsToken[T text](v T) bool { return len(v) > 0 && !hasOther(v, &tokenBytes) }

func isTokenByte(c byte) bool {
	return isLetter(c) || c >= '0' && c <= '9' || strings.IndexByte("-.!%*_+`'~", c) >= 0
}

// Decimal is the number that v is, if it is one of at most limit.
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

// AllDigits says whether v is ASCII digits, and not empty.
func AllDigits[T text](v T) bool { return len(v) > 0 && !hasOther(v, &digitBytes) }

// EqualFold compares v with a lower-case ASCII word, in any case.
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

// Printable is s without control characters, which could end a header, and of
// n bytes at most.
func Printable(s string, n int) string { return harmless(s, n, -1) }

// MaxPhrase bounds a reason phrase, in bytes.
const MaxPhrase = 128

// Phrase is a reason phrase of a peer as it may be passed on: on one line and
// of sensible length.
func Phrase(s string) string { return harmless(s, MaxPhrase, ' ') }

// harmless is s with another rune for each control character, -1: none, and of
// n bytes at most.
func harmless(s string, n int, control rune) string {
	s = strings.Map(func(r rune) rune {
		if IsControl(r) {
			return control
		}
		return r
	}, s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// IsControl says that a character may stand in no header: it could end it.
func IsControl(r rune) bool { return unicode.IsControl(r) }
