package config

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// IsDialString reports whether a text can be dialled as a number: digits, * and #, perhaps after a +. Other characters
// in a number ("&", ",", "w", "?" …) are instructions to some PBX or carrier. SIP writes %23 for # (RFC 3261 section
// 19.1.2).
func IsDialString(text string) bool {
	digits := strings.TrimPrefix(plainHash(text), "+")
	return digits != "" && strings.Trim(digits, "0123456789*#") == ""
}

func plainHash(text string) string { return strings.ReplaceAll(text, "%23", "#") }

// Numbers is a regular expression over numbers. A text that is not a number must match it as a whole: the expression
// must name the user part from the first character to the last.
type Numbers struct {
	found *regexp.Regexp // matches anywhere in a number
	whole *regexp.Regexp // matches a whole text; a dot in it matches only characters of numbers
	every bool           // it matches everything, like .*; .+ does not match the empty text

	begins, ends bool // a match starts at the start of the text, and ends at its end
}

// newNumbers compiles an expression.
func newNumbers(text string) (*Numbers, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	n := &Numbers{found: re, every: isEvery(tree)}
	n.begins, n.ends = anchored(tree)
	narrow(tree)
	n.whole, err = regexp.Compile(`\A(?:` + tree.String() + `)\z`)
	return n, err
}

// Allow reports whether the expression matches a number, or names a user part in full. A nil Numbers allows nothing.
func (n *Numbers) Allow(text string) bool {
	if n == nil {
		return false
	}
	if IsDialString(text) {
		return n.found.MatchString(plainHash(text))
	}
	return n.whole.MatchString(text)
}

// Match is like Allow, except that an expression for everything, or a nil one, matches every user part. The user part
// of a call without a number is empty, and .+ does not match it.
func (n *Numbers) Match(text string) bool { return n == nil || n.every && text != "" || n.Allow(text) }

// String returns the expression as written in the file.
func (n *Numbers) String() string { return n.found.String() }

// dialRunes returns the ranges of the characters of numbers.
func dialRunes() []rune { return []rune{'#', '#', '*', '+', '0', '9'} }

// narrow makes a dot, and a negated class, match only characters of numbers.
func narrow(re *syntax.Regexp) {
	switch {
	case isDot(re):
		re.Op, re.Rune = syntax.OpCharClass, dialRunes()
	case re.Op == syntax.OpCharClass && slices.Contains(re.Rune, unicode.MaxRune):
		re.Rune = common(re.Rune, dialRunes())
	}
	for _, sub := range re.Sub {
		narrow(sub)
	}
}

// common returns the ranges that two lists of ranges share.
func common(a, b []rune) []rune {
	both := []rune{}
	for i := 0; i+1 < len(a); i += 2 {
		for j := 0; j+1 < len(b); j += 2 {
			if low, high := max(a[i], b[j]), min(a[i+1], b[j+1]); low <= high {
				both = append(both, low, high)
			}
		}
	}
	return both
}

// isEvery reports whether an expression excludes nothing. That is so for .*, .+ and an anchor, but not for ^$, which
// matches only the empty text.
func isEvery(re *syntax.Regexp) bool {
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	anchors := 0
	for _, p := range parts {
		for p.Op == syntax.OpCapture {
			p = p.Sub[0]
		}
		switch {
		case p.Op == syntax.OpBeginText, p.Op == syntax.OpEndText:
			anchors++
		case p.Op == syntax.OpConcat && isEvery(p):
		case (p.Op == syntax.OpStar || p.Op == syntax.OpPlus) && isDot(p.Sub[0]):
		default:
			return false
		}
	}
	return anchors < 2 || anchors < len(parts)
}

func isDot(re *syntax.Regexp) bool {
	return re.Op == syntax.OpAnyChar || re.Op == syntax.OpAnyCharNotNL
}

// anchored reports whether a match starts at the start of the text, and ends at its end.
func anchored(re *syntax.Regexp) (begins, ends bool) {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op == syntax.OpAlternate {
		begins, ends = true, true
		for _, s := range re.Sub {
			b, e := anchored(s)
			begins, ends = begins && b, ends && e
		}
		return begins, ends
	}
	if re.Op == syntax.OpConcat {
		begins, _ = anchored(re.Sub[0])
		_, ends = anchored(re.Sub[len(re.Sub)-1])
		return begins, ends
	}
	return re.Op == syntax.OpBeginText, re.Op == syntax.OpEndText
}

// National converts digits as dialled in a country. Numbers of that country get + and the country code.
func National(digits, country string) string {
	switch {
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

// northAmerican converts a number as dialled in the North American plan (country code 1), whose national prefix is the
// country code itself.
func northAmerican(digits string) string {
	switch {
	case strings.HasPrefix(digits, "011") && len(digits) > 10:
		return "+" + digits[3:]
	case strings.HasPrefix(digits, "00") && len(digits) > 8: // the 00 of other countries: no number here starts so
		return "+" + digits[2:]
	case len(digits) == 11 && digits[0] == '1':
		return "+" + digits
	case len(digits) == 10:
		return "+1" + digits
	default:
		return digits
	}
}
