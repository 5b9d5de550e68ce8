package config

import (
	"regexp"
	"strings"
)

// Patterns of a dialplan, as in Asterisk and FreePBX, perhaps followed by a slash and the caller's: _X., 9|1NXX,
// _9./_212NXX. Read as a regular expression, such a pattern matches no number, or the wrong ones.
var (
	dialplan      = regexp.MustCompile(`^_[0-9XZNxzn+*#.!|\[\]-]+(/_?[0-9XZNxzn+*#.!\[\]-]+)?$`)
	plainDialplan = regexp.MustCompile(`^[0-9XZNx+*#.!|\[\]-]+(/_?[0-9XZNx+*#.!\[\]-]+)?$`)
	digitLetter   = regexp.MustCompile(`[XZN]|[0-9]x`)

	// prepended matches the digits that FreePBX puts before a number.
	prepended = regexp.MustCompile(`^[0-9]+\+`)
	// halfTranslated matches a letter for digits in a text that is otherwise a regular expression.
	halfTranslated = regexp.MustCompile(`[0-9XZN]X|[0-9]N`)
	otherLetter    = regexp.MustCompile(`[A-MO-WYa-z]`)
)

// isDialplan reports whether a text is a dialplan pattern. Without an underscore, the text needs a letter that
// stands for digits.
func isDialplan(t string) bool {
	return dialplan.MatchString(t) || plainDialplan.MatchString(t) && digitLetter.MatchString(t)
}

// holdsDialplan reports whether an expression has letters that seem to stand for digits.
func holdsDialplan(t string) bool {
	t = strings.ReplaceAll(t, `\d`, "0")
	return halfTranslated.MatchString(t) && !otherLetter.MatchString(t)
}

// fromDialplan returns the remedy for a dialplan pattern.
func fromDialplan(pattern string) string {
	number, caller, both := strings.Cut(pattern, "/")
	remedy := "write " + written(expressionOf(number))
	if both {
		remedy += " in to, and " + written(expressionOf(caller)) + " in from"
	}
	if strings.Contains(number, "|") || number != trimPrepended(number) {
		remedy += "; digits are neither added nor removed here"
	}
	return remedy
}

func trimPrepended(pattern string) string { return prepended.ReplaceAllString(pattern, "") }

// digits maps the letters and signs of a dialplan to regular expressions. A dash is there only for readability.
var digits = map[rune]string{
	'X': "[0-9]", 'x': "[0-9]", 'Z': "[1-9]", 'z': "[1-9]", 'N': "[2-9]", 'n': "[2-9]", '.': "[0-9]+", '!': "[0-9]*",
	'+': `\+`, '*': `\*`,
	'-': "", '|': "",
}

// expressionOf returns the regular expression for a pattern.
func expressionOf(pattern string) string {
	var b strings.Builder
	class := false
	for _, r := range strings.TrimPrefix(trimPrepended(pattern), "_") {
		switch text, known := digits[r]; {
		case r == '[', r == ']':
			class = r == '['
			b.WriteRune(r)
		case known && !class:
			b.WriteString(text)
		default:
			b.WriteRune(r)
		}
	}
	return "^" + b.String() + "$"
}
