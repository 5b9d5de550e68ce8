package twilio

import (
	"encoding/xml"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strings"
)

// Error is an entry of Twilio's debugger, with its code (twilio.com/docs/api/errors).
type Error struct {
	Code  int
	Words string
}

// Error returns the code and the text.
func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Words) }

func failure(code int, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// Codes from Twilio's list.
const (
	codeRetrieval   = 11200 // HTTP retrieval failure
	codeTooLarge    = 11750 // TwiML response body too large
	codeParse       = 12100 // document parse failure
	codeSchema      = 12200 // schema validation
	codeContentType = 12300 // invalid Content-Type
	codeNumber      = 13223 // Dial: invalid phone number format
	codeURI         = 13243 // Dial->SIP: invalid SIP URI
	codeHeaderName  = 13252 // Dial: invalid header name
	codeUnresolved  = 13254 // Dial->Sip: the host does not resolve
	codeHeadersLong = 21227 // headers of 1024 characters or more
	codeHeaderValue = 21229 // illegal characters in a header's value
	codeUnescaped   = 32110 // a character of the URI should have been escaped
)

// verb is an element of a TwiML document.
type verb struct {
	name  string
	attrs map[string]string
	text  string // trimmed
	nouns []verb
}

// UnmarshalXML decodes an element with its content.
func (v *verb) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var in struct {
		Text  string `xml:",chardata"`
		Nouns []verb `xml:",any"`
	}
	if err := d.DecodeElement(&in, &start); err != nil {
		return err
	}
	*v = verb{start.Name.Local, map[string]string{}, strings.TrimSpace(in.Text), in.Nouns}
	for _, a := range start.Attr {
		v.attrs[a.Name.Local] = a.Value
	}
	return nil
}

// The supported verbs, and the elements that a Dial may contain (twilio.com/docs/voice/twiml).
var (
	supported = []string{"Dial", "Reject", "Redirect", "Say", "Pause", "Hangup"}
	nouns     = []string{"Sip", "Number"}
)

var phoneNumber = regexp.MustCompile(`^\+?[0-9()\-. ]{3,24}$`)

// maxTwiML is the maximum size of TwiML, in bytes (Twilio's error 11750).
const maxTwiML = 64 << 10

// parseTwiML parses the answer of a webhook. It returns an error even where Twilio would only warn.
func parseTwiML(contentType string, body []byte) ([]verb, *Error) {
	kind, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	switch {
	case err != nil || kind != "text/xml" && kind != "application/xml":
		return nil, failure(codeContentType, "Content-Type %q; want text/xml", contentType)
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return nil, failure(codeContentType, "charset %q; want utf-8", charset)
	case len(body) > maxTwiML:
		return nil, failure(codeTooLarge, "TwiML of more than 64 kB")
	}
	var root verb
	if err := xml.Unmarshal(body, &root); err != nil {
		return nil, failure(codeParse, "not XML: %v", err)
	}
	if root.name != "Response" || len(root.attrs) > 0 || root.text != "" {
		return nil, failure(codeParse, "the root is <%s>; want <Response>, without attributes or text", root.name)
	}
	for _, v := range root.nouns {
		if failed := v.check(); failed != nil {
			return nil, failed
		}
	}
	return root.nouns, nil
}

// check accepts a supported verb. Several nouns would ring at the same time, which is not supported.
func (v verb) check() *Error {
	text, several := v.text, len(v.nouns) > 1 || len(v.nouns) == 1 && v.text != ""
	if len(v.nouns) == 1 {
		text = v.nouns[0].text
	}
	switch {
	case !slices.Contains(supported, v.name):
		return failure(codeSchema, "<%s> is not supported", v.name)
	case v.name != "Dial":
		return nil
	case several:
		return failure(codeSchema, "<Dial> of several parties is not supported")
	case len(v.nouns) == 1 && !slices.Contains(nouns, v.nouns[0].name):
		return failure(codeSchema, "<%s> is no noun", v.nouns[0].name)
	case len(v.nouns) == 1 && v.nouns[0].name == "Sip": // dial checks the URI
		return nil
	case !phoneNumber.MatchString(text):
		return failure(codeNumber, "<Dial> of %q, which is not a number", text)
	}
	return nil
}
