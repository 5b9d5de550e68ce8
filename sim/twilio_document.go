package sim

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// TwilioError is what Twilio's debugger would show, with the code of its
// list (twilio.com/docs/api/errors).
type TwilioError struct {
	Code  int
	Words string
}

// Error gives code and words.
func (e *TwilioError) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Words) }

func twilioError(code int, format string, args ...any) *TwilioError {
	return &TwilioError{code, fmt.Sprintf(format, args...)}
}

// The codes of Twilio's list that we use.
const (
	twilioRetrieval   = 11200 // HTTP retrieval failure
	twilioTooLarge    = 11750 // TwiML response body too large
	twilioParse       = 12100 // document parse failure
	twilioSchema      = 12200 // schema validation
	twilioContentType = 12300 // invalid Content-Type
	twilioNumber      = 13223 // Dial: invalid phone number format
	twilioURI         = 13243 // Dial->SIP: invalid SIP URI
	twilioHeaderName  = 13252 // Dial: invalid header name
	twilioUnresolved  = 13254 // Dial->Sip: the host does not resolve
	twilioHeadersLong = 21227 // headers of 1024 characters and more
	twilioHeaderValue = 21229 // illegal characters in a header's value
	twilioUnescaped   = 32110 // a character of the URI should have been escaped
)

// twimlVerb is an element of a TwiML document.
type twimlVerb struct {
	name  string
	attrs map[string]string
	text  string // trimmed
	nouns []twimlVerb
}

// twimlValue says what an attribute may be.
type twimlValue func(string) bool

// The values of attributes.
var (
	twimlText     twimlValue = func(s string) bool { return s != "" }
	twimlBool                = twimlOneOf("true", "false")
	twimlMethod              = twimlOneOf("GET", "POST")
	twimlURL      twimlValue = func(s string) bool { _, err := url.Parse(s); return err == nil && s != "" }
	twimlCallerID twimlValue = regexp.MustCompile(`^[A-Za-z0-9+\-_.]+$`).MatchString
	twimlNumber              = regexp.MustCompile(`^\+?[0-9()\-. ]{3,24}$`)
)

func twimlOneOf(all ...string) twimlValue {
	return func(s string) bool { return slices.Contains(all, s) }
}

func twimlBetween(low, high int) twimlValue {
	return func(s string) bool {
		n, err := strconv.Atoi(s)
		return err == nil && n >= low && n <= high
	}
}

// twimlVerbs are the verbs that can be run, and the attributes that
// Twilio documents for them (twilio.com/docs/voice/twiml).
func twimlVerbs() map[string]map[string]twimlValue {
	return map[string]map[string]twimlValue{
		"Dial": {
			"action": twimlURL, "method": twimlMethod, "timeout": twimlBetween(5, 600), "timeLimit": twimlBetween(1, 86400), "callerId": twimlCallerID,
			"answerOnBridge": twimlBool, "hangupOnStar": twimlBool, "sequential": twimlBool, "record": twimlText, "trim": twimlText, "ringTone": twimlText,
			"recordingStatusCallback": twimlURL, "recordingStatusCallbackMethod": twimlMethod, "recordingStatusCallbackEvent": twimlText,
			"recordingTrack": twimlText, "referUrl": twimlURL, "referMethod": twimlMethod, "events": twimlText,
		},
		"Reject":   {"reason": twimlOneOf("busy", "rejected")},
		"Redirect": {"method": twimlMethod},
		"Say":      {"voice": twimlText, "language": twimlText, "loop": twimlBetween(0, 1000)},
		"Pause":    {"length": twimlBetween(1, 600)},
		"Hangup":   {},
	}
}

// twimlNouns are those of the elements within <Dial>.
func twimlNouns() map[string]map[string]twimlValue {
	return map[string]map[string]twimlValue{
		"Sip": {
			"username": twimlText, "password": twimlText, "url": twimlURL, "method": twimlMethod, "codecs": twimlText,
			"statusCallback": twimlURL, "statusCallbackMethod": twimlMethod, "statusCallbackEvent": twimlText,
			"machineDetection": twimlText, "amdStatusCallback": twimlURL, "amdStatusCallbackMethod": twimlMethod,
		},
		"Number": {
			"sendDigits": twimlText, "url": twimlURL, "method": twimlMethod, "byoc": twimlText,
			"statusCallback": twimlURL, "statusCallbackMethod": twimlMethod, "statusCallbackEvent": twimlText,
		},
	}
}

// maxTwiML bounds TwiML (Twilio's error 11750).
const maxTwiML = 64 << 10

// parseTwiML reads the answer of a webhook, as strictly as Twilio's
// documents allow: what Twilio would only warn of is an error here.
func parseTwiML(contentType string, body []byte) ([]twimlVerb, *TwilioError) {
	kind, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	switch {
	case err != nil || kind != "text/xml" && kind != "application/xml":
		return nil, twilioError(twilioContentType, "Content-Type %q; want text/xml", contentType)
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return nil, twilioError(twilioContentType, "charset %q; want utf-8", charset)
	case len(body) > maxTwiML:
		return nil, twilioError(twilioTooLarge, "TwiML of more than 64 kB")
	case !utf8.Valid(body):
		return nil, twilioError(twilioParse, "TwiML that is not UTF-8")
	}
	root, parsed := parseTwiMLElements(body)
	if parsed != nil {
		return nil, parsed
	}
	if root.name != "Response" || len(root.attrs) > 0 || root.text != "" {
		return nil, twilioError(twilioParse, "the root is <%s>; want <Response>, without attributes or text", root.name)
	}
	for i, v := range root.nouns {
		if failed := v.check(twimlVerbs(), "verb"); failed != nil {
			return nil, failed
		}
		if failed := v.checkContent(i); failed != nil {
			return nil, failed
		}
	}
	return root.nouns, nil
}

