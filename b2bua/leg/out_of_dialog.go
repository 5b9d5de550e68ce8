package leg

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// OutOfDialog is a request that belongs to no dialog, such as REGISTER or OPTIONS (RFC 3261 section
// 8.1.1).
type OutOfDialog struct {
	Method         sip.RequestMethod
	URI            sip.Uri // Request-URI
	From, To       string  // header values without tags
	Tag            string  // tag of the From header
	Branch, CallID string
	Seq            uint32
	Route          string // value of the Route header; empty means none
}

// Request returns the request with these additional headers. local is the address that the request is
// sent from.
func (o OutOfDialog) Request(local Local, headers ...sip.Header) *sip.Request {
	out := outgoing(o.Method, o.Seq, o.CallID)
	out.Recipient = o.URI
	all := []sip.Header{
		local.Via(o.Branch), &out.Hops, sip.NewHeader("From", message.WithTag(o.From, o.Tag)), sip.NewHeader("To", o.To),
		&out.ID, &out.Seq,
	}
	if o.Route != "" {
		all = append(all, sip.NewHeader("Route", o.Route))
	}
	all = append(all, headers...)
	message.SetHeaders(&out.Request, append(all, UserAgent, &out.Length)...)
	return &out.Request
}
