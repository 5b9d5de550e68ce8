package synthflow

import (
	"errors"
	"fmt"
	"strings"
)

// These are the errors of ParseXEI.
var (
	errXEIEmpty        = errors.New("x-ei: no S, E or O token")
	errXEIUnterminated = errors.New("x-ei: last token does not end in ';'")
	errXEIValue        = errors.New("x-ei: holds CR, LF or NUL")
	errXEIDuplicate    = errors.New("x-ei: token appears twice")
	errXEIUnknown      = errors.New("x-ei: part that is no S, E or O token")
)

// XEI is the value of the header X-EI. It has tokens "T.value;", in which T is S (Synthflow's call id), E (an external
// id) or O (the original caller). An empty field means that the token is missing.
type XEI struct {
	S string
	E string
	O string
}

// ParseXEI parses a value by the grammar (Synthflow's page "X-EI SIP header"): each token ends with ';', no token
// comes twice, and only white space is allowed in addition.
func ParseXEI(s string) (XEI, error) {
	if strings.ContainsAny(s, "\r\n\x00") {
		return XEI{}, errXEIValue
	}
	tokens := strings.Split(s, ";")
	rest := tokens[len(tokens)-1] // after the last ';'
	var x XEI
	for _, part := range tokens[:len(tokens)-1] {
		part = strings.TrimSpace(part)
		field := x.token(part)
		switch {
		case field == nil:
			return XEI{}, fmt.Errorf("%w: %q", errXEIUnknown, part)
		case *field != "":
			return XEI{}, fmt.Errorf("%w: %q", errXEIDuplicate, part)
		}
		*field = part[2:]
	}
	switch rest = strings.TrimSpace(rest); {
	case rest != "" && new(XEI).token(rest) == nil:
		return XEI{}, fmt.Errorf("%w: %q", errXEIUnknown, rest)
	case rest != "":
		return XEI{}, errXEIUnterminated
	case x == XEI{}:
		return XEI{}, errXEIEmpty
	}
	return x, nil
}

// token returns the field for a part of the form "T.value".
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
