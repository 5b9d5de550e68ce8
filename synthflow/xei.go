package synthflow

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Errors of the X-EI parsers and of Marshal.
var (
	ErrXEIEmpty        = errors.New("x-ei: no S, E or O token")
	ErrXEIUnterminated = errors.New("x-ei: last token does not end in ';'")
	ErrXEIValue        = errors.New("x-ei: value holds ';', CR, LF or NUL, or ends in white space")
	ErrXEIDuplicate    = errors.New("x-ei: token appears twice")
	ErrXEIUnknown      = errors.New("x-ei: part that is no S, E or O token")
)

// XEI is the value of the header X-EI: tokens "T.value;" with T one of S
// (Synthflow's call id), E (our id) and O (original caller). An empty field
// is a token that is not there.
type XEI struct {
	S string
	E string
	O string
}

// String writes the tokens in the order S, E, O, unchecked.
func (x XEI) String() string {
	var b strings.Builder
	for _, t := range [...]struct{ name, value string }{{"S.", x.S}, {"E.", x.E}, {"O.", x.O}} {
		if t.value == "" {
			continue
		}
		b.WriteString(t.name)
		b.WriteString(t.value)
		b.WriteByte(';')
	}
	return b.String()
}

// Marshal is String for a value that is about to be sent: it refuses what a
// parser would read differently.
func (x XEI) Marshal() (string, error) {
	for _, v := range []string{x.S, x.E, x.O} {
		if strings.ContainsAny(v, ";\r\n\x00") || v != strings.TrimRightFunc(v, unicode.IsSpace) {
			return "", fmt.Errorf("%w: %q", ErrXEIValue, v)
		}
	}
	s := x.String()
	if s == "" {
		return "", ErrXEIEmpty
	}
	return s, nil
}

// ParseXEI reads a value leniently: parts that are no token are ignored, of a
// repeated token the first counts. A last token without its ';' is read and
// reported, by ErrXEIUnterminated beside the value. Every other error comes
// with a zero XEI.
func ParseXEI(s string) (XEI, error) { return parseXEI(s, false) }

// ParseXEIStrict accepts only what the grammar says: every token ended by
// ';', none twice, nothing else but white space.
func ParseXEIStrict(s string) (XEI, error) {
	x, err := parseXEI(s, true)
	if err != nil {
		return XEI{}, err
	}
	return x, nil
}

func parseXEI(s string, strict bool) (XEI, error) {
	if strings.ContainsAny(s, "\r\n\x00") {
		return XEI{}, ErrXEIValue
	}
	var x XEI
	unterminated := false
	parts := strings.Split(s, ";")
	for i, part := range parts {
		last := i == len(parts)-1
		part = strings.TrimSpace(part)
		if part == "" && (last || !strict) {
			continue
		}
		field := x.token(part)
		switch {
		case field == nil && strict:
			return XEI{}, fmt.Errorf("%w: %q", ErrXEIUnknown, part)
		case field == nil:
			continue
		case *field != "" && strict:
			return XEI{}, fmt.Errorf("%w: %q", ErrXEIDuplicate, part)
		case *field != "":
			continue
		}
		*field = part[2:]
		unterminated = last
	}
	switch {
	case x == XEI{}:
		return XEI{}, ErrXEIEmpty
	case unterminated:
		return x, ErrXEIUnterminated
	}
	return x, nil
}

// token finds the field for a part of the form "T.value".
func (x *XEI) token(part string) *string {
	if len(part) < 3 || part[1] != '.' {
		return nil
	}
	switch part[0] {
	case 'S':
		return &x.S
	case 'E':
		return &x.E
	case 'O':
		return &x.O
	}
	return nil
}
