package twilio

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ErrNoCalled is a request without the parameter that says where the call
// goes. The words are those of Synthflow's document.
var ErrNoCalled = errors.New(`Missing "Called" query parameter`) //nolint:staticcheck // an answer's text, given as it is

// Call is a call that came in to Twilio, as the parameters of the webhook
// describe it (twilio.com/docs, "Twilio's request to your application").
// Numbers are E.164 with their plus; calls of SIP domains have SIP URIs
// instead. What was not sent is empty.
type Call struct {
	SID           string // CallSid
	AccountSID    string // AccountSid
	Called        string // the Twilio number
	Caller        string // From, or Caller
	Direction     string // inbound, or outbound-api where Twilio placed it
	Status        string // CallStatus: ringing, in-progress
	ForwardedFrom string // the number that forwarded the call, where the carrier says so
	CallerName    string // of a number with caller name lookup
	APIVersion    string // ApiVersion

	sipHeaders map[string]string // by name in lower case
}

// Header gives an X- header of the INVITE that a SIP domain received, which
// Twilio passes as SipHeader_<name>; empty without. Names are compared without
// case.
func (c Call) Header(name string) string { return c.sipHeaders[strings.ToLower(name)] }

// sipHeaderPrefix is what Twilio puts before the name of a header.
const sipHeaderPrefix = "SipHeader_"

// ParseCall reads the parameters of a request. Without Called the error is
// ErrNoCalled.
func ParseCall(params url.Values) (Call, error) {
	c := Call{
		SID:           params.Get("CallSid"),
		AccountSID:    params.Get("AccountSid"),
		Called:        number(params.Get("Called")),
		Caller:        number(params.Get("From")),
		Direction:     params.Get("Direction"),
		Status:        params.Get("CallStatus"),
		ForwardedFrom: number(params.Get("ForwardedFrom")),
		CallerName:    params.Get("CallerName"),
		APIVersion:    params.Get("ApiVersion"),
		sipHeaders:    map[string]string{},
	}
	if c.Called == "" {
		return Call{}, ErrNoCalled
	}
	if c.Caller == "" {
		c.Caller = number(params.Get("Caller"))
	}
	for name, values := range params {
		if header, ok := strings.CutPrefix(name, sipHeaderPrefix); ok && len(values) > 0 {
			c.sipHeaders[strings.ToLower(header)] = values[0]
		}
	}
	return c, nil
}

// E.164 allows fifteen digits; what has fewer than seven is an extension or a
// short code, which has no plus to lose.
const minE164, maxE164 = 7, 15

// number gives back the plus that a query string has eaten, which reads an
// unescaped one as a space, and trims. What is no number stays as it is.
func number(s string) string {
	digits := strings.TrimSpace(s)
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return digits
	}
	whole := len(digits) >= minE164 && len(digits) <= maxE164 && digits[0] != '0'
	if whole || strings.HasPrefix(s, " ") {
		return "+" + digits
	}
	return digits
}

// parseParameters reads a query or a form body. Other than url.ParseQuery it
// takes a ';' as a part of a value, which is what it is to everybody else.
func parseParameters(raw string) (url.Values, error) {
	params := url.Values{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, err := url.QueryUnescape(name)
		if err != nil {
			return nil, fmt.Errorf("name of a parameter: %w", err)
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			return nil, fmt.Errorf("parameter %q: %w", n, err)
		}
		params[n] = append(params[n], v)
	}
	return params, nil
}
