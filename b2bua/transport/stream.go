package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
)

// Stream is one TCP or TLS connection. If the connection has ended, Send sends messages another
// way.
type Stream struct {
	net.Conn
	hub        *streams
	id         uint64
	transport  string // config.TransportTCP or TransportTLS
	local      netip.AddrPort
	remote     netip.AddrPort
	peer       *streamPeer    // how we check the peer if we opened the connection; nil if the peer did
	names      []string       // names in the peer's verified certificate, or the proof that it has shown
	firstBy    time.Time      // when a stranger must have proven who it is
	acceptedBy *listenerConns // the listener that accepted it; nil if we opened it
	source     netip.Addr     // the address or network that the connection counts for
	stranger   atomic.Bool    // the peer's address belongs to no trunk, and the peer has not proven who it is

	waiting   map[*request]struct{} // requests that wait for a response; guarded by streams.mu
	closed    chan struct{}
	closeOnce sync.Once
	sentBy    atomic.Pointer[sentBy] // the peer's name in the Via of its last request; nil before one came
	users     atomic.Int32           // number of legs that use the connection

	// The fields below belong to the reader.
	framing message.Framer
	by      time.Time // read deadline, unless the stack is frozen
	out     []byte    // memory for a refusal

	writing chan struct{} // a goroutine that writes a message holds this, until the write deadline at the latest
}

// These are the time limits of a connection.
const (
	// streamFirst limits three times: from a message's first byte to its last, the handshake, and
	// until a stranger has proven who it is: by credentials, by a certificate, or by a response or
	// request that belongs to a leg.
	streamFirst = 10 * time.Second
	// streamIdle is how long an idle connection that no leg uses stays open.
	streamIdle = 30 * time.Minute
	// streamIdleOurs is like streamIdle, for a connection that we opened.
	streamIdleOurs = 2 * time.Minute
	// streamWrite is the time limit for writing a message.
	streamWrite = 5 * time.Second
	// streamLinger is how long a connection stays open for our last answers when its input can no
	// longer be read.
	streamLinger = 500 * time.Millisecond
)

// serve is the connection's reader. It handles messages, one at a time, until the connection ends,
// the stack is frozen, or the start of the next message can't be found. A panic ends only the
// connection, not the process.
func (c *Stream) serve() {
	err := errFrozen
	for errors.Is(err, errFrozen) {
		if err = c.read(); errors.Is(err, errFrozen) && c.hub.reads.pause(c.startReader) {
			return
		}
	}
	c.hub.reads.readerStopped()
	c.drop()
}

// startReader starts the connection's reader.
func (c *Stream) startReader() { c.hub.group.Go(c.serve) }

// read handles messages until the stack is frozen (errFrozen) or the connection has ended.
func (c *Stream) read() (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.screen().server.Panicked("connection", v)
			err = net.ErrClosed
		}
	}()
	from := arrival{transport: message.ViaTransport(c.transport), source: c.remote, name: c.remote.String(), over: c}
	for {
		text, err := c.nextAdmitted()
		if err != nil {
			return err
		}
		c.hub.handle(text, from)
	}
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
		case isTimeout(err) && (c.hub.reads.freezing.Load() || time.Now().Before(c.by)):
			return nil, errFrozen
		case isTimeout(err) && c.users.Load() > 0 && !c.framing.Midway():
			continue // no message came, but a leg uses the connection
		case err != nil:
			return nil, err
		}
		v := c.screen().judge(text, c.remote)
		v.atMost = 0 // no limit, because over a connection the address can't be forged
		if v.status != "" {
			c.out = v.appendRefusal(c.out[:0], text, c.remote)
			c.screen().countChallenge(v)
			if err := c.send(c.out, nil); err != nil {
				return nil, err
			}
		}
		c.hub.probe(time.Now())
		if v.hangup {
			c.linger()
			return nil, net.ErrClosed
		}
		if v.admitted {
			if v.proven {
				c.Prove()
			}
			c.noteSentBy(v)
			c.screen().passed.received.note(text)
			if t := c.screen().tap; t != nil {
				t.Message(v.received(text, time.Now(), c.transport, c.local, c.remote))
			}
			return text, nil
		}
	}
}

