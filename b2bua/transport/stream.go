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

// Stream is one TCP or TLS connection. If the connection is gone, Send sends messages
// another way.
type Stream struct {
	net.Conn
	hub        *streams
	id         uint64
	transport  string // config.TransportTCP or TransportTLS
	local      netip.AddrPort
	remote     netip.AddrPort
	peer       *streamPeer    // how we check the peer, if we connected to it; nil if it connected to us
	names      []string       // names in the peer's verified certificate
	firstBy    time.Time      // deadline for a stranger to show who it is
	acceptedBy *listenerConns // the listener that accepted it; nil if we opened the connection
	source     netip.Addr     // the address for which it is counted
	stranger   atomic.Bool    // the address belongs to no trunk, and the peer has not shown who it is

	waiting   map[*request]struct{} // requests that wait for an answer; guarded by streams.mu
	closed    chan struct{}
	closeOnce sync.Once
	sentBy    atomic.Pointer[sentBy] // name in the Via of the peer's last request
	users     atomic.Int32           // legs that use the connection

	// owned by the reader
	framing message.Framer
	by      time.Time // read deadline
	out     []byte    // the refusal being written

	writing chan struct{} // held by the goroutine that writes a message, which has its own deadline
}

// The time limits of a connection.
const (
	// streamFirst bounds a message from its first byte to its last, the handshake, and
	// the time until a stranger has shown who it is: by credentials, by a certificate, or
	// by an answer or a request that belongs to a leg.
	streamFirst = 10 * time.Second
	// streamIdle is the lifetime of an idle connection that no leg uses.
	streamIdle = 30 * time.Minute
	// streamIdleOurs is streamIdle for a connection that we opened.
	streamIdleOurs = 2 * time.Minute
	// streamWrite bounds the writing of a message.
	streamWrite = 5 * time.Second
	// streamLinger is how long a connection whose input can no longer be read stays open for
	// answers.
	streamLinger = 500 * time.Millisecond
)

// serve handles the messages of the connection, one at a time, until it ends, or until
// the start of the next message can't be found. A panic ends only the connection, not the
// process.
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

// read handles messages until the stack is frozen or the connection is over.
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
			continue // quiet, but a leg uses it
		case err != nil:
			return nil, err
		}
		v := c.screen().judge(text, c.remote)
		v.atMost = 0 // the connection shows that the address is not forged
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

// awaitNext sets the deadline for the start of the next message. It waits for a writer to
// finish, so that nothing is read from a peer that does not read.
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

// begun sets the deadline for the rest of a message whose first byte has come.
func (c *Stream) begun() { c.readUntil(c.noLater(time.Now().Add(streamFirst))) }

// readUntil sets the deadline for reading, unless the stack is frozen.
func (c *Stream) readUntil(by time.Time) {
	c.by = by
	_ = c.SetReadDeadline(by)
	if c.hub.reads.freezing.Load() {
		_ = c.SetReadDeadline(longAgo)
	}
}

// noLater returns the deadline. A stranger's is fixed: neither keep-alives nor requests
// extend it.
func (c *Stream) noLater(by time.Time) time.Time {
	if !c.stranger.Load() || by.Before(c.firstBy) {
		return by
	}
	if c.screen().knows(c.remote) { // a reload made its address known
		c.Prove()
		return by
	}
	return c.firstBy
}

// refuseLost answers the message that made us lose the framing, if it is a request that
// may be answered.
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

// linger lets answers reach the peer before the connection is closed. Until then it reads
// the peer's bytes: a kernel that closes a connection with unread bytes resets it, and
// answers on their way are lost.
func (c *Stream) linger() {
	if !c.screen().knows(c.remote) {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(streamLinger))
	_, _ = io.Copy(io.Discard, c.framing.Src)
}

// sentBy is the name that a peer gives itself in Via.
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

// noteSentBy stores the name that the peer gives itself in Via of an admitted message.
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

// Send sends one message. If the connection is gone, the message goes another way
// (RFC 3261 section 18.2.2 for responses, 18.1.1 for requests).
func (c *Stream) Send(b []byte, _ netip.AddrPort) error {
	if !c.isClosed() && c.write(b) == nil {
		c.sent(b)
		return nil
	}
	return c.hub.detour(c, b)
}

// way returns the transaction's way over the connection.
func (c *Stream) way() transaction.Way {
	return transaction.Way{Over: c, To: c.remote, Reliable: true}
}

// write sends bytes within the deadline, or ends the connection: after a partial message
// the peer could not read the next ones.
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

// drop ends the connection, and informs the requests that wait for an answer on it.
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

// certificateNames returns the names in a verified client certificate, in the form of
// config.Trunk.Certificates.
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
