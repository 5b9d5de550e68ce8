package b2bua

import (
	"context"
	"net/netip"

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
	if out.Cause != cause.None {
		return out
	}
	addr, err := stack.Resolve(ctx, out.URI.Host)
	if err != nil {
		out.Cause, out.Err = cause.DNSFailed, err
		return out
	}
	port := message.DefaultPort(t.Dial.Transport)
	if out.URI.Port > 0 && out.URI.Port <= 65535 {
		port = uint16(out.URI.Port)
	}
	out.Dest = netip.AddrPortFrom(addr, port)
	if message.IsStream(t.Dial.Transport) {
		if out.Flow, err = stack.Connect(ctx, t.Dial.TLS, t.Dial.Transport, out.URI, out.Dest); err != nil {
			out.Cause, out.Err = transport.CauseOf(err), err
		}
	}
	return out
}
