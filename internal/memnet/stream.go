package memnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/pion/transport/v5/deadline"
)

// firstEphemeral is the local port of the first dialled connection.
const firstEphemeral = 40000

// Listener accepts connections on one address of a Switch.
type Listener struct {
	sw      *Switch
	addr    netip.AddrPort
	pending chan *Stream
	closed  chan struct{}
	once    sync.Once
	until   *deadline.Deadline
}

// ListenStream opens a listener for connections. A socket may have the same address.
func (s *Switch) ListenStream(addr netip.AddrPort) (*Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.listeners[addr]; taken {
		return nil, fmt.Errorf("listen tcp %v: address already in use", addr)
	}
	l := &Listener{
		sw: s, addr: addr, pending: make(chan *Stream, queue), closed: make(chan struct{}),
		until: deadline.New(),
	}
	s.listeners[addr] = l
	return l, nil
}

// DialStream opens a connection from an address, with a new port, to a listener. If there is no listener, the
// connection is refused.
func (s *Switch) DialStream(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	s.mu.Lock()
	l := s.listeners[to]
	s.nextPort++
	local := netip.AddrPortFrom(from, firstEphemeral+s.nextPort)
	s.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: syscall.ECONNREFUSED}
	}
	ours, theirs := streamPair(local, to)
	select {
	case l.pending <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the next connection, net.ErrClosed, or os.ErrDeadlineExceeded.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.pending:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-l.until.Done():
		return nil, os.ErrDeadlineExceeded
	}
}

// SetDeadline bounds how long Accept waits, including an Accept in progress. Zero means forever.
func (l *Listener) SetDeadline(at time.Time) error {
	l.until.Set(at)
	return nil
}

// Close frees the address and resets connections that were not accepted. Accepted connections stay open.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.sw.mu.Lock()
		close(l.closed)
		delete(l.sw.listeners, l.addr)
		l.sw.mu.Unlock()
		for {
			select {
			case c := <-l.pending:
				c.Reset()
			default:
				return
			}
		}
	})
	return nil
}

// Addr returns the listener's address.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// window bounds the unread bytes of a connection.
const window = 64 << 10

// half is one direction of a connection.
type half struct {
	mu     sync.Mutex
	data   []byte
	broken error         // the error that the reader gets after the data
	moved  chan struct{} // closed and replaced at each change
}

func newHalf() *half { return &half{moved: make(chan struct{})} }

func (h *half) changed() {
	close(h.moved)
	h.moved = make(chan struct{})
}

// Stream is one end of a connection in memory.
type Stream struct {
	local, remote   netip.AddrPort
	in, out         *half
	readBy, writeBy *deadline.Deadline
}

func streamPair(a, b netip.AddrPort) (*Stream, *Stream) {
	ab, ba := newHalf(), newHalf()
	return &Stream{local: a, remote: b, in: ba, out: ab, readBy: deadline.New(), writeBy: deadline.New()},
		&Stream{local: b, remote: a, in: ab, out: ba, readBy: deadline.New(), writeBy: deadline.New()}
}

// await waits until a half moves or the deadline passes.
func await(moved <-chan struct{}, by *deadline.Deadline) error {
	select {
	case <-moved:
		return nil
	case <-by.Done():
		return os.ErrDeadlineExceeded
	}
}

// Read returns received bytes.
func (c *Stream) Read(b []byte) (int, error) {
	for {
		c.in.mu.Lock()
		n := copy(b, c.in.data)
		c.in.data = c.in.data[n:]
		err, moved := c.in.broken, c.in.moved
		if n > 0 {
			c.in.changed()
		}
		c.in.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case err != nil:
			return 0, err
		}
		if err := await(moved, c.readBy); err != nil {
			return 0, err
		}
	}
}

// Write sends bytes, and waits while the window is full.
func (c *Stream) Write(b []byte) (int, error) {
	sent := 0
	for {
		c.out.mu.Lock()
		if c.out.broken != nil {
			c.out.mu.Unlock()
			return sent, syscall.EPIPE
		}
		n := min(len(b)-sent, window-len(c.out.data))
		c.out.data = append(c.out.data, b[sent:sent+n]...)
		sent += n
		moved := c.out.moved
		if n > 0 {
			c.out.changed()
			moved = c.out.moved
		}
		c.out.mu.Unlock()
		if sent == len(b) {
			return sent, nil
		}
		if err := await(moved, c.writeBy); err != nil {
			return sent, err
		}
	}
}

// CloseRead makes each write of the peer fail from now on. This side can still send.
func (c *Stream) CloseRead() error {
	c.in.end(net.ErrClosed)
	return nil
}

// Close ends both directions. The peer can read what was already sent.
func (c *Stream) Close() error {
	c.in.end(net.ErrClosed)
	c.out.end(io.EOF)
	return nil
}

// Reset ends both directions at once, like a host that has crashed and restarted.
func (c *Stream) Reset() {
	c.in.end(syscall.ECONNRESET)
	c.out.end(syscall.ECONNRESET)
}

func (h *half) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken == nil {
		h.broken = err
		if !errors.Is(err, io.EOF) {
			h.data = nil
		}
		h.changed()
	}
}

// LocalAddr returns this end's address.
func (c *Stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr returns the peer's address.
func (c *Stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline sets both deadlines.
func (c *Stream) SetDeadline(at time.Time) error {
	c.readBy.Set(at)
	c.writeBy.Set(at)
	return nil
}

// SetReadDeadline sets the deadline of reads, including waiting ones.
func (c *Stream) SetReadDeadline(at time.Time) error {
	c.readBy.Set(at)
	return nil
}

// SetWriteDeadline sets the deadline of writes.
func (c *Stream) SetWriteDeadline(at time.Time) error {
	c.writeBy.Set(at)
	return nil
}
