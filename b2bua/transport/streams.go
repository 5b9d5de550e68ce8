package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// streams are the TCP and TLS connections of the server, opened by peers or by us.
// The SIP library opens none: it gets every connection through a feed.
type streams struct {
	screens map[string]*screen // by transport; constant
	limits  config.Limits
	certs   *certificates
	network Network
	waited  func(waited time.Duration, read time.Time) // as guard.waited
	local   func(transport string, peer netip.Addr) (leg.Local, error)
	group   sync.WaitGroup // handshakes
	opening singleflight.Group
	ctx     context.Context

	feeds map[string]*feed // by transport; constant

	mu        sync.Mutex
	live      map[streamKey]*Stream
	remotes   map[streamKey]*Stream // opened by us, without the peer in the key
	every     map[*Stream]struct{}  // also those that are not to be used for another call
	dialled   int                   // that we have opened or are opening
	perSource map[netip.Addr]int    // accepted ones, handshakes included
	accepted  int
	strangers int // accepted ones of addresses that no trunk has
	closed    bool
}

// newStreams makes the table of a stack's connections.
func newStreams(s *Stack, o Options) *streams {
	st := &streams{
		limits: s.cfg.Limits, certs: newCertificates(s.cfg.TLS, s.log), network: s.network, local: s.LocalFor, ctx: s.ctx,
		feeds: map[string]*feed{config.TransportTCP: newFeed(), config.TransportTLS: newFeed()},
		waited: func(waited time.Duration, read time.Time) {
			s.load.probe(func(f func()) { go f() }, waited, read) // from readers that are the library's
		},
		live: map[streamKey]*Stream{}, remotes: map[streamKey]*Stream{}, every: map[*Stream]struct{}{},
		perSource: map[netip.Addr]int{},
	}
	overTLS := s.newScreen(config.TransportTLS, o.Tap)
	overTLS.names = func(source netip.AddrPort) []string { return st.certNames(config.TransportTLS, source) }
	st.screens = map[string]*screen{config.TransportTCP: s.newScreen(config.TransportTCP, o.Tap), config.TransportTLS: overTLS}
	return st
}

// streamKey identifies a connection. One address may have several peers: a server
// that we call by several names.
type streamKey struct {
	transport string
	remote    netip.AddrPort
	peer      streamPeer // zero: the peer opened it
}

// streamPeer says how a peer that we connect to over TLS is checked, and what we
// show it. Over TCP it is zero but for dialled.
type streamPeer struct {
	dialled    bool
	serverName string
	tls        config.TargetTLS
}

// dialTCP opens a connection of the kernel. bind chooses the local port, so that no
// two connections share it.
func dialTCP(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAlive: streamKeepAlive, Control: boundUnanswered}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

const (
	// streamKeepAlive is how often the kernel asks whether a peer is there.
	streamKeepAlive = 30 * time.Second
	// connectTimeout bounds opening a connection, its handshake included.
	connectTimeout = 4 * time.Second
	// streamUnanswered is how long sent bytes may go without the acknowledgement of the
	// peer's kernel. Then the connection is broken.
	streamUnanswered = 10 * time.Second
	// strangersShare is the divisor for connections from unknown addresses. There are
	// some because platforms send from unannounced addresses.
	strangersShare = 10
)

// errTLS marks a failure of the handshake: wrong name, unknown authority …
var errTLS = errors.New("handshake failed")

// listen accepts connections until the listener is closed.
func (s *streams) listen(l net.Listener, transport string) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // the connection failed, or no descriptor is free
			if s.screens[transport].budget.Allow() {
				s.screens[transport].log.Error().Err(err).Msg("connection not accepted")
			}
			time.Sleep(readPause)
			continue
		}
		remote := message.ParseSource(conn.RemoteAddr().String())
		stranger, ok := s.countAccepted(transport, remote)
		if !ok {
			conn.Close()
			continue
		}
		s.group.Go(func() { s.greet(conn, transport, remote, stranger) })
	}
}

// countAccepted counts a connection that was accepted, or refuses it.
func (s *streams) countAccepted(transport string, remote netip.AddrPort) (stranger, ok bool) {
	stranger = !s.screens[transport].knows(remote)
	all, each := s.limits.Connections, s.limits.ConnectionsPerSource
	if stranger { // few, and even fewer of one address, so that one stranger can't take all places
		each = max(each/strangersShare, 1)
	}
	s.mu.Lock()
	full := s.closed || s.accepted >= all || s.perSource[remote.Addr()] >= each ||
		(stranger && s.strangers >= max(all/strangersShare, 1))
	if !full {
		s.accepted++
		s.perSource[remote.Addr()]++
		if stranger {
			s.strangers++
		}
	}
	s.mu.Unlock()
	if full {
		sc := s.screens[transport]
		sc.rejected(&sc.count.Connections, remote, "connections")
	}
	return stranger, !full
}

