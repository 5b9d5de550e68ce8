package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/b2bua/message"
)

// Stream is one TCP or TLS connection as the SIP stack sees it. Its Read gives
// whole messages that screen admitted, one at a time; its Write finds another
// way for a message where the connection is gone.
type Stream struct {
	net.Conn
	hub       *streams
	transport string // config.TransportTCP or TransportTLS
	local     netip.AddrPort
	remote    netip.AddrPort
	peer      *streamPeer // whom we called; nil: the peer called us
	names     []string    // of the peer's verified certificate
	stranger  bool        // it came from an address that no trunk has

	closed    chan struct{}
	closeOnce sync.Once
	sentBy    atomic.Pointer[sentBy] // of the peer's last request
	users     atomic.Int32           // legs that count on the connection

	// owned by the reader
	framing message.Framer
	firstBy time.Time // when a stranger has to have said something
	rest    []byte    // of a message that was larger than the reader's buffer
	out     []byte    // the refusal being written

	writing chan struct{} // held by who writes: one message at a time, each with its deadline
}

// The times that a connection gets.
const (
	// streamFirst is for the handshake, and how long a message may take from
	// its first byte to its last, or a stranger for its first.
	streamFirst = 10 * time.Second
	// streamIdle ends a connection that carries nothing and that no leg uses.
	streamIdle = 30 * time.Minute
	// streamIdleOurs does the same to one that we opened.
	streamIdleOurs = 2 * time.Minute
	// streamWrite is how long a peer may not take what is sent to it.
	streamWrite = 5 * time.Second
	// streamLinger is how long a connection that can't be read any further
	// stays open for answers.
	streamLinger = 500 * time.Millisecond
)

// Read gives the next message that may be parsed. It ends with an error when
// the connection does, or when there is no telling where a message begins.
func (c *Stream) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		runtime.Gosched() // see guard.ReadFrom
		message, err := c.nextAdmitted()
		if err != nil {
			c.drop()
			return 0, err
		}
		c.rest = message
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *Stream) nextAdmitted() ([]byte, error) {
	for {
		c.awaitNext()
		text, err := c.framing.Next()
		switch lost, broken := errors.AsType[*message.FrameError](err); {
		case errors.Is(err, message.ErrKeepAlive):
			if err := c.write([]byte("\r\n")); err != nil {
				return nil, err
			}
			continue
		case broken:
			c.refuseLost(lost)
			c.linger()
			return nil, net.ErrClosed
		case isTimeout(err) && c.users.Load() > 0 && !c.framing.Midway():
			continue // quiet, but a leg counts on it
		case err != nil:
			return nil, err
		}
		v := c.screen().judge(text, c.remote)
		if v.status != "" {
			c.out = v.appendRefusal(c.out[:0], text, c.remote)
			if err := c.send(c.out, nil); err != nil {
				return nil, err
			}
		}
		c.hub.waited(0, time.Now())
		if v.hangup {
			c.linger()
			return nil, net.ErrClosed
		}
		if v.admitted {
			c.noteSentBy(v)
			c.hub.tapped(c, text, true)
			return text, nil
		}
	}
}

// awaitNext sets by when the next message has to have begun. From a peer that
// does not take what is sent to it nothing more is read meanwhile.
func (c *Stream) awaitNext() {
	c.writing <- struct{}{}
	<-c.writing
	now := time.Now()
	if c.firstBy.IsZero() {
		c.firstBy = now.Add(streamFirst)
	}
	by := now.Add(streamIdle)
	if c.peer != nil {
		by = now.Add(streamIdleOurs)
	}
	if c.framing.Midway() {
		by = now.Add(streamFirst)
	}
	if c.peer == nil && c.sentBy.Load() == nil && c.firstBy.Before(by) && !c.screen().knows(c.remote) {
		by = c.firstBy // keep-alives don't change that
	}
	_ = c.SetReadDeadline(by)
}

// begun gives a message that has begun its time to be complete.
func (c *Stream) begun() { _ = c.SetReadDeadline(time.Now().Add(streamFirst)) }

// refuseLost answers the message at which the framing was lost, where it is
// a request that may be answered.
func (c *Stream) refuseLost(lost *message.FrameError) {
	c.screen().count.NotSIP.Add(1)
	msg, ok := message.Scan(lost.Head)
	if !ok || (!c.screen().knows(c.remote) && !c.screen().ours(msg)) {
		return
	}
	if v := c.screen().refuse(msg, lost.Status, ""); v.status != "" {
		c.out = v.appendRefusal(c.out[:0], lost.Head, c.remote)
		_ = c.send(c.out, nil)
	}
}

// linger has the peer get what it is answered before the connection is closed.
// Its bytes are taken meanwhile: a kernel that closes with bytes unread resets
// the connection, and what is on its way to the peer is lost.
func (c *Stream) linger() {
	if !c.screen().knows(c.remote) {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(streamLinger))
	_, _ = io.Copy(io.Discard, c.framing.Src)
}

// sentBy is how a peer names itself in Via.
type sentBy struct {
	host string // without brackets
	port uint16
}

func sentByOf(host []byte, port int, transport string) sentBy {
	s := sentBy{host: string(host), port: uint16(port)}
	if port == 0 {
		s.port = message.DefaultPort(transport)
	}
	return s
}

// noteSentBy keeps whose connection this is, as the peer names itself.
func (c *Stream) noteSentBy(v verdict) {
	if len(v.viaHost) == 0 {
		return
	}
	if name := sentByOf(v.viaHost, v.viaPort, c.transport); c.sentBy.Load() == nil || *c.sentBy.Load() != name {
		c.sentBy.Store(&name)
	}
}

// Write sends one message. Where the connection is gone it goes another way
// (RFC 3261 section 18.2.2 for responses, 18.1.1 for requests).
func (c *Stream) Write(b []byte) (int, error) {
	if !c.isClosed() {
		err := c.write(b)
		if err == nil {
			c.hub.tapped(c, b, false)
			return len(b), nil
		}
	}
	if err := c.hub.detour(c, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// write sends bytes in time, or ends the connection: a part of a message would
// spoil what follows it.
func (c *Stream) write(b []byte) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	if c.isClosed() {
		return net.ErrClosed
	}
	_ = c.SetWriteDeadline(time.Now().Add(streamWrite))
	_, err := c.Conn.Write(b)
	if err != nil {
		c.drop()
	}
	return err
}

func (c *Stream) screen() *screen { return c.hub.screens[c.transport] }

// done is closed when the connection is; nil, which is never, without one.
func (c *Stream) done() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.closed
}

func (c *Stream) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// drop ends the connection and says so to those who wait for an answer on it.
func (c *Stream) drop() {
	c.closeOnce.Do(func() {
		close(c.closed)
		c.hub.remove(c)
		_ = c.Conn.Close()
	})
}

// Close ends the connection.
func (c *Stream) Close() error {
	c.drop()
	return nil
}

// LocalAddr is our end. TLS connections have it too.
func (c *Stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr is the peer's end.
func (c *Stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// certificateNames are the names that a verified client certificate bears, in
// the form of config.Trunk.Certificates.
func certificateNames(conn net.Conn) []string {
	tc, ok := conn.(*tls.Conn)
	if !ok || len(tc.ConnectionState().VerifiedChains) == 0 {
		return nil
	}
	leaf := tc.ConnectionState().VerifiedChains[0][0]
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, leaf.Subject.CommonName)
	}
	return names
}
