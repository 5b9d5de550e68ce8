// Package memnet is a UDP and TCP network in memory: a Switch connects sockets in place of the kernel. All blocking is
// on channels, so a whole SIP stack can run on it inside a testing/synctest bubble with a fake clock.
package memnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/pion/transport/v5/deadline"
)

// queue is how many datagrams a socket holds. Further ones are dropped, as if the receive buffer were full.
const queue = 1024

// Verdict is a Filter's decision about one datagram.
type Verdict int

const (
	// Deliver delivers the datagram.
	Deliver Verdict = iota
	// Drop drops the datagram.
	Drop
)

// Filter sees every datagram before it is delivered. The sender calls it, so it must not block.
type Filter func(from, to netip.AddrPort, datagram []byte) Verdict

// Switch connects the sockets that were opened on it.
type Switch struct {
	mu        sync.Mutex
	conns     map[netip.AddrPort]*Conn
	listeners map[netip.AddrPort]*Listener
	filter    Filter
	nextPort  uint16 // next port for connections, above firstEphemeral
}

// New returns a network without sockets.
func New() *Switch {
	return &Switch{conns: map[netip.AddrPort]*Conn{}, listeners: map[netip.AddrPort]*Listener{}}
}

// SetFilter sets the filter. With nil, every datagram is delivered.
func (s *Switch) SetFilter(f Filter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter = f
}

// Listen opens a socket on addr. It is an error if the address is in use, as with the kernel.
func (s *Switch) Listen(addr netip.AddrPort) (*Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.conns[addr]; taken {
		return nil, fmt.Errorf("listen udp %v: address already in use", addr)
	}
	c := &Conn{sw: s, addr: addr, in: make(chan packet, queue), closed: make(chan struct{}), readBy: deadline.New()}
	s.conns[addr] = c
	return c, nil
}

type packet struct {
	data []byte
	from netip.AddrPort
}

// Conn is one socket. It has the methods of a *net.UDPConn that a SIP stack uses. Only deadlines for reading have an
// effect.
type Conn struct {
	sw     *Switch
	addr   netip.AddrPort
	in     chan packet
	closed chan struct{}
	once   sync.Once
	readBy *deadline.Deadline
}

// ReadFromUDPAddrPort blocks until a datagram arrives, the socket is closed (net.ErrClosed), or the deadline has passed
// (os.ErrDeadlineExceeded).
func (c *Conn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if c.readBy.Err() != nil { // checked first, even if a datagram waits
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	}
	select {
	case p := <-c.in:
		return copy(b, p.data), p.from, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	case <-c.readBy.Done():
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	}
}

// ReadFrom is ReadFromUDPAddrPort in the form of net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToUDPAddrPort delivers a copy of b. If the filter drops it, if no socket has the address, or if the receiver's
// queue is full, the sender does not learn about it, as with UDP.
func (c *Conn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	c.sw.mu.Lock()
	dst, filter := c.sw.conns[to], c.sw.filter
	c.sw.mu.Unlock()
	if filter != nil && filter(c.addr, to, b) == Drop {
		return len(b), nil
	}
	if dst != nil {
		select {
		case dst.in <- packet{append([]byte(nil), b...), c.addr}:
		default:
		}
	}
	return len(b), nil
}

// WriteTo is WriteToUDPAddrPort in the form of net.PacketConn.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	ua, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("write to %T: not a UDP address", to)
	}
	return c.WriteToUDPAddrPort(b, ua.AddrPort())
}

// Close unblocks readers and frees the address.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.sw.mu.Lock()
		delete(c.sw.conns, c.addr)
		c.sw.mu.Unlock()
	})
	return nil
}

// LocalAddr returns the socket's address.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.addr) }

// SetDeadline does nothing.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline sets the deadline of reads, including waiting ones; zero means none.
func (c *Conn) SetReadDeadline(at time.Time) error {
	c.readBy.Set(at)
	return nil
}

// SetWriteDeadline does nothing.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
