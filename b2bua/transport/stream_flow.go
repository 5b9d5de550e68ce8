package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// Gone returns a channel that is closed when the connection ends. For a nil Stream it returns nil.
func (c *Stream) Gone() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.closed
}

// Ping sends the double CRLF that keeps a NAT binding open (RFC 5626 section 3.5.1). It does not wait. If the peer is
// gone, the bytes stay unacknowledged, and the kernel closes the connection.
func (c *Stream) Ping() {
	c.hub.group.Go(func() { _ = c.write([]byte("\r\n\r\n")) })
}

// ID returns a number that distinguishes this connection from all others, including a later connection with the same
// address. An upgrade does not change it. The ID of a nil Stream is 0.
func (c *Stream) ID() uint64 {
	if c == nil {
		return 0
	}
	return c.id
}

// ErrFlowGone means that a connection has ended that only the peer can open again, because it may be behind a NAT.
var ErrFlowGone = errors.New("the connection that it has registered by is gone")

// Registered describes where a registration came from.
type Registered struct {
	Transport string
	From      netip.AddrPort
	Flow      uint64   // ID of the connection; 0 over UDP
	Path      []string // addresses of the proxies between us and the peer (RFC 3327), the nearest first
}

// WayBack returns how to reach a registered peer: by the connection that the REGISTER came over (RFC 5626 section 5.3),
// or over UDP by its source address. If that connection has ended, we may connect to the first proxy of the path, which
// has sent the REGISTER (RFC 3327 section 5.2), but only at the same address, because the registering peer writes the
// path. If there is no such proxy, the error is ErrFlowGone.
func (s *Stack) WayBack(ctx context.Context, by *Registered, tls config.TargetTLS) (*Stream, netip.AddrPort, error) {
	if !message.IsStream(by.Transport) {
		return nil, by.From, nil
	}
	if c := s.streams.findAny(by.Transport, by.From); c != nil && c.id == by.Flow {
		return c, by.From, nil
	}
	gone := fmt.Errorf("%s://%v: %w", by.Transport, by.From, ErrFlowGone)
	if len(by.Path) == 0 {
		return nil, by.From, gone
	}
	proxy := message.ParseURI(message.AddrSpec(by.Path[0]))
	addr, err := s.Resolve(ctx, proxy.Host)
	switch {
	case err != nil:
		return nil, by.From, err
	case addr != by.From.Addr():
		return nil, by.From, gone
	}
	port := message.DefaultPort(by.Transport)
	if proxy.Port > 0 && proxy.Port <= 65535 {
		port = uint16(proxy.Port)
	}
	to := netip.AddrPortFrom(addr, port)
	c, err := s.Connect(ctx, tls, by.Transport, proxy, to)
	return c, to, err
}
