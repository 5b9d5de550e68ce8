package message

import (
	"net"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Reply makes a response to a request whose To has a tag (RFC 3261 section 8.2.6), with these additional headers. It
// shares the request's headers, which must not change any more. Only the topmost Via is copied if it gets the request's
// source (RFC 3581 section 4). Record-Route is only for answers that make a dialog (RFC 3261 section 20, table 3).
func Reply(req *sip.Request, code int, reason string, body []byte, headers ...sip.Header) *sip.Response {
	var room [maxUsual]sip.Header
	all := room[:0]
	recorded := (code >= 180 && code < 190 || code >= 200 && code < 300) && req.Method != sip.REGISTER
	for _, h := range req.Headers() {
		if recorded && strings.EqualFold(h.Name(), "record-route") {
			all = append(all, h)
		}
	}
	first := true
	for _, h := range req.Headers() {
		switch via, ok := h.(*sip.ViaHeader); {
		case ok:
			all = append(all, viaBack(via, first, req.Source()))
			first = false
		case h.Name() == "Via": // a Via of another proxy stays as it came
			all = append(all, h)
		}
	}
	if h := req.From(); h != nil {
		all = append(all, h)
	}
	if h := req.To(); h != nil {
		all = append(all, h)
	}
	if h := req.CallID(); h != nil {
		all = append(all, h)
	}
	if h := req.CSeq(); h != nil {
		all = append(all, h)
	}
	whole := &struct { // in one allocation
		sip.Response
		length sip.ContentLengthHeader
	}{length: sip.ContentLengthHeader(len(body))}
	all = append(append(all, &whole.length), headers...)
	res := &whole.Response
	res.StatusCode, res.Reason, res.SipVersion = code, reason, req.SipVersion
	setHeaders(&res.MessageData, all)
	if body != nil {
		res.SetBody(body)
	}
	res.SetTransport(req.Transport())
	res.SetDestination(req.Source())
	return res
}

// viaBack returns the Via of a response, made from a Via of its request.
func viaBack(via *sip.ViaHeader, first bool, source string) *sip.ViaHeader {
	if rport, asked := via.Params.Get("rport"); !first || !asked || rport != "" {
		return via
	}
	host, port, _ := net.SplitHostPort(source)
	filled := *via
	filled.Params = append(make(sip.HeaderParams, 0, len(via.Params)+1), via.Params...)
	filled.Params.Add("rport", port)
	filled.Params.Add("received", host)
	return &filled
}
