package config

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// sampleNumbers is an example of a correct expression.
const sampleNumbers = `"^\\+1507[0-9]{7}$"`

// twiceEscaped is the remedy for a single \ in double quotes.
const twiceEscaped = `in double quotes each \ is written twice`

// parseRegexp parses an expression over numbers. It refuses an expression that is clearly meant for something else,
// even if Go can parse it.
func parseRegexp(t string) (*Numbers, complaint) {
	if t == "" {
		return nil, complaint{}
	}
	if isDialplan(t) {
		return nil, likeValue("is a pattern of Asterisk, and this is a regular expression", fromDialplan(t))
	}
	if t == "*" {
		return nil, refuse("is not a regular expression", `write ".*" for every number`)
	}
	tree, err := syntax.Parse(t, syntax.Perl)
	if err != nil {
		why := "is not a regular expression"
		if se := (*syntax.Error)(nil); errors.As(err, &se) {
			why += ": " + string(se.Code)
		}
		return nil, refuse(why, "write one like "+sampleNumbers+"; "+twiceEscaped)
	}
	if by := repeatsAnchor(tree); by != "" {
		return nil, anchorRepeated(t, by)
	}
	if uriStart.MatchString(t) || holdsAt(tree) {
		return nil, likeValue("is an expression over a URI, and the number alone is matched here", fromURI(t))
	}
	n, err := newNumbers(t)
	if err != nil { // the expression is valid, but too large with the parts that newNumbers adds
		return nil, refuse("is too long a regular expression", "write one like "+sampleNumbers)
	}
	return n, complaint{}
}

// likeValue refuses a value with a remedy that repeats a part of it.
func likeValue(problem, remedy string) complaint {
	return complaint{problem: problem, remedy: remedy, unseen: "write one like " + sampleNumbers}
}

// written returns an expression as written in the file, or a sample if the expression is not allowed there.
func written(expression string) string {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil || repeatsAnchor(tree) != "" || holdsAt(tree) {
		return "one like " + sampleNumbers
	}
	return strconv.Quote(expression)
}

// anchors match a position in a text, not a character.
var anchors = []syntax.Op{
	syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary,
	syntax.OpNoWordBoundary,
}

// repeatsAnchor returns the sign that repeats an anchor, like the + of ^+1507. It returns "" if there is none.
func repeatsAnchor(re *syntax.Regexp) string {
	signs := map[syntax.Op]string{syntax.OpPlus: "+", syntax.OpStar: "*", syntax.OpQuest: "?", syntax.OpRepeat: "{"}
	if sign, ok := signs[re.Op]; ok && slices.Contains(anchors, re.Sub[0].Op) {
		return sign
	}
	for _, sub := range re.Sub {
		if sign := repeatsAnchor(sub); sign != "" {
			return sign
		}
	}
	return ""
}

// anchorSign matches a ^ outside a class, followed by a sign that occurs in numbers.
var anchorSign = regexp.MustCompile(`(^|[^\[\\])\^([+*])`)

func anchorRepeated(t, by string) complaint {
	what := "anchor"
	if strings.Contains(t, "^"+by) {
		what = "^"
	}
	problem := "has a " + by + " that repeats the " + what + " before it"
	if right := anchorSign.ReplaceAllString(t, `$1^\$2`); right != t {
		return likeValue(problem, "write "+written(right))
	}
	return refuse(problem, "remove the "+by)
}

// uriStart matches the scheme of a URI at the start of an expression.
var uriStart = regexp.MustCompile(`^\^?\(*(?i:sips?|tel):`)

// holdsAt reports whether an expression contains an @, which occurs in no number or other user part.
func holdsAt(re *syntax.Regexp) bool {
	if re.Op == syntax.OpLiteral && strings.ContainsRune(string(re.Rune), '@') {
		return true
	}
	return slices.ContainsFunc(re.Sub, holdsAt)
}

// fromURI returns the remedy for an expression over a URI, which is the part before the @.
func fromURI(t string) string {
	user, _, _ := strings.Cut(uriStart.ReplaceAllString(t, ""), "@")
	user = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(user, "^"), `\`), "$")
	switch {
	case user == "":
		return "write one like " + sampleNumbers
	case user[0] == '+':
		user = `\` + user
	}
	return "write " + written("^"+user+"$")
}
