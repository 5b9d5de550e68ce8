package message

import (
	"net"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Reply makes a response without body to a request whose To has a tag (RFC 3261 section
// 8.2.6). It has the request's own headers, which nobody changes any more, except for the
// topmost Via where that gets the request's source (RFC 3581 section 4).
func Reply(req *sip.Request, code int, reason string) *sip.Response {
	res := sip.NewResponse(code, reason)
	res.SipVersion = req.SipVersion
	all := req.Headers()
	for _, h := range all {
		if strings.EqualFold(h.Name(), "record-route") {
			res.AppendHeader(h)
		}
	}
	first := true
	for _, h := range all {
		if via, ok := h.(*sip.ViaHeader); ok {
			res.AppendHeader(viaBack(via, first, req.Source()))
			first = false
		}
	}
	if h := req.From(); h != nil {
		res.AppendHeader(h)
	}
	if h := req.To(); h != nil {
		res.AppendHeader(h)
	}
	if h := req.CallID(); h != nil {
		res.AppendHeader(h)
	}
	if h := req.CSeq(); h != nil {
		res.AppendHeader(h)
	}
	none := sip.ContentLengthHeader(0)
	res.AppendHeader(&none)
	res.SetTransport(req.Transport())
	res.SetDestination(req.Source())
	return res
}

// viaBack is a request's Via in its response.
func viaBack(via *sip.ViaHeader, first bool, source string) *sip.ViaHeader {
	if rport, asked := via.Params.Get("rport"); !first || !asked || rport != "" {
		return via
	}
	host, port, _ := net.SplitHostPort(source)
	via = via.Clone()
	via.Params.Add("rport", port)
	via.Params.Add("received", host)
	return via
}
