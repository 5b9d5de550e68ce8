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

// Capabilities returns the headers of the answer to an OPTIONS (RFC 3261 section 11.2).
func Capabilities(o PeerOptions) []sip.Header {
	return []sip.Header{
		AllowHeader(o.Allow),
		sip.NewHeader("Accept", message.AcceptedBodies),
		sip.NewHeader("Accept-Encoding", "identity"),
		sip.NewHeader("Accept-Language", "en"),
		Supported(o),
	}
}

func (l *Leg) capabilities() []sip.Header { return Capabilities(l.Peer) }

// extensions returns the option tags that we support toward a peer (RFC 3261 section
// 19.2): those of RFC 4028 and RFC 3262.
func (o PeerOptions) extensions() []string {
	if o.Rel100 == "" || o.Rel100 == config.Rel100Off {
		return []string{"timer"}
	}
	return []string{"timer", "100rel"}
}

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

// can reports whether the sender of a request supports the extension with this option tag.
func can(req *sip.Request, tag string) bool {
	return message.HasOption(req, "Supported", tag) || message.HasOption(req, "Require", tag)
}

// Supported returns the header that names the supported extensions.
func Supported(o PeerOptions) sip.Header { return sip.NewHeader("Supported", SupportedValue(o)) }

// SupportedValue returns the value of the Supported header.
func SupportedValue(o PeerOptions) string {
	if all := o.extensions(); len(all) == 1 {
		return all[0]
	}
	return "timer, 100rel"
}

// missing returns the extensions that a request requires and that are not supported, as the
// value of the header Unsupported (RFC 3261 section 8.2.2.3).
func missing(req *sip.Request, o PeerOptions) string {
	var unknown []string
	for _, h := range req.GetHeaders("require") {
		for tag := range strings.SplitSeq(h.Value(), ",") {
			tag = strings.TrimSpace(tag)
			if tag != "" && !slices.ContainsFunc(o.extensions(), func(e string) bool { return strings.EqualFold(e, tag) }) {
				unknown = append(unknown, tag)
			}
		}
	}
	return strings.Join(unknown, ", ")
}

// Refusal returns the refusal of a new INVITE, which is checked in the order of RFC 3261
// section 8.2. It returns code 0 if the INVITE is acceptable.
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

// Unsupported returns the refusal of a request that requires an unknown extension, lacks
// a required one (RFC 3262 section 3), or asks for a session timer that is too short (RFC
// 4028 section 9). It returns code 0 if there is no reason to refuse.
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

// acceptsSDP reports whether the answer to an INVITE may have SDP. It may if there is no
// Accept header (RFC 3261 section 20.1).
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

// RetryAfter returns the header of a refusal for lack of capacity (RFC 3261 section
// 20.33).
func RetryAfter() sip.Header { return sip.NewHeader("Retry-After", message.RetrySeconds) }

// Methods lists the methods that every peer may send within a dialog. PeerOptions has the
// methods of one peer.
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

// AllowHeader returns the header Allow with a list of methods.
func AllowHeader(list string) sip.Header { return sip.NewHeader("Allow", list) }

// Allow returns the header Allow for the leg's peer.
func (l *Leg) Allow() sip.Header { return AllowHeader(l.Peer.Allow) }

// retryShortly asks the peer to try again within ten seconds (RFC 3261 section 14.2).
func retryShortly() sip.Header { return sip.NewHeader("Retry-After", strconv.Itoa(rand.IntN(11))) }