// awaitNext sets the deadline for the start of the next message. It first waits for a writer to
// finish, so that nothing is read from a peer that does not read itself.
func (c *Stream) awaitNext() {
	c.writing <- struct{}{}
	<-c.writing
	now := time.Now()
	by := now.Add(streamIdle)
	if c.peer != nil {
		by = now.Add(streamIdleOurs)
	}
	if c.framing.Midway() {
		by = now.Add(streamFirst)
	}
	c.readUntil(c.noLater(by))
}

// begun sets the deadline for the rest of a message whose first byte has arrived.
func (c *Stream) begun() { c.readUntil(c.noLater(time.Now().Add(streamFirst))) }

// readUntil sets the read deadline. If the stack is frozen, the deadline is in the past.
func (c *Stream) readUntil(by time.Time) {
	c.by = by
	_ = c.SetReadDeadline(by)
	if c.hub.reads.freezing.Load() {
		_ = c.SetReadDeadline(longAgo)
	}
}

// noLater returns the deadline for reading, which is by. For a stranger it is at most firstBy:
// neither keep-alives nor requests extend that.
func (c *Stream) noLater(by time.Time) time.Time {
	if !c.stranger.Load() || by.Before(c.firstBy) {
		return by
	}
	if c.screen().knows(c.remote) { // its address is known since a reload
		c.Prove()
		return by
	}
	return c.firstBy
}

// refuseLost answers the message after which the start of the next one can't be found, if it is a
// request that may be answered.
func (c *Stream) refuseLost(lost *message.FrameError) {
	c.screen().count.NotSIP.Add(1)
	msg, ok := message.Scan(lost.Head)
	if !ok || (!c.screen().knows(c.remote) && !c.screen().ours(msg)) {
		return
	}
	if v := c.screen().refuse(msg, c.screen().sender(c.remote), lost.Status, ""); v.status != "" {
		c.out = v.appendRefusal(c.out[:0], lost.Head, c.remote)
		_ = c.send(c.out, nil)
	}
}

// linger gives our last answers time to reach the peer before the connection is closed. Meanwhile
// it reads and discards the peer's bytes: if the kernel closed a connection with unread bytes, it
// would reset the connection, and answers on their way would be lost.
func (c *Stream) linger() {
	if !c.screen().knows(c.remote) {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(streamLinger))
	_, _ = io.Copy(io.Discard, c.framing.Src)
}

// sentBy is the name that a peer gives itself in the Via header.
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

// noteSentBy stores the peer's name in the Via of an admitted message.
func (c *Stream) noteSentBy(v verdict) {
	if len(v.viaHost) == 0 {
		return
	}
	if name := sentByOf(v.viaHost, v.viaPort, c.transport); c.sentBy.Load() == nil || *c.sentBy.Load() != name {
		c.sentBy.Store(&name)
	}
}

// sent counts a written message, and shows it to the tap.
func (c *Stream) sent(b []byte) {
	c.screen().passed.sent.note(b)
	if t := c.screen().tap; t != nil {
		t.Message(TapMessage{At: time.Now(), Transport: c.transport, Local: c.local, Remote: c.remote, Data: b})
	}
}

// Send sends one message. If the connection has ended, the message takes a detour (RFC 3261 section
// 18.2.2 for responses, section 18.1.1 for requests).
func (c *Stream) Send(b []byte, _ netip.AddrPort) error {
	if !c.isClosed() && c.write(b) == nil {
		c.sent(b)
		return nil
	}
	return c.hub.detour(c, b)
}

// way returns the connection as a way for transactions.
func (c *Stream) way() transaction.Way {
	return transaction.Way{Over: c, To: c.remote, Reliable: true}
}

// write writes bytes within the deadline. If it fails, it ends the connection, because after a
// partial message the peer could not read the next message.
func (c *Stream) write(b []byte) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	if c.isClosed() {
		return net.ErrClosed
	}
	_ = c.SetWriteDeadline(time.Now().Add(streamWrite))
	_, err := c.Write(b)
	if err != nil {
		c.drop()
	}
	return err
}

func (c *Stream) screen() *screen { return c.hub.screens[c.transport] }

func (c *Stream) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// drop ends the connection, and tells the requests that wait for a response on it.
func (c *Stream) drop() {
	c.closeOnce.Do(func() {
		close(c.closed)
		conn, waiting := c.hub.remove(c)
		_ = conn.Close()
		for _, r := range waiting {
			r.broken()
		}
	})
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// certificateNames returns the names in the verified client certificate of a TLS connection, in the
// form of config.Trunk.Certificates. It returns nil if there is no such certificate.
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
