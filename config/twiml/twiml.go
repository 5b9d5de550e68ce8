// Package twiml checks which TwiML documents and SIP URI headers Twilio accepts from a configuration.
package twiml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

var errDocument = errors.New("twiml")

// ErrHeaderName is the error of CheckHeader.
var ErrHeaderName = errors.New("header name that Twilio does not take")

// Document returns a TwiML text as a document with its XML declaration. The text must be one element Response. Its
// contents are not checked.
func Document(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	in, depth, responses := xml.NewDecoder(strings.NewReader(text)), 0, 0
	for {
		token, err := in.Token()
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 && t.Name.Local == "Response" {
				responses++
			} else if depth == 0 {
				responses = -1
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && strings.TrimSpace(string(t)) != "" {
				responses = -1
			}
		}
		switch {
		case errors.Is(err, io.EOF) && responses == 1 && strings.HasPrefix(text, "<?xml"):
			return []byte(text), nil
		case errors.Is(err, io.EOF) && responses == 1:
			return []byte(xml.Header + text), nil
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: %w", errDocument, err)
		case err != nil, responses < 0, responses > 1:
			return nil, fmt.Errorf("%w: it is not one element <Response>", errDocument)
		}
	}
}

// standardHeaders are the names that need no x- prefix (twilio.com/docs, warning 13252: exactly as documented).
var standardHeaders = []string{"User-to-User", "Remote-Party-ID", "P-Preferred-Identity", "P-Called-Party-ID"}

// CheckHeader returns an error if Twilio does not accept a header of this name in a SIP URI. Twilio accepts names
// that start with x-, except X-Twilio, which it uses itself. It also accepts User-to-User, Remote-Party-ID,
// P-Preferred-Identity and P-Called-Party-ID.
func CheckHeader(name string) error {
	if slices.Contains(standardHeaders, name) {
		return nil
	}
	lower := strings.ToLower(name)
	switch {
	case !strings.HasPrefix(lower, "x-") || len(lower) == len("x-"):
		return fmt.Errorf("%w: %q; a name begins with X-, or is one of %s", ErrHeaderName, name,
			strings.Join(standardHeaders, ", "))
	case strings.HasPrefix(lower, "x-twilio"):
		return fmt.Errorf("%w: %q; X-Twilio… are Twilio's own", ErrHeaderName, name)
	case strings.ContainsFunc(name, func(r rune) bool { return !IsWord(r) }):
		return fmt.Errorf("%w: %q; a name has letters, digits, '-', '_' and '.'", ErrHeaderName, name)
	}
	return nil
}

// IsWord reports whether a character may occur in header names: a letter, a digit, '-', '_' or '.'.
func IsWord(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r)
}
