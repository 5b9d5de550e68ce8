package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// Gone returns a channel that is closed with the connection. Without a connection it is nil, and so never closed.
func (c *Stream) Gone() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.closed
}

// Ping sends the double CRLF that keeps the way to a peer open (RFC 5626 section 3.5.1), without waiting for the peer
// to read. If the peer is gone, the bytes stay unacknowledged, and the kernel ends the connection.
func (c *Stream) Ping() {
	c.hub.group.Go(func() { _ = c.write([]byte("\r\n\r\n")) })
}

// ID returns a number that distinguishes a connection from all others, including a later one with the same address. It
// stays the same in an upgrade. It is 0 for a nil Stream.
func (c *Stream) ID() uint64 {
	if c == nil {
		return 0
	}
	return c.id
}

// ErrFlowGone means that only the peer can open the connection again, because it may be behind a NAT.
var ErrFlowGone = errors.New("the connection that it has registered by is gone")

// Registered describes how a registration came.
type Registered struct {
	Transport string
	From      netip.AddrPort
	Flow      uint64   // the ID of the connection; 0 means UDP
	Path      []string // addresses of the proxies on the way (RFC 3327), the nearest first
}

// WayBack returns the way to a registered peer: the address that it came from, or the connection (RFC 5626 section
// 5.3). The first proxy of its path has sent the REGISTER (RFC 3327 section 5.2), so we may connect to the proxy again,
// but only at that address, because the registering peer writes the path. The error is ErrFlowGone if the connection is
// gone and can't be opened again.
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
