package b2bua

import (
	"strconv"
	"strings"
)

// Bounds of the reasons that are read: their number in one message, and a
// cause. Protocols of their own count higher than SIP and Q.850.
const (
	maxReasons     = 16
	maxReasonCause = 9999
)

// reason is one value of a Reason header (RFC 3326 section 2).
type reason struct {
	protocol string // SIP, Q.850 or another, as it came
	cause    int    // 0: none
	text     string
}

// parseReasons reads the values of all Reason headers of a message. What is
// malformed is left out: a reason is for the record, and no condition for
// anything. Of two parameters of one name the first counts.
func parseReasons(values []string) (all []reason) {
	for _, list := range values {
		for more := true; more; {
			var value string
			value, list, more = cutUnquoted(list, ',')
			if r, ok := parseReason(value); ok {
				all = append(all, r)
			}
			if len(all) == maxReasons {
				return all
			}
		}
	}
	return all
}

// parseReason reads one reason.
func parseReason(value string) (r reason, ok bool) {
	protocol, params, _ := cutUnquoted(value, ';')
	r.protocol = trimmed(protocol)
	if !isToken(r.protocol) || len(r.protocol) > maxPhrase {
		return reason{}, false
	}
	caused, told := false, false
	for params != "" {
		var key, v string
		key, v, params = cutParam(params)
		switch {
		case equalFold(key, "cause") && !caused:
			r.cause, _ = decimal(v, maxReasonCause)
			caused = true
		case equalFold(key, "text") && !told:
			r.text = reasonText(v)
			told = true
		}
	}
	return r, true
}

// reasonText is what a text parameter says, on one line and of sensible length.
func reasonText(v string) string {
	if strings.HasPrefix(v, `"`) {
		content, _, _ := cutQuoted(v)
		v = unquoted(content)
	}
	return strings.ToValidUTF8(printable(v, maxPhrase), "")
}

// String is the reason as it is written.
func (r reason) String() string {
	s := r.protocol
	if r.cause != 0 {
		s += ";cause=" + strconv.Itoa(r.cause)
	}
	if r.text != "" {
		s += ";text=" + quoted(r.text)
	}
	return s
}
