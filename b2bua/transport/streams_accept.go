package transport

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// listenerConns counts the connections that one listener has accepted. It is guarded by streams.mu.
type listenerConns struct {
	proof     string // what each connection must begin with; empty: nothing; constant
	accepted  int
	strangers []*Stream // connections of strangers, oldest first
}

// share divides the number of connections: one source may have a tenth of them, and all unknown addresses together may
// have a tenth. Unknown addresses may connect at all because platforms send from unannounced addresses, and trunks may
// be anywhere.
const share = 10

// listen accepts connections until the listener is closed (net.ErrClosed) or the stack is frozen (errFrozen).
func (s *streams) listen(l net.Listener, transport string, conns *listenerConns) error {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return net.ErrClosed
		case err != nil && isTimeout(err):
			return errFrozen
		}
		if err != nil { // the new connection has failed, or there is no free descriptor
			if s.screens[transport].budget.Allow() {
				s.screens[transport].log.Error().Err(err).Msg("connection not accepted")
			}
			time.Sleep(readPause)
			continue
		}
		c := s.newStream(conn, transport, message.ParseSource(conn.RemoteAddr().String()), nil)
		if !s.reserveAccepted(c, conns) {
			sc := s.screens[transport]
			sc.rejected(&sc.count.Connections, c.remote, "connections")
			conn.Close()
			continue
		}
		s.group.Go(func() { s.handshake(c) })
	}
}

// reserveAccepted counts a connection that a listener has accepted. It returns false if there is no room. There is
// little room for strangers. If it is full, a new connection may replace the oldest connection of the source that has
// the most, provided that the new connection's source has fewer. So a few strangers can't keep the others out.
func (s *streams) reserveAccepted(c *Stream, conns *listenerConns) bool {
	stranger := !c.screen().knows(c.remote)
	all := s.limits.Connections
	each := max(all/share, 1)
	c.source = c.remote.Addr()
	if stranger {
		c.source = message.NetworkOf(c.source)
	}
	var leaving *Stream
	defer func() {
		if leaving != nil {
			leaving.drop()
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || conns.accepted >= all || s.perSource[c.source] >= each {
		return false
	}
	if stranger {
		if s.unproven[c.source] >= max(each/share, 1) {
			return false
		}
		if len(conns.strangers) >= max(all/share, 1) {
			leaving = s.evictable(conns, c.source)
			if leaving == nil {
				return false
			}
			s.proven(leaving)
		}
		conns.strangers = append(conns.strangers, c)
		s.unproven[c.source]++
	}
	c.acceptedBy = conns
	c.stranger.Store(stranger)
	conns.accepted++
	s.perSource[c.source]++
	return true
}

// shows reports whether a connection begins with a text, which it reads.
func (c *Stream) shows(proof string) bool {
	_ = c.SetReadDeadline(c.firstBy)
	shown := make([]byte, len(proof))
	_, err := io.ReadFull(c.Conn, shown)
	return err == nil && subtle.ConstantTimeCompare(shown, []byte(proof)) == 1
}

// evictable returns the connection to close in favour of a new one from newcomer: the oldest stranger's connection of
// the source that has the most. It returns nil unless that source has at least two more than newcomer.
func (s *streams) evictable(conns *listenerConns, newcomer netip.Addr) *Stream {
	var most *Stream
	for _, c := range conns.strangers {
		if most == nil || s.unproven[c.source] > s.unproven[most.source] {
			most = c
		}
	}
	if most == nil || s.unproven[most.source] < s.unproven[newcomer]+2 {
		return nil
	}
	return most
}

// releaseAccepted undoes reserveAccepted.
func (s *streams) releaseAccepted(c *Stream) {
	s.proven(c)
	c.acceptedBy.accepted--
	countOut(s.perSource, c.source)
}

func countOut(counts map[netip.Addr]int, source netip.Addr) {
	if counts[source]--; counts[source] == 0 {
		delete(counts, source)
	}
}

// proven removes a connection from the strangers' connections. The caller must hold s.mu.
func (s *streams) proven(c *Stream) {
	if c.stranger.Swap(false) {
		countOut(s.unproven, c.source)
		c.acceptedBy.strangers = slices.DeleteFunc(c.acceptedBy.strangers, func(o *Stream) bool { return o == c })
	}
}

// Prove notes that the peer has proven who it is: its connection no longer counts as a stranger's. A nil Stream is
// ignored.
func (c *Stream) Prove() {
	if c == nil || !c.stranger.Load() {
		return
	}
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	c.hub.proven(c)
}

// handshake performs the TLS handshake, except over TCP, or reads the proof that the listener asks for, and starts the
// connection's reader.
func (s *streams) handshake(c *Stream) {
	if proof := c.acceptedBy.proof; proof != "" {
		if !c.shows(proof) {
			sc := c.screen()
			sc.rejected(&sc.count.UnknownSource, c.remote, "unknown_source")
			c.drop()
			return
		}
		c.names = []string{proof}
		c.Prove()
	}
	if c.transport == config.TransportTLS {
		tc := tls.Server(c.Conn, s.certs.server())
		_ = c.SetDeadline(c.firstBy)
		if err := tc.HandshakeContext(s.ctx); err != nil {
			if s.screens[c.transport].budget.Allow() {
				s.screens[c.transport].log.Warn().Err(err).Stringer("src", c.remote).Msg("tls handshake failed")
			}
			c.drop()
			return
		}
		_ = c.SetDeadline(time.Time{})
		s.mu.Lock()
		c.Conn, c.framing.Src = tc, tc
		c.names = certificateNames(tc)
		if !c.isClosed() { // else it was closed to make room for another connection
			s.live[c.key()] = c // certNames must find it
		}
		s.mu.Unlock()
	}
	if c.screen().knows(c.remote) { // the certificate may have made it known
		c.Prove()
	}
	if s.admit(c) != nil {
		c.drop()
	}
}
