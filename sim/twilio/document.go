package twilio

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

// attributes are checks for the values of an element's attributes.
type attributes map[string]func(string) bool

var (
	isBool      = oneOf("true", "false")
	isMethod    = oneOf("GET", "POST")
	isCallerID  = regexp.MustCompile(`^[A-Za-z0-9+\-_.]+$`).MatchString
	phoneNumber = regexp.MustCompile(`^\+?[0-9()\-. ]{3,24}$`)
)

func isText(s string) bool { return s != "" }

func isURL(s string) bool { _, err := url.Parse(s); return err == nil && s != "" }

func oneOf(all ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(all, s) }
}

func between(low, high int) func(string) bool {
	return func(s string) bool {
		n, err := strconv.Atoi(s)
		return err == nil && n >= low && n <= high
	}
}

// verbs are the supported verbs with their documented attributes
// (twilio.com/docs/voice/twiml).
var verbs = map[string]attributes{
	"Dial": {
		"action": isURL, "method": isMethod, "timeout": between(5, 600), "timeLimit": between(1, 86400), "callerId": isCallerID,
		"answerOnBridge": isBool, "hangupOnStar": isBool, "sequential": isBool, "record": isText, "trim": isText, "ringTone": isText,
		"recordingStatusCallback": isURL, "recordingStatusCallbackMethod": isMethod, "recordingStatusCallbackEvent": isText,
		"recordingTrack": isText, "referUrl": isURL, "referMethod": isMethod, "events": isText,
	},
	"Reject":   {"reason": oneOf("busy", "rejected")},
	"Redirect": {"method": isMethod},
	"Say":      {"voice": isText, "language": isText, "loop": between(0, 1000)},
	"Pause":    {"length": between(1, 600)},
	"Hangup":   {},
}

// nouns are the elements within <Dial>.
var nouns = map[string]attributes{
	"Sip": {
		"username": isText, "password": isText, "url": isURL, "method": isMethod, "codecs": isText,
		"statusCallback": isURL, "statusCallbackMethod": isMethod, "statusCallbackEvent": isText,
		"machineDetection": isText, "amdStatusCallback": isURL, "amdStatusCallbackMethod": isMethod,
	},
	"Number": {
		"sendDigits": isText, "url": isURL, "method": isMethod, "byoc": isText,
		"statusCallback": isURL, "statusCallbackMethod": isMethod, "statusCallbackEvent": isText,
	},
}

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
	case !utf8.Valid(body):
		return nil, failure(codeParse, "TwiML that is not UTF-8")
	}
	root, parsed := parseElements(body)
	if parsed != nil {
		return nil, parsed
	}
	if root.name != "Response" || len(root.attrs) > 0 || root.text != "" {
		return nil, failure(codeParse, "the root is <%s>; want <Response>, without attributes or text", root.name)
	}
	for i, v := range root.nouns {
		if failed := v.check(verbs, "verb"); failed != nil {
			return nil, failed
		}
		if failed := v.checkContent(i); failed != nil {
			return nil, failed
		}
	}
	return root.nouns, nil
}

// maxTwiMLDepth is the depth of Response, Dial, Sip.
const maxTwiMLDepth = 3

// parseElements reads the elements. Only comments and white space may be between
// them.
func parseElements(body []byte) (verb, *Error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	e := elements{body: body}
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) && e.root != nil && len(e.open) == 0 {
			return *e.root, nil
		}
		if err != nil {
			return verb{}, failure(codeParse, "not XML: %v", err)
		}
		if failed := e.take(token); failed != nil {
			return verb{}, failed
		}
	}
}

// elements are those of a document so far.
type elements struct {
	body []byte
	open []verb // from the outermost to the innermost
	root *verb  // nil: it has not ended
}

func (e *elements) take(token xml.Token) *Error {
	switch token := token.(type) {
	case xml.ProcInst:
		if token.Target != "xml" || e.root != nil || len(e.open) > 0 {
			return failure(codeParse, "<?%s is out of place", token.Target)
		}
	case xml.Directive:
		return failure(codeParse, "a document type is not TwiML")
	case xml.StartElement:
		if e.root != nil || len(e.open) == maxTwiMLDepth {
			return failure(codeParse, "<%s> is out of place", token.Name.Local)
		}
		v, failed := newVerb(token)
		if failed != nil {
			return failed
		}
		e.open = append(e.open, v)
	case xml.EndElement:
		return e.end(token.Name)
	case xml.CharData:
		switch {
		case len(e.open) > 0:
			e.open[len(e.open)-1].text += string(token)
		case len(bytes.TrimSpace(token)) > 0 || e.root == nil && bytes.HasPrefix(e.body, token):
			return failure(codeParse, "text outside of <Response>, or before <?xml")
		}
	}
	return nil
}

// end takes the end of the innermost element.
func (e *elements) end(name xml.Name) *Error {
	last := len(e.open) - 1
	if last < 0 || e.open[last].name != name.Local || name.Space != "" {
		return failure(codeParse, "</%s> closes what is not open", name.Local)
	}
	done := e.open[last]
	done.text = strings.TrimSpace(done.text)
	e.open = e.open[:last]
	if last == 0 {
		e.root = &done
	} else {
		e.open[last-1].nouns = append(e.open[last-1].nouns, done)
	}
	return nil
}

func newVerb(start xml.StartElement) (verb, *Error) {
	v := verb{name: start.Name.Local, attrs: map[string]string{}}
	if start.Name.Space != "" {
		return v, failure(codeParse, "<%s:%s>: TwiML has no namespaces", start.Name.Space, v.name)
	}
	for _, a := range start.Attr {
		_, again := v.attrs[a.Name.Local]
		if again || a.Name.Space != "" || a.Name.Local == "xmlns" {
			return v, failure(codeParse, "attribute %s of <%s> is repeated, or has a namespace", a.Name.Local, v.name)
		}
		v.attrs[a.Name.Local] = a.Value
	}
	return v, nil
}

// check checks the name and the attributes.
func (v verb) check(known map[string]attributes, what string) *Error {
	allowed, ok := known[v.name]
	if !ok {
		return failure(codeSchema, "<%s> is not a supported %s", v.name, what)
	}
	for name, value := range v.attrs {
		if valid, ok := allowed[name]; !ok || !valid(value) {
			return failure(codeSchema, "<%s %s=%q>: no such attribute, or no such value", v.name, name, value)
		}
	}
	return nil
}

// checkContent checks the content of the verb at place i.
func (v verb) checkContent(i int) *Error {
	if v.name != "Dial" && len(v.nouns) > 0 {
		return failure(codeSchema, "<%s> has elements in it", v.name)
	}
	switch v.name {
	case "Dial":
		return v.checkDial()
	case "Reject", "Hangup", "Pause":
		if v.text != "" {
			return failure(codeSchema, "<%s> has text in it", v.name)
		}
		if v.name == "Reject" && i > 0 {
			return failure(codeSchema, "<Reject> is not the first verb, so the call is answered by then")
		}
	case "Redirect":
		if !isURL(v.text) {
			return failure(codeSchema, "<Redirect> without a URL")
		}
	case "Say":
		if v.text == "" || utf8.RuneCountInString(v.text) > 4096 {
			return failure(codeSchema, "<Say> without text, or with more than 4096 characters")
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
		if failed := noun.check(nouns, "noun"); failed != nil {
			return failed
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
