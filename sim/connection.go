package sim

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Peer is the only peer that a carrier calls. If there is evidence that the peer can't be reached, an ICMP error or
// the end of the connection, a call without an answer ends.
type Peer struct {
	Network string // UDP, TCP or TLS
	Addr    netip.AddrPort
	TLS     *tls.Config // for TLS
}

// ErrUnreachable means that the peer can't be reached: an ICMP error says so, or it refuses connections.
var ErrUnreachable = errors.New("unreachable")

// connectTimeout is the time limit for a connection and its TLS handshake.
const connectTimeout = 10 * time.Second

// connectEndpoint returns an endpoint with a connection to one peer instead of a socket.
func connectEndpoint(ctx context.Context, o CarrierOptions) (*endpoint, error) {
	conn, err := connect(ctx, o.Listen, *o.To)
	if err != nil {
		return nil, err
	}
	e := &endpoint{user: "carrier", network: o.To.Network, lost: make(chan error, 1)}
	e.conn = &connection{
		Conn: conn, remote: o.To.Addr, tap: o.Tap, ready: make(chan struct{}),
		closed: make(chan struct{}), lost: e.unreachable,
	}
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		e.local = unmapped(local.AddrPort())
	}
	if err := e.open(ctx, "carrier-sim", o.Log, conn.LocalAddr().String()); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return e, nil
}

func connect(ctx context.Context, listen string, to Peer) (net.Conn, error) {
	from, err := netip.ParseAddrPort(cmp.Or(listen, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", listen, err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from)}
	conn, err := d.DialContext(ctx, "tcp", to.Addr.String())
	var slow net.Error
	switch {
	case errors.As(err, &slow) && slow.Timeout():
		return nil, fmt.Errorf("%w: it takes no connection", ErrUnreachable)
	case err != nil:
		return nil, inWords(err)
	case to.Network != "TLS":
		return conn, nil
	}
	secured := tls.Client(conn, to.TLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS with %v: %w", to.Addr, err)
	}
	return secured, nil
}

// connection is a connection to a peer, and also the listener that gives the connection to sipgo, because requests
// use it in both directions.
type connection struct {
	net.Conn

	remote netip.AddrPort
	tap    tap
	lost   func(error) // receives the reason why the connection ended

	given  bool // owned by the goroutine of Accept
	ready  chan struct{}
	closed chan struct{}
	once   sync.Once

	unread []byte // the part of an incomplete message; owned by the goroutine that reads
}

// isReady returns a channel that is closed when sipgo has the connection. It returns nil if c is nil.
func (c *connection) isReady() chan struct{} {
	if c == nil {
		return nil
	}
	return c.ready
}

// Accept returns the connection at its first call.
func (c *connection) Accept() (net.Conn, error) {
	if !c.given {
		c.given = true
		return c, nil
	}
	close(c.ready)
	<-c.closed
	return nil, net.ErrClosed
}

// Addr returns the local address.
func (c *connection) Addr() net.Addr { return c.LocalAddr() }

// Close closes the connection and the listener.
func (c *connection) Close() error {
	c.once.Do(func() { close(c.closed) })
	if err := c.Conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Read reads, and shows each whole message to the tap.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.show(b[:n])
	switch {
	case errors.Is(err, net.ErrClosed):
	case errors.Is(err, io.EOF):
		c.lost(fmt.Errorf("%v closed the connection", c.remote))
	case err != nil:
		c.lost(fmt.Errorf("%v: %w", c.remote, err))
	}
	return n, err
}

// Write sends a message.
func (c *connection) Write(b []byte) (int, error) {
	c.tap.show(false, b)
	return c.Conn.Write(b)
}

// maxUnread bounds a message for the tap, in bytes.
const maxUnread = 64 << 10

// show splits the stream into messages (RFC 3261 section 18.3).
func (c *connection) show(b []byte) {
	if c.tap == nil || len(c.unread) > maxUnread {
		return
	}
	c.unread = wholeMessages(append(c.unread, b...), func(message []byte) { c.tap.show(true, message) })
}

// bodyLength returns the Content-Length in a message's head, at most the limit for messages. It returns 0 if there
// is none.
func bodyLength(head string) int {
	n, _ := strconv.Atoi(headerOf(head, "content-length", "l"))
	return min(max(n, 0), math.MaxInt32)
}

// watch makes the kernel report ICMP errors about packets that the socket sent, and passes them to lost (ip(7),
// IP_RECVERR).
func (s *socket) watch(lost func(error)) {
	s.lost = lost
	conn, ok := s.PacketConn.(*net.UDPConn)
	if !ok {
		return
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // if this fails, the call waits for its timeout
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_RECVERR, 1)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, 1)
	})
}

// icmpErrors describes the kernel's errors for ICMP errors and for a refused connection.
var icmpErrors = map[syscall.Errno]string{ //nolint:gochecknoglobals // a table
	syscall.ECONNREFUSED: "nothing listens there",
	syscall.EHOSTUNREACH: "the host can't be reached",
	syscall.ENETUNREACH:  "the network can't be reached",
	syscall.EACCES:       "a firewall forbids it",
	syscall.EPERM:        "a firewall of this machine forbids it",
}

// inWords returns ErrUnreachable with a description of an error from the kernel. It returns other errors unchanged.
func inWords(err error) error {
	var number syscall.Errno
	var call *os.SyscallError
	isOwn := errors.As(err, &call) && call.Syscall == "bind" // the local address is the problem
	if !isOwn && errors.As(err, &number) {
		if words, known := icmpErrors[number]; known {
			return fmt.Errorf("%w: %s", ErrUnreachable, words)
		}
	}
	return err
}

// failed passes on an ICMP error, and reports whether err was one.
func (s *socket) failed(err error) bool {
	if s.lost == nil {
		return false
	}
	err = inWords(err)
	known := errors.Is(err, ErrUnreachable)
	if known {
		s.lost(err)
	}
	return known
}
