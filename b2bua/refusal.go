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
	contact := req.Contact()
	secure := message.TransportOf(req) == config.TransportTLS
	switch scheme := req.Recipient.Scheme; {
	case scheme != "sip" && scheme != "tel" && (scheme != "sips" || !secure): // section 26.2.2
		return 416, "Unsupported URI Scheme", nil
	case len(req.Recipient.String()) > message.MaxURI:
		return 414, "Request-URI Too Long", nil
	case strings.ContainsFunc(req.Recipient.String(), message.IsControl):
		return 400, "Request-URI holds a control character", nil
	case req.MaxForwards() != nil && *req.MaxForwards() == 0:
		return 483, "Too Many Hops", nil
	case contact != nil && contact.Address.Scheme == "sips" && !secure:
		return 400, "Contact Is a sips URI, but Came Without TLS", nil
	case contact == nil || (contact.Address.Scheme != "sip" && contact.Address.Scheme != "sips") || contact.Address.Host == "" || len(req.GetHeaders("contact")) > 1:
		return 400, "Contact with one sip URI is missing", nil // section 8.1.1.8
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

// looped says whether a request has passed us before: one of its Vias is ours
// (RFC 3261 section 16.3, item 4).
func (s *Server) looped(req *sip.Request) bool {
	return slices.ContainsFunc(req.GetHeaders("via"), func(h sip.Header) bool {
		via, ok := h.(*sip.ViaHeader)
		if !ok {
			return false
		}
		branch, _ := via.Params.Get("branch")
		return s.mint.MintedBranch([]byte(branch))
	})
}
