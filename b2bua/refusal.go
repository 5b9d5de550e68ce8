package b2bua

import (
	"fmt"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// refusal checks a new INVITE in the order of RFC 3261 section 8.2; code 0:
// nothing is wrong.
func (s *Server) refusal(req *sip.Request, o leg.PeerOptions) (code int, reason string, headers []sip.Header) {
	secure := message.TransportOf(req) == config.TransportTLS
	if code, reason = uriRefusal(req, secure); code != 0 {
		return code, reason, nil
	}
	if reason = contactRefusal(req, secure); reason != "" {
		return 400, reason, nil
	}
	if code, reason, headers = leg.Unsupported(req, o); code != 0 {
		return code, reason, headers
	}
	if code, reason, headers = message.BodyRefusal(req, o.Parts); code != 0 {
		return code, reason, headers
	}
	switch sdp, _, _ := message.BodyOf(req, o.Parts); {
	case len(sdp) > s.cfg.SIP.Limits.SDP:
		return 400, fmt.Sprintf("Session Description Longer Than %d Bytes", s.cfg.SIP.Limits.SDP), nil
	case !leg.AcceptsSDP(req.GetHeaders("accept")):
		return 406, "Not Acceptable", nil
	}
	return 0, "", nil
}

// uriRefusal checks the Request-URI and whether the request may go further. A
// sips URI needs TLS (RFC 3261 section 26.2.2).
func uriRefusal(req *sip.Request, secure bool) (code int, reason string) {
	scheme, uri := req.Recipient.Scheme, req.Recipient.String()
	switch {
	case scheme != "sip" && scheme != "tel" && (scheme != "sips" || !secure):
		return 416, "Unsupported URI Scheme"
	case len(uri) > message.MaxURI:
		return 414, "Request-URI Too Long"
	case strings.ContainsFunc(uri, message.IsControl):
		return 400, "Request-URI holds a control character"
	case req.MaxForwards() != nil && *req.MaxForwards() == 0:
		return 483, "Too Many Hops"
	}
	return 0, ""
}

// contactRefusal checks that there is one Contact with a SIP URI that can be used
// (RFC 3261 section 8.1.1.8); "" if so.
func contactRefusal(req *sip.Request, secure bool) string {
	const missing = "Contact with one sip URI is missing"
	contact := req.Contact()
	if contact == nil {
		return missing
	}
	switch uri := contact.Address; {
	case uri.Scheme == "sips" && !secure:
		return "Contact Is a sips URI, but Came Without TLS"
	case (uri.Scheme != "sip" && uri.Scheme != "sips") || uri.Host == "" || len(req.GetHeaders("contact")) > 1:
		return missing
	}
	return ""
}

// looped says whether a request has passed us before: one of its Vias is ours
// (RFC 3261 section 16.3, item 4).
func (s *Server) looped(req *sip.Request) bool {
	return slices.ContainsFunc(req.GetHeaders("via"), func(h sip.Header) bool {
		via, ok := h.(*sip.ViaHeader)
		if !ok {
			return false
		}
		branch, _ := via.Params.Get("branch")
		return s.mint.OwnsBranch([]byte(branch))
	})
}
