package message

import (
	"net"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// ResponseTo makes the answer to a request whose To has a tag (RFC 3261 section 8.2.6.2).
// The topmost Via gets the request's source if it asks for that (RFC 3581 section 4). The
// other headers are the request's own: nobody may change them from then on.
func ResponseTo(req *sip.Request, code int, reason string, body []byte) *sip.Response {
	res := sip.NewResponse(code, reason)
	res.SipVersion = req.SipVersion
	for _, h := range req.Headers() {
		if strings.EqualFold(h.Name(), "Record-Route") {
			res.AppendHeader(h)
		}
	}
	topmost := true
	for _, h := range req.Headers() {
		if via, ok := h.(*sip.ViaHeader); ok {
			res.AppendHeader(sourced(via, topmost, req))
			topmost = false
		}
	}
	res.AppendHeader(req.From())
	res.AppendHeader(req.To())
	res.AppendHeader(req.CallID())
	res.AppendHeader(req.CSeq())
	length := sip.ContentLengthHeader(len(body))
	res.AppendHeader(&length) // SetBody would search for one
	if body != nil {
		res.SetBody(body)
	}
	res.SetTransport(req.Transport())
	res.SetDestination(req.Source())
	return res
}

// sourced returns a Via as it goes back: a topmost one that asks for it gets the source of
// its request.
func sourced(via *sip.ViaHeader, topmost bool, req *sip.Request) *sip.ViaHeader {
	if port, asks := via.Params.Get("rport"); !topmost || !asks || port != "" {
		return via
	}
	host, port, _ := net.SplitHostPort(req.Source())
	via = via.Clone()
	via.Params.Add("rport", port)
	via.Params.Add("received", host)
	return via
}
