package transport

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
)

// AckRefusal sends the ACK for a repeated refusal of our INVITE. uri is the INVITE's Request-URI.
func (s *Stack) AckRefusal(res *sip.Response, uri sip.Uri) {
	source := message.ParseSource(res.Source())
	local, err := s.LocalFor(message.TransportOf(res), source.Addr())
	if err != nil {
		return
	}
	s.Send(local, s.StreamOf(res), []leg.Effect{
		leg.SendACK{Req: leg.AckOfRefusal(res, uri), To: leg.Hop{Transport: local.Transport, Addr: source}},
	})
}

// HangupLost answers a 2xx whose leg no longer exists with ACK and BYE. o are the options of the leg; HangupLost
// sets their address.
func (s *Stack) HangupLost(in leg.ResponseIn, o leg.Options) {
	local, err := s.LocalFor(message.TransportOf(in.Res), in.Source.Addr())
	if err != nil {
		return
	}
	o.Local = local
	s.Send(local, s.StreamOf(in.Res), leg.HangupLost(time.Now(), o, in))
}