// uncountAccepted undoes enter.
func (s *streams) uncountAccepted(c *Stream) {
	s.accepted--
	if s.perSource[c.remote.Addr()]--; s.perSource[c.remote.Addr()] == 0 {
		delete(s.perSource, c.remote.Addr())
	}
	if c.stranger {
		s.strangers--
	}
}

// greet shakes hands and gives the connection to the SIP library.
func (s *streams) greet(conn net.Conn, transport string, remote netip.AddrPort, stranger bool) {
	c := s.newStream(conn, transport, remote, nil)
	c.stranger = stranger // as it was counted, even if a reload has changed that since
	if transport == config.TransportTLS {
		tc := tls.Server(conn, s.certs.server())
		_ = conn.SetDeadline(time.Now().Add(streamFirst))
		if err := tc.HandshakeContext(s.ctx); err != nil {
			if s.screens[transport].budget.Allow() {
				s.screens[transport].log.Warn().Err(err).Stringer("src", remote).Msg("tls handshake failed")
			}
			c.drop()
			return
		}
		_ = conn.SetDeadline(time.Time{})
		c.Conn, c.framing.Src = tc, tc
		c.names = certificateNames(tc)
	}
	s.identified(c)
	if s.admit(c) != nil {
		c.drop()
	}
}

// identified: a connection with a trunk's certificate is no stranger's.
func (s *streams) identified(c *Stream) {
	s.mu.Lock()
	s.live[c.key()] = c // so that its names are found
	s.mu.Unlock()
	if c.stranger && c.screen().knows(c.remote) {
		s.mu.Lock()
		c.stranger = false
		s.strangers--
		s.mu.Unlock()
	}
}

// certNames gives the names in the verified client certificate of a message's
// connection.
func (s *streams) certNames(transport string, source netip.AddrPort) []string {
	if !strings.EqualFold(transport, config.TransportTLS) {
		return nil
	}
	if c := s.findAny(config.TransportTLS, source); c != nil {
		return c.names
	}
	return nil
}

func (s *streams) newStream(conn net.Conn, transport string, remote netip.AddrPort, peer *streamPeer) *Stream {
	c := &Stream{
		Conn: conn, hub: s, transport: transport, remote: remote, peer: peer,
		local: message.ParseSource(conn.LocalAddr().String()), closed: make(chan struct{}),
		writing: make(chan struct{}, 1),
	}
	c.framing = message.Framer{Src: conn, Limit: s.limits.Message, Begun: c.begun}
	return c
}

func (c *Stream) remoteKey() streamKey { return streamKey{transport: c.transport, remote: c.remote} }

func (c *Stream) key() streamKey {
	k := c.remoteKey()
	if c.peer != nil {
		k.peer = *c.peer
	}
	return k
}

// admit enters a connection in the table and hands it to the library.
func (s *streams) admit(c *Stream) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.live[c.key()] = c
	s.every[c] = struct{}{}
	if c.peer != nil {
		s.remotes[c.remoteKey()] = c
	}
	s.mu.Unlock()
	return s.feeds[c.transport].register(c)
}

// retire keeps a connection from being used for another call, because its peer may
// have vanished.
func (s *streams) retire(c *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
}

func (s *streams) forget(c *Stream) {
	if s.live[c.key()] == c {
		delete(s.live, c.key())
	}
	if s.remotes[c.remoteKey()] == c {
		delete(s.remotes, c.remoteKey())
	}
}

func (s *streams) remove(c *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
	delete(s.every, c)
	if c.peer == nil {
		s.uncountAccepted(c)
	} else {
		s.dialled--
	}
}

func (s *streams) find(key streamKey) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[key]
}

// findAny gives the live connection to this address, opened by either end.
func (s *streams) findAny(transport string, remote netip.AddrPort) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := streamKey{transport: transport, remote: remote}
	if c := s.live[key]; c != nil {
		return c
	}
	return s.remotes[key]
}

// findSentBy gives a live connection from the same host whose peer has this name in
// Via: the peer has opened it after another one broke.
func (s *streams) findSentBy(transport string, host netip.Addr, name sentBy) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, c := range s.live {
		if k.transport != transport || k.remote.Addr() != host {
			continue
		}
		if known := c.sentBy.Load(); known != nil && known.port == name.port && strings.EqualFold(known.host, name.host) {
			return c
		}
	}
	return nil
}

func (s *streams) tapped(c *Stream, text []byte, received bool) {
	if t := c.screen().tap; t != nil {
		t.Message(TapMessage{At: time.Now(), Received: received, Local: c.local, Remote: c.remote, Data: message.WithoutKeys(text)})
	}
}

// close ends every connection. Those that are still being greeted end with the
// context.
func (s *streams) close() {
	s.mu.Lock()
	s.closed = true
	all := slices.Collect(maps.Keys(s.every))
	s.mu.Unlock()
	for _, f := range s.feeds {
		_ = f.Close()
	}
	var dropping sync.WaitGroup
	for _, c := range all { // at the same time: TLS takes leave of peers, which may not read
		dropping.Go(c.drop)
	}
	dropping.Wait()
}
