package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// Gone is closed when the connection is; nil: there is no connection, and it never is.
func (c *Stream) Gone() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.closed
}

// Ping sends the double CRLF that keeps the way to a peer open (RFC 5626 section 3.5.1), without waiting for the peer to read. The
// kernel ends a connection whose peer is gone: its bytes stay unacknowledged.
func (c *Stream) Ping() {
	c.hub.group.Go(func() { _ = c.write([]byte("\r\n\r\n")) })
}

// errFlowGone means that nobody else can open a connection again: its peer did, from behind a NAT perhaps.
var errFlowGone = errors.New("the connection that it has registered by is gone")

// WayBack gives the way to what has registered from an address by a transport, or to the first of the proxies that it names as its
// path (RFC 3327 section 5.1): the connection it came by (RFC 5626 section 5.3), or an address; over UDP there is no connection.
func (s *Stack) WayBack(ctx context.Context, transport string, from netip.AddrPort, path []string, tls config.TargetTLS) (*Stream, netip.AddrPort, error) {
	if message.IsStream(transport) {
		if c := s.streams.findAny(transport, from); c != nil {
			return c, from, nil
		}
	}
	if len(path) == 0 && message.IsStream(transport) {
		return nil, from, fmt.Errorf("%s://%v: %w", transport, from, errFlowGone)
	}
	if len(path) == 0 {
		return nil, from, nil
	}
	proxy := message.ParseURI(message.AddrSpec(path[0]))
	addr, err := s.Resolve(ctx, proxy.Host)
	if err != nil {
		return nil, from, err
	}
	port := message.DefaultPort(transport)
	if proxy.Port > 0 && proxy.Port <= 65535 {
		port = uint16(proxy.Port)
	}
	to := netip.AddrPortFrom(addr, port)
	if !message.IsStream(transport) {
		return nil, to, nil
	}
	c, err := s.Connect(ctx, tls, transport, proxy, to)
	return c, to, err
}