// maxTwiMLDepth is Response, Dial, Sip.
const maxTwiMLDepth = 3

// parseTwiMLElements reads the elements; nothing else but comments and white
// space may be between them.
func parseTwiMLElements(body []byte) (twimlVerb, *TwilioError) {
	d := xml.NewDecoder(bytes.NewReader(body))
	var open []twimlVerb
	var root *twimlVerb
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) && root != nil && len(open) == 0 {
			return *root, nil
		}
		if err != nil {
			return twimlVerb{}, twilioError(twilioParse, "not XML: %v", err)
		}
		switch token := token.(type) {
		case xml.ProcInst:
			if token.Target != "xml" || root != nil || len(open) > 0 {
				return twimlVerb{}, twilioError(twilioParse, "<?%s is out of place", token.Target)
			}
		case xml.Directive:
			return twimlVerb{}, twilioError(twilioParse, "a document type is not TwiML")
		case xml.Comment:
		case xml.StartElement:
			if root != nil || len(open) == maxTwiMLDepth {
				return twimlVerb{}, twilioError(twilioParse, "<%s> is out of place", token.Name.Local)
			}
			v, failed := twimlElement(token)
			if failed != nil {
				return twimlVerb{}, failed
			}
			open = append(open, v)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1].name != token.Name.Local || token.Name.Space != "" {
				return twimlVerb{}, twilioError(twilioParse, "</%s> closes what is not open", token.Name.Local)
			}
			done := open[len(open)-1]
			done.text = strings.TrimSpace(done.text)
			open = open[:len(open)-1]
			if len(open) == 0 {
				root = &done
			} else {
				open[len(open)-1].nouns = append(open[len(open)-1].nouns, done)
			}
		case xml.CharData:
			switch {
			case len(open) > 0:
				open[len(open)-1].text += string(token)
			case len(bytes.TrimSpace(token)) > 0 || root == nil && bytes.HasPrefix(body, token):
				return twimlVerb{}, twilioError(twilioParse, "text outside of <Response>, or before <?xml")
			}
		}
	}
}

func twimlElement(start xml.StartElement) (twimlVerb, *TwilioError) {
	v := twimlVerb{name: start.Name.Local, attrs: map[string]string{}}
	if start.Name.Space != "" {
		return v, twilioError(twilioParse, "<%s:%s>: TwiML has no namespaces", start.Name.Space, v.name)
	}
	for _, a := range start.Attr {
		_, again := v.attrs[a.Name.Local]
		if again || a.Name.Space != "" || a.Name.Local == "xmlns" {
			return v, twilioError(twilioParse, "attribute %s of <%s> is repeated, or has a namespace", a.Name.Local, v.name)
		}
		v.attrs[a.Name.Local] = a.Value
	}
	return v, nil
}

// check wants a name that is known and attributes that are documented.
func (v twimlVerb) check(known map[string]map[string]twimlValue, what string) *TwilioError {
	allowed, ok := known[v.name]
	if !ok {
		return twilioError(twilioSchema, "<%s> is no %s that is documented and that can be run here", v.name, what)
	}
	for name, value := range v.attrs {
		if valid, ok := allowed[name]; !ok || !valid(value) {
			return twilioError(twilioSchema, "<%s %s=%q>: no such attribute, or no such value", v.name, name, value)
		}
	}
	return nil
}

// checkContent checks what is within the verb; i is its place.
func (v twimlVerb) checkContent(i int) *TwilioError {
	if v.name != "Dial" && len(v.nouns) > 0 {
		return twilioError(twilioSchema, "<%s> has elements in it", v.name)
	}
	switch v.name {
	case "Dial":
		return v.checkDial()
	case "Reject", "Hangup", "Pause":
		if v.text != "" {
			return twilioError(twilioSchema, "<%s> has text in it", v.name)
		}
		if v.name == "Reject" && i > 0 {
			return twilioError(twilioSchema, "<Reject> is not the first verb, so the call is answered by then")
		}
	case "Redirect":
		if !twimlURL(v.text) {
			return twilioError(twilioSchema, "<Redirect> without a URL")
		}
	case "Say":
		if v.text == "" || utf8.RuneCountInString(v.text) > 4096 {
			return twilioError(twilioSchema, "<Say> without text, or with more than 4096 characters")
		}
	}
	return nil
}

// checkDial wants a number, or one noun: more of them ring at the same time,
// which is not done here.
func (v twimlVerb) checkDial() *TwilioError {
	if len(v.nouns) > 1 || len(v.nouns) == 1 && v.text != "" {
		return twilioError(twilioSchema, "<Dial> of several parties at a time can't be run here")
	}
	text := v.text
	if len(v.nouns) == 1 {
		noun := v.nouns[0]
		if failed := noun.check(twimlNouns(), "noun"); failed != nil {
			return failed
		}
		if noun.name == "Sip" {
			return nil // the URI is looked at where it is dialled
		}
		text = noun.text
	}
	if !twimlNumber.MatchString(text) {
		return twilioError(twilioNumber, "<Dial> of %q, which is no number", text)
	}
	return nil
}
