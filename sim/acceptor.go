package sim

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// acceptor accepts the connections of callers, over TCP or TLS, for sipgo. It keeps the bytes of each INVITE, because
// a parser does not keep them.
type acceptor struct {
	net.Listener
	invites
	ready chan struct{} // closed at the first Accept
	once  sync.Once
}

// listenEndpoint returns an endpoint that accepts connections.
func listenEndpoint(ctx context.Context, o AgentOptions) (*endpoint, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cmp.Or(o.Listen, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	e := &endpoint{user: "agent", network: o.Network, lost: make(chan error, 1)}
	if at, ok := l.Addr().(*net.TCPAddr); ok {
		e.local = unmapped(at.AddrPort())
	}
	if o.Network == networkTLS {
		l = tls.NewListener(l, o.TLS)
	}
	e.accept = &acceptor{Listener: l, ready: make(chan struct{})}
	if err := e.open(ctx, o.Name, o.Log, ""); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return e, nil
}

// Accept returns the next connection.
func (a *acceptor) Accept() (net.Conn, error) {
	a.once.Do(func() { close(a.ready) })
	conn, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &accepted{Conn: conn, of: a}, nil
}

// accepted is a connection from a caller.
type accepted struct {
	net.Conn
	of     *acceptor
	unread []byte // the part of an incomplete message; owned by the goroutine that reads
}

// Read reads, and records each INVITE.
func (c *accepted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if len(c.unread) <= maxUnread {
		c.unread = wholeMessages(append(c.unread, b[:n]...), c.of.note)
	}
	return n, err
}

// wholeMessages calls f for each complete message of a stream (RFC 3261 section 18.3), and returns the rest.
func wholeMessages(stream []byte, f func(message []byte)) []byte {
	for {
		stream = bytes.TrimLeft(stream, "\r\n")
		head, _, whole := bytes.Cut(stream, []byte("\r\n\r\n"))
		size := len(head) + 4 + bodyLength(string(head))
		if !whole || len(stream) < size {
			return stream
		}
		f(stream[:size])
		stream = stream[size:]
	}
}
