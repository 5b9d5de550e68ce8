package twilio

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Error is an entry of Twilio's debugger, with its code
// (twilio.com/docs/api/errors).
type Error struct {
	Code  int
	Words string
}

// Error is the code and the words.
func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Words) }

func failure(code int, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// Codes of Twilio's list.
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
	codeHeadersLong = 21227 // headers of 1024 characters and more
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

// UnmarshalXML reads an element with all that is in it.
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

// attributes are the documented attributes of the supported verbs and nouns (twilio.com/docs/voice/twiml).
var attributes = map[string]string{
	"Dial": "action method timeout timeLimit callerId answerOnBridge hangupOnStar sequential record trim ringTone referUrl referMethod events" +
		" recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent recordingTrack",
	"Reject": "reason", "Redirect": "method", "Say": "voice language loop", "Pause": "length", "Hangup": "",
	"Sip": "username password url method codecs statusCallback statusCallbackMethod statusCallbackEvent" +
		" machineDetection amdStatusCallback amdStatusCallbackMethod",
	"Number": "sendDigits url method byoc statusCallback statusCallbackMethod statusCallbackEvent",
}

var nouns = []string{"Sip", "Number"}

// values are the forms of the attributes that make a difference here.
var values = map[string]*regexp.Regexp{
	"method": regexp.MustCompile(`^(GET|POST)$`), "answerOnBridge": regexp.MustCompile(`^(true|false)$`),
	"reason": regexp.MustCompile(`^(busy|rejected)$`), "callerId": regexp.MustCompile(`^[A-Za-z0-9+\-_.]+$`),
	"timeout": regexp.MustCompile(`^([5-9]|[1-9][0-9]|[1-5][0-9][0-9]|600)$`),
}

var phoneNumber = regexp.MustCompile(`^\+?[0-9()\-. ]{3,24}$`)

// maxTwiML bounds TwiML (Twilio's error 11750).
const maxTwiML = 64 << 10

// parseTwiML reads the answer of a webhook. What Twilio would only warn about is an
// error.
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
	for i, v := range root.nouns {
		if failed := v.check(i); failed != nil {
			return nil, failed
		}
	}
	return root.nouns, nil
}

// check checks the verb at place i.
func (v verb) check(i int) *Error {
	if slices.Contains(nouns, v.name) {
		return failure(codeSchema, "<%s> is no verb", v.name)
	}
	if failed := v.checkAttributes(); failed != nil {
		return failed
	}
	switch {
	case v.name == "Dial":
		return v.checkDial()
	case len(v.nouns) > 0:
		return failure(codeSchema, "<%s> has elements in it", v.name)
	case v.name == "Reject" && i > 0:
		return failure(codeSchema, "<Reject> is not the first verb, so the call is answered by then")
	case v.name == "Say" && (v.text == "" || utf8.RuneCountInString(v.text) > 4096):
		return failure(codeSchema, "<Say> without text, or with more than 4096 characters")
	}
	return nil
}

func (v verb) checkAttributes() *Error {
	allowed, ok := attributes[v.name]
	if !ok {
		return failure(codeSchema, "<%s> is not supported", v.name)
	}
	for name, value := range v.attrs {
		if form := values[name]; !slices.Contains(strings.Fields(allowed), name) || form != nil && !form.MatchString(value) {
			return failure(codeSchema, "<%s %s=%q>: no such attribute, or no such value", v.name, name, value)
		}
	}
	return nil
}

// checkDial accepts a number or one noun. Several nouns would ring at the same time,
// which is not supported.
func (v verb) checkDial() *Error {
	if len(v.nouns) > 1 || len(v.nouns) == 1 && v.text != "" {
		return failure(codeSchema, "<Dial> of several parties is not supported")
	}
	text := v.text
	if len(v.nouns) == 1 {
		noun := v.nouns[0]
		if failed := noun.checkAttributes(); failed != nil || !slices.Contains(nouns, noun.name) || len(noun.nouns) > 0 {
			return cmp.Or(failed, failure(codeSchema, "<%s> is no noun, or has elements in it", noun.name))
		}
		if noun.name == "Sip" {
			return nil // dial checks the URI
		}
		text = noun.text
	}
	if !phoneNumber.MatchString(text) {
		return failure(codeNumber, "<Dial> of %q, which is not a number", text)
	}
	return nil
}
