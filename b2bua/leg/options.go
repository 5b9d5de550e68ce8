package leg

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// Capabilities returns the headers for the response to an OPTIONS (RFC 3261 section 11.2).
func Capabilities(o PeerOptions) []sip.Header {
	return []sip.Header{
		o.Allow,
		sip.NewHeader("Accept", message.AcceptedBodies),
		sip.NewHeader("Accept-Encoding", "identity"),
		sip.NewHeader("Accept-Language", "en"),
		Supported(o),
	}
}

// AgentName is this server's name in User-Agent and Server.
const AgentName = "Flowbridge"

// All messages share these headers.
var (
	UserAgent      = sip.NewHeader("User-Agent", AgentName)
	Server         = sip.NewHeader("Server", AgentName)
	ContentSDP     = sip.NewHeader("Content-Type", message.SDPType)
	timerOnly      = sip.NewHeader("Supported", "timer")
	timerAnd100rel = sip.NewHeader("Supported", "timer, 100rel")
)

// StatusOfMethod returns the status for a method that is not accepted: 405 if it exists, 501
// if it is unknown (RFC 3261 sections 21.4.6 and 21.5.2).
func StatusOfMethod(m sip.RequestMethod) int {
	switch m {
	case sip.INVITE, sip.ACK, sip.CANCEL, sip.BYE, sip.REGISTER, sip.OPTIONS, sip.SUBSCRIBE, sip.NOTIFY, sip.REFER,
		sip.INFO, sip.MESSAGE, sip.PRACK, sip.UPDATE, sip.PUBLISH:
		return 405
	default:
		return 501
	}
}

// can reports whether the sender of a request supports an extension.
func can(req *sip.Request, tag string) bool {
	return message.HasOption(req, "Supported", tag) || message.HasOption(req, "Require", tag)
}

// Supported returns the Supported header for a peer, with our option tags (RFC 3261 section 19.2):
// timer (RFC 4028), and 100rel (RFC 3262) unless that is off.
func Supported(o PeerOptions) sip.Header {
	if o.Rel100 == "" || o.Rel100 == config.Rel100Off {
		return timerOnly
	}
	return timerAnd100rel
}

// missing returns the value of the Unsupported header for a request: the extensions that it
// requires and that we do not support (RFC 3261 section 8.2.2.3). It returns "" if there are none.
func missing(req *sip.Request, o PeerOptions) string {
	var unknown []string
	for _, h := range req.GetHeaders("require") {
		known := strings.Split(Supported(o).Value(), ", ")
		for tag := range strings.SplitSeq(h.Value(), ",") {
			tag = strings.TrimSpace(tag)
			if tag != "" && !slices.ContainsFunc(known, func(e string) bool { return strings.EqualFold(e, tag) }) {
				unknown = append(unknown, tag)
			}
		}
	}
	return strings.Join(unknown, ", ")
}

// Refusal returns the refusal of a new INVITE. It checks in the order of RFC 3261 section 8.2. A
// code of 0 means that the INVITE is acceptable.
func Refusal(req *sip.Request, o PeerOptions) (code int, reason string, headers []sip.Header) {
	secure := message.TransportOf(req) == config.TransportTLS
	if code, reason = message.URIRefusal(req, secure); code != 0 {
		return code, reason, nil
	}
	if reason = message.ContactRefusal(req, secure); reason != "" {
		return 400, reason, nil
	}
	if code, reason, headers = Unsupported(req, o); code != 0 {
		return code, reason, headers
	}
	if code, reason, headers = message.BodyRefusal(req); code != 0 {
		return code, reason, headers
	}
	switch sdp := message.SDPBody(req); {
	case len(sdp) > message.MaxSDP:
		return 400, fmt.Sprintf("Session Description Longer Than %d Bytes", message.MaxSDP), nil
	case !acceptsSDP(req.GetHeaders("accept")):
		return 406, "Not Acceptable", nil
	}
	return 0, "", nil
}

// Unsupported returns the refusal of a request that requires an unknown extension, lacks an
// extension that we require (RFC 3262 section 3), or asks for a session timer that is too short
// (RFC 4028 section 9). A code of 0 means that there is no reason to refuse.
func Unsupported(req *sip.Request, o PeerOptions) (code int, reason string, headers []sip.Header) {
	unknown := missing(req, o)
	switch {
	case unknown != "":
		return 420, "Bad Extension", []sip.Header{sip.NewHeader("Unsupported", unknown)}
	case o.Rel100 == config.Rel100Required && req.Method == sip.INVITE && !can(req, "100rel"):
		return 421, message.StatusText(421), []sip.Header{sip.NewHeader("Require", "100rel")}
	case (req.Method == sip.INVITE || req.Method == sip.UPDATE) && tooShort(req):
		return 422, message.StatusText(422), []sip.Header{sip.NewHeader("Min-SE", message.FormatMinSE(leastInterval))}
	}
	return 0, "", nil
}

// acceptsSDP reports whether these Accept headers allow SDP in the answer. Without an Accept header
// it is allowed (RFC 3261 section 20.1).
func acceptsSDP(accept []sip.Header) bool {
	for _, h := range accept {
		for kind := range strings.SplitSeq(h.Value(), ",") {
			kind, _, _ = strings.Cut(kind, ";")
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case message.SDPType, "application/*", "*/*":
				return true
			}
		}
	}
	return len(accept) == 0
}

// RetryAfter returns the Retry-After header for a refusal because of a lack of capacity (RFC 3261
// section 20.33).
func RetryAfter() sip.Header { return sip.NewHeader("Retry-After", message.RetrySeconds) }

// Methods lists the methods that every peer may send within a dialog. PeerOptions.Allow has the
// methods for one peer.
const Methods = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE"

// Allowed reports whether a list of methods, as in Allow, contains this one.
func Allowed(list string, method sip.RequestMethod) bool {
	for m := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(m) == string(method) { // methods are case-sensitive (RFC 3261 section 7.1)
			return true
		}
	}
	return false
}

// AllowHeader returns an Allow header with this list of methods.
func AllowHeader(list string) sip.Header { return sip.NewHeader("Allow", list) }

// retryShortly returns a Retry-After header of zero to ten seconds, chosen at random (RFC 3261
// section 14.2).
func retryShortly() sip.Header { return sip.NewHeader("Retry-After", strconv.Itoa(rand.IntN(11))) }
