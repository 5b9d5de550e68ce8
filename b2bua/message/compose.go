package message

import "github.com/emiago/sipgo/sip"

// maxUsual is the most headers that a message usually has. Lists up to this length are
// made on the stack.
const maxUsual = 32

// NewRequest returns a request without headers and body.
func NewRequest(method sip.RequestMethod) *sip.Request {
	req := &sip.Request{Method: method}
	req.SipVersion = version
	return req
}

// SetHeaders sets the headers of a request that has none. It allocates a list of the
// right size, while the library's AppendHeader would reallocate the list again and again.
func SetHeaders(req *sip.Request, headers ...sip.Header) { setHeaders(&req.MessageData, headers) }

const version = "SIP/2.0"

// setHeaders sets the headers of a message that has none. The library treats the last Via and
// Record-Route as the topmost, so setHeaders swaps them with the first ones until all headers are
// set.
func setHeaders(msg *sip.MessageData, all []sip.Header) {
	var via, route span
	for i, h := range all {
		switch h.(type) {
		case *sip.ViaHeader:
			via.note(i)
		case *sip.RecordRouteHeader:
			route.note(i)
		}
	}
	via.swap(all)
	route.swap(all)
	msg.PrependHeader(all...)
	via.swap(all)
	route.swap(all)
	copy(msg.Headers(), all)
}

// span holds the positions of the first and the last of several headers.
type span struct {
	first, last int
	found       bool
}

func (s *span) note(at int) {
	if s.last = at; !s.found {
		s.first, s.found = at, true
	}
}

func (s *span) swap(all []sip.Header) {
	if s.found {
		all[s.first], all[s.last] = all[s.last], all[s.first]
	}
}
