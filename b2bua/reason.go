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

// statusOfQ850 is the SIP status of an ISDN cause (ITU-T Q.850), after the
// table of RFC 3398 section 7.2.4.1: where its footnotes leave a choice, the
// status of a REL that says no more than the cause. 0: none, for what clears a
// call in the normal way is a BYE or CANCEL there, and for what is no cause. A
// cause that the table does not have gives 500.
func statusOfQ850(cause int) int {
	switch cause {
	case 1, 2, 3: // unallocated number; no route to network, to destination
		return 404
	case 16: // normal call clearing
		return 0
	case 17: // user busy
		return 486
	case 18: // no user responding
		return 408
	case 19, 20, 31: // no answer from the user; subscriber absent; normal, unspecified
		return 480
	case 21: // call rejected; 603 where the user did it
		return 403
	case 22, 23: // number changed; redirection to new destination
		return 410
	case 26: // non-selected user clearing
		return 404
	case 27: // destination out of order
		return 502
	case 28: // address incomplete
		return 484
	case 29, 79: // facility rejected; service or option not implemented
		return 501
	case 34, 38, 41, 42, 47, 58, 88:
		// no circuit available; network out of order; temporary failure;
		// switching equipment congestion; resource unavailable; bearer capability
		// not presently available; incompatible destination
		return 503
	case 55, 57, 87: // incoming calls barred within, user not member of CUG; bearer capability not authorized
		return 403
	case 65, 70: // bearer capability not implemented; only restricted digital information
		return 488
	case 102: // recovery on timer expiry
		return 504
	default: // 111 protocol error and 127 interworking, unspecified, among them
		if cause < 1 || cause > 127 {
			return 0
		}
		return 500
	}
}
