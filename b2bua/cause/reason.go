package cause

import (
	"strconv"
	"strings"

	"flowbridge/b2bua/message"
)

// These limit the number of reasons in one message, and the value of a cause. Protocols other than
// SIP and Q.850 have higher causes.
const (
	maxReasons     = 16
	maxReasonCause = 9999
)

// reason is one value of a Reason header (RFC 3326 section 2).
type reason struct {
	protocol string // SIP, Q.850 or another
	cause    int    // 0 if the reason has none
	text     string
}

// parseReasons reads the values of all Reason headers of a message. It ignores malformed ones,
// because reasons are only for the record. If a parameter is repeated, the first one counts.
func parseReasons(values []string) (all []reason) {
	for _, list := range values {
		for more := true; more; {
			var value string
			value, list, more = message.CutUnquoted(list, ',')
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
	protocol, params, _ := message.CutUnquoted(value, ';')
	r.protocol = message.Trim(protocol)
	if !message.IsToken(r.protocol) || len(r.protocol) > message.MaxPhrase {
		return reason{}, false
	}
	caused, told := false, false
	for params != "" {
		var key, v string
		key, v, params = message.CutParam(params)
		switch {
		case message.EqualFold(key, "cause") && !caused:
			r.cause, _ = message.Decimal(v, maxReasonCause)
			caused = true
		case message.EqualFold(key, "text") && !told:
			r.text = reasonText(v)
			told = true
		}
	}
	return r, true
}

// reasonText returns the text parameter of a reason as one line, cut to a sensible length.
func reasonText(v string) string {
	if strings.HasPrefix(v, `"`) {
		content, _, _ := message.CutQuoted(v)
		v = message.Unquote(content)
	}
	return strings.ToValidUTF8(message.Printable(v, message.MaxPhrase), "")
}

// String returns the value of a Reason header.
func (r reason) String() string {
	var room [96]byte
	s := append(room[:0], r.protocol...)
	if r.cause != 0 {
		s = strconv.AppendInt(append(s, ";cause="...), int64(r.cause), 10)
	}
	if r.text != "" {
		s = message.AppendQuoted(append(s, ";text="...), r.text)
	}
	return string(s)
}

// Value returns the value of the Reason header for the CANCEL to the other side, or "" if there is
// no reason to give. Its text never comes from the peer.
func (r Reasons) Value() string {
	switch {
	case r.elsewhere:
		return ReasonValue(AnotherAnswered, 0)
	case r.Q850 > 0:
		return reason{protocol: "Q.850", cause: r.Q850, text: string(CallerCancelled)}.String()
	default:
		return ""
	}
}

// Reasons is what the Reason headers of a caller's CANCEL tell the other side.
type Reasons struct {
	Q850      int
	elsewhere bool // another party took the call (RFC 3326 section 2)
}
