package twilio

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"flowbridge/config/twiml"
)

// contentType is the media type of TwiML.
const contentType = "text/xml; charset=utf-8"

// errTwiML means that Twilio would not accept the document.
var errTwiML = errors.New("twiml")

// DialOptions are the attributes of <Dial> (twilio.com/docs, "TwiML Voice: <Dial>"). A zero value leaves an attribute
// at Twilio's default.
type DialOptions struct {
	AnswerOnBridge bool          // the caller hears ringing, and is not charged, until the far end answers
	Timeout        time.Duration // how long it may ring, 5 to 600 s in whole seconds; zero means Twilio's 30 s
	CallerID       string        // number or name to show; if empty, the caller's
	Action         string        // URL that Twilio requests when the call has ended; if empty, the call is over
	Method         string        // method of that request, GET or POST; if empty, POST
	ReferURL       string        // URL that Twilio requests when the far end sends a REFER; if empty, the REFER is refused
}

// These are the elements of TwiML.
type (
	response struct {
		XMLName xml.Name  `xml:"Response"`
		Dial    *dial     `xml:"Dial"`
		Hangup  *struct{} `xml:"Hangup"`
	}
	dial struct {
		AnswerOnBridge bool   `xml:"answerOnBridge,attr,omitempty"`
		Timeout        int    `xml:"timeout,attr,omitempty"` // seconds
		CallerID       string `xml:"callerId,attr,omitempty"`
		Action         string `xml:"action,attr,omitempty"`
		Method         string `xml:"method,attr,omitempty"`
		ReferURL       string `xml:"referUrl,attr,omitempty"`
		SIP            string `xml:"Sip,omitempty"`
		Number         string `xml:",chardata"`
	}
)

// dialSIP returns the TwiML that dials a SIP URI from SIPURI.
func dialSIP(uri string, o DialOptions) ([]byte, error) {
	d, err := o.element()
	if err != nil {
		return nil, err
	}
	d.SIP = uri
	return document(response{Dial: d})
}

// dialNumber returns the TwiML that dials a number.
func dialNumber(number string, o DialOptions) ([]byte, error) {
	digits := strings.TrimPrefix(number, "+")
	if strings.Trim(digits, "0123456789") != "" || len(digits) < minDialled || len(digits) > maxE164 {
		return nil, fmt.Errorf("%w: number %q: write it as +15550100001", errTwiML, number)
	}
	d, err := o.element()
	if err != nil {
		return nil, err
	}
	d.Number = number
	return document(response{Dial: d})
}

// minDialled is the length of a short code.
const minDialled = 3

// element checks the attributes and returns the element.
func (o DialOptions) element() (*dial, error) {
	switch {
	case o.Timeout != 0 && (o.Timeout < 5*time.Second || o.Timeout > 600*time.Second || o.Timeout%time.Second != 0):
		return nil, fmt.Errorf("%w: dial timeout %v: 5s to 600s, in whole seconds", errTwiML, o.Timeout)
	case o.Action != "" && !webURL(o.Action):
		return nil, fmt.Errorf("%w: dial action %q: write an http or https URL", errTwiML, o.Action)
	case o.Method != "" && o.Method != http.MethodGet && o.Method != http.MethodPost:
		return nil, fmt.Errorf("%w: dial method %q: GET or POST", errTwiML, o.Method)
	case strings.ContainsFunc(o.CallerID, func(r rune) bool { return !twiml.IsWord(r) && r != '+' }):
		return nil, fmt.Errorf("%w: caller id %q: it has letters, digits, +, -, _ and . only", errTwiML, o.CallerID)
	}
	return &dial{
		AnswerOnBridge: o.AnswerOnBridge, Timeout: int(o.Timeout / time.Second), CallerID: o.CallerID, Action: o.Action,
		Method:   o.Method,
		ReferURL: o.ReferURL,
	}, nil
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && printable(s)
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s,
		func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff })
}

func document(r response) ([]byte, error) {
	body, err := xml.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTwiML, err)
	}
	return append([]byte(xml.Header), body...), nil
}
