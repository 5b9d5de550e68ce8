package b2bua

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// noteRefused logs why an INVITE of a trunk was refused, at a bounded rate.
func (s *Server) noteRefused(req *sip.Request, code int, reason string) {
	if !s.mayLog.Allow() {
		return
	}
	id := req.CallID().Value()
	s.log.Warn().Str("src", req.Source()).Str("reason", strconv.Itoa(code)+" "+reason).
		Str("sip_call_id", id[:min(len(id), maxLogged)]).Msg("sip rejected")
}

// refusal checks a new INVITE in the order of RFC 3261 section 8.2; code 0:
// nothing is wrong.
func (s *Server) refusal(req *sip.Request, o peerOptions) (code int, reason string, headers []sip.Header) {
	contact := req.Contact()
	secure := transportOf(req) == config.TransportTLS
	switch scheme := req.Recipient.Scheme; {
	case scheme != "sip" && scheme != "tel" && (scheme != "sips" || !secure): // section 26.2.2
		return 416, "Unsupported URI Scheme", nil
	case len(req.Recipient.String()) > maxURI:
		return 414, "Request-URI Too Long", nil
	case strings.ContainsFunc(req.Recipient.String(), isControl):
		return 400, "Request-URI holds a control character", nil
	case req.MaxForwards() != nil && *req.MaxForwards() == 0:
		return 483, "Too Many Hops", nil
	case contact != nil && contact.Address.Scheme == "sips" && !secure:
		return 400, "Contact Is a sips URI, but Came Without TLS", nil
	case contact == nil || (contact.Address.Scheme != "sip" && contact.Address.Scheme != "sips") || contact.Address.Host == "" || len(req.GetHeaders("contact")) > 1:
		return 400, "Contact with one sip URI is missing", nil // section 8.1.1.8
	}
	if code, reason, headers = unsupported(req, o); code != 0 {
		return code, reason, headers
	}
	if code, reason, headers = bodyRefusal(req, o.parts); code != 0 {
		return code, reason, headers
	}
	switch sdp, _, _ := bodyOf(req, o.parts); {
	case len(sdp) > s.cfg.SIP.Limits.SDP:
		return 400, fmt.Sprintf("Session Description Longer Than %d Bytes", s.cfg.SIP.Limits.SDP), nil
	case !acceptsSDP(req.GetHeaders("accept")):
		return 406, "Not Acceptable", nil
	}
	return 0, "", nil
}

// supported names our extensions.
func supported(o peerOptions) sip.Header {
	return sip.NewHeader("Supported", strings.Join(o.extensions(), ", "))
}

// missing lists the extensions that a request wants and we don't have
// (RFC 3261 section 8.2.2.3).
func missing(req *sip.Request, o peerOptions) string {
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

// unsupported refuses what a request demands and we can't do, or lacks and we
// demand (RFC 3262 section 3), or a time for the session that is too short (RFC
// 4028 section 9).
func unsupported(req *sip.Request, o peerOptions) (code int, reason string, headers []sip.Header) {
	unknown := missing(req, o)
	within := tagOf(req.To().Params) != "" && req.Method != sip.INVITE
	switch {
	case unknown != "":
		return 420, "Bad Extension", []sip.Header{sip.NewHeader("Unsupported", unknown)}
	case o.rel100 == config.Rel100Required && req.Method == sip.INVITE && !within && !hasOption(req, "Supported", "100rel") && !hasOption(req, "Require", "100rel"):
		return 421, statusText(421), []sip.Header{sip.NewHeader("Require", "100rel")}
	case (req.Method == sip.INVITE || req.Method == sip.UPDATE) && tooShort(req, o):
		return 422, statusText(422), []sip.Header{sip.NewHeader("Min-SE", minSE(o.leastSE()))}
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

// acceptsSDP says whether the answer to an INVITE may have SDP, as it may where
// there is no Accept (RFC 3261 section 20.1).
func acceptsSDP(accept []sip.Header) bool {
	for _, h := range accept {
		for kind := range strings.SplitSeq(h.Value(), ",") {
			kind, _, _ = strings.Cut(kind, ";")
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case sdpType, "application/*", "*/*":
				return true
			}
		}
	}
	return len(accept) == 0
}
