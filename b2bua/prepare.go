package b2bua

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

// prepare gets an attempt's requirements before its INVITE: the platform's id, the
// address of its SIP host, and the connection to it.
func prepare(ctx context.Context, number int, t *peers.Target, vars config.Vars, stack *transport.Stack) Ready {
	out := Ready{Attempt: number, Requested: outbound.Request(ctx, t, vars)}
	if out.Cause != cause.None || t.Dial.Registered {
		return out
	}
	hop := out.URI
	if proxy := t.Dial.Proxy; proxy != "" { // RFC 3261 section 8.1.2
		hop, out.Route = message.ParseURI("sip:"+proxy), []string{"<sip:" + proxy + ";lr>"}
	}
	addr, err := stack.Resolve(ctx, hop.Host)
	if err != nil {
		out.Cause, out.Err = cause.DNSFailed, err
		return out
	}
	port := message.DefaultPort(t.Dial.Transport)
	if hop.Port > 0 && hop.Port <= 65535 {
		port = uint16(hop.Port)
	}
	out.Dest = netip.AddrPortFrom(addr, port)
	if message.IsStream(t.Dial.Transport) {
		if out.Flow, err = stack.Connect(ctx, t.Dial.TLS, t.Dial.Transport, hop, out.Dest); err != nil {
			out.Cause, out.Err = transport.CauseOf(err), err
		}
	}
	return out
}

var errNotRegistered = errors.New("nothing is registered for the trunk")

// atContact leads an attempt at a trunk that registers here to the best of its Contacts that can be reached.
func (s *Server) atContact(ctx context.Context, t *peers.Target, out Ready) Ready {
	if !t.Dial.Registered || out.Cause != cause.None {
		return out
	}
	user, holder := out.URI.User, "trunk "+t.Dial.Name
	out.Cause, out.Err = cause.TargetUnreachable, errNotRegistered
	for _, b := range s.registrar.Of(holder, time.Now()) {
		flow, dest, err := s.stack.WayBack(ctx, b.Transport, b.Received, b.Path, t.Dial.TLS)
		if err != nil {
			out.Err = err
			s.registrar.Drop(holder, b)
			continue
		}
		out.URI, out.Flow, out.Dest, out.Route = message.ParseURI(b.Contact), flow, dest, b.Path
		if user != "" {
			out.URI.User = user
		}
		out.Cause, out.Err = cause.None, nil
		return out
	}
	return out
}
