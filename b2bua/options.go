package b2bua

import "github.com/emiago/sipgo/sip"

// onOptions answers a question for what we can do as an INVITE would be
// answered now (RFC 3261 section 11.2): not while draining, and not where an
// extension is required that we don't have.
func (s *Server) onOptions(req *sip.Request, tx *sip.ServerTx) {
	if s.Draining() {
		s.reply(req, tx, 503, statusText(503), retryAfter())
		return
	}
	if headers := unsupported(req); headers != nil {
		s.reply(req, tx, 420, "Bad Extension", headers...)
		return
	}
	s.reply(req, tx, 200, statusText(200), capabilities()...)
}

// capabilities are what the answer to an OPTIONS says of us (RFC 3261 section
// 11.2). Supported is left out for as long as there is no extension to name:
// an empty one is allowed (section 20.37), but not every parser knows that.
func capabilities() []sip.Header {
	return append(allowHeaders(),
		sip.NewHeader("Accept", "application/sdp"),
		sip.NewHeader("Accept-Encoding", "identity"),
		sip.NewHeader("Accept-Language", "en"),
	)
}

// unsupported names the extensions that a request requires and that we don't
// have (RFC 3261 section 8.2.2.3); nil where it requires none.
func unsupported(req *sip.Request) (headers []sip.Header) {
	for _, h := range req.GetHeaders("require") {
		headers = append(headers, sip.NewHeader("Unsupported", h.Value()))
	}
	return headers
}
