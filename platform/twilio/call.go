package twilio

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// errNoCalled means that a request lacks the called number. The text is from Synthflow's document.
//
//nolint:staticcheck // an answer's text, given as it is
var errNoCalled = errors.New(`Missing "Called" query parameter`)

// Call is a call that came in to Twilio, from the parameters of the webhook (twilio.com/docs, "Twilio's request to your
// application"). Numbers are E.164 with their plus; calls of SIP domains have SIP URIs instead. A missing value is
// empty.
type Call struct {
	SID           string // CallSid
	AccountSID    string // AccountSid
	Called        string // the Twilio number
	Caller        string // From, or Caller
	Direction     string // inbound, or outbound-api if Twilio placed the call
	Status        string // CallStatus: ringing, in-progress
	ForwardedFrom string // the number that forwarded the call, if the carrier names it
	CallerName    string // only for numbers with caller name lookup

	sipHeaders map[string]string // keys are in lower case
}

// Header returns an X- header of the INVITE that a SIP domain received, or "". Twilio passes it as SipHeader_<name>.
// The name's case does not matter.
func (c Call) Header(name string) string { return c.sipHeaders[strings.ToLower(name)] }

// sipHeaderPrefix is Twilio's prefix for names of headers.
const sipHeaderPrefix = "SipHeader_"

// parseCall reads the parameters of a request.
func parseCall(params url.Values) (Call, error) {
	c := Call{
		SID:           params.Get("CallSid"),
		AccountSID:    params.Get("AccountSid"),
		Called:        number(params.Get("Called")),
		Caller:        number(params.Get("From")),
		Direction:     params.Get("Direction"),
		Status:        params.Get("CallStatus"),
		ForwardedFrom: number(params.Get("ForwardedFrom")),
		CallerName:    params.Get("CallerName"),
		sipHeaders:    map[string]string{},
	}
	if c.Called == "" {
		return Call{}, errNoCalled
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

// E.164 allows fifteen digits. Extensions and short codes have fewer than seven, and no plus to lose.
const minE164, maxE164 = 7, 15

// number trims a number and restores its plus, because a query string reads an unescaped plus as a space. It does not
// change other texts.
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

// parseParameters parses a query or a form body. Unlike url.ParseQuery it accepts ';' within a value, as other programs
// do.
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
