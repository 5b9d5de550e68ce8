package transport

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
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

// streams holds the TCP and TLS connections of the server, whichever side opened them.
type streams struct {
	screens map[string]*screen // by transport; constant
	limits  config.Limits
	certs   *certificates
	network Network
	probe   func(read time.Time) // measures how long a message waits for its goroutine
	local   func(transport string, peer netip.Addr) (leg.Local, error)
	handle  func(text []byte, from arrival)
	group   sync.WaitGroup // handshakes and readers
	reads   *readFreeze
	opening singleflight.Group
	ctx     context.Context

	mu        sync.Mutex
	live      map[streamKey]*Stream
	remotes   map[streamKey]*Stream // connections that we opened, by a key without peer
	every     map[*Stream]struct{}  // all connections, including those that no new call uses
	dialled   int                   // number of connections that we have opened or are opening
	perSource map[netip.Addr]int    // number of accepted connections, including handshakes, by Stream.source
	unproven  map[netip.Addr]int    // number of strangers' connections among these
	closed    bool
}

// newStreams returns the table of a stack's connections.
func newStreams(s *Stack, o Options) *streams {
	st := &streams{
		limits: s.cfg.Limits, certs: newCertificates(s.cfg.TLS, s.log), network: s.network, local: s.LocalFor, ctx: s.ctx,
		probe:  func(read time.Time) { s.load.probe(s.group.Go, read) },
		handle: s.receive, reads: &s.reads,
		live: map[streamKey]*Stream{}, remotes: map[streamKey]*Stream{}, every: map[*Stream]struct{}{},
		perSource: map[netip.Addr]int{}, unproven: map[netip.Addr]int{},
	}
	overTLS := s.newScreen(config.TransportTLS, o.Tap)
	overTLS.names = func(source netip.AddrPort) []string { return st.certNames(config.TransportTLS, source) }
	overTCP := s.newScreen(config.TransportTCP, o.Tap)
	if slices.ContainsFunc(s.cfg.Listen, func(l config.Listener) bool { return l.Proof != "" }) {
		overTCP.names = func(source netip.AddrPort) []string { return st.certNames(config.TransportTCP, source) }
	}
	st.screens = map[string]*screen{config.TransportTCP: overTCP, config.TransportTLS: overTLS}
	return st
}

// streamKey identifies a connection. There may be several peers at one address, if we call a server
// by several names.
type streamKey struct {
	transport string
	remote    netip.AddrPort
	peer      streamPeer // zero if the peer opened the connection
}

// streamPeer says how we check a peer that we connect to over TLS, and which certificate we
// present. Over TCP only dialled is set.
type streamPeer struct {
	dialled    bool
	serverName string
	tls        config.TargetTLS
}

// dialTCP opens a TCP connection. Unless from is invalid, it binds a local port of its own, so that
// no two connections share a port.
func dialTCP(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAlive: streamKeepAlive, Control: boundUnanswered}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

const (
	// streamKeepAlive is how often the kernel probes an idle connection.
	streamKeepAlive = 30 * time.Second
	// ConnectTimeout limits opening a connection, including its handshake.
	ConnectTimeout = 4 * time.Second
	// streamUnanswered is how long sent bytes may stay unacknowledged by the peer's kernel before the
	// connection counts as broken.
	streamUnanswered = 10 * time.Second
)

// errTLS means that a TLS handshake failed, for example because of a wrong name or an unknown
// authority.
var errTLS = errors.New("handshake failed")

// certNames returns the names in the verified client certificate of the connection that a message
// came over, or its proof.
func (s *streams) certNames(transport string, source netip.AddrPort) []string {
	switch {
	case strings.EqualFold(transport, config.TransportTLS):
		transport = config.TransportTLS
	case strings.EqualFold(transport, config.TransportTCP) && s.screens[config.TransportTCP].names != nil:
		transport = config.TransportTCP
	default:
		return nil
	}
	if c := s.findAny(transport, source); c != nil {
		return c.names
	}
	return nil
}

func (s *streams) newStream(conn net.Conn, transport string, remote netip.AddrPort, peer *streamPeer) *Stream {
	c := &Stream{
		Conn: conn, hub: s, id: rand.Uint64(), transport: transport, remote: remote, peer: peer,
		local: message.ParseSource(conn.LocalAddr().String()), closed: make(chan struct{}),
		writing: make(chan struct{}, 1), firstBy: time.Now().Add(streamFirst),
	}
	c.framing = message.Framer{Src: conn, Limit: maxMessage, Begun: c.begun}
	if peer != nil {
		c.framing.ResponseLimit = maxResponse
	}
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

// admit adds a connection to the table and starts its reader. It returns an error if the table or
// the connection is closed.
func (s *streams) admit(c *Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || c.isClosed() {
		return net.ErrClosed
	}
	s.live[c.key()] = c
	s.every[c] = struct{}{}
	if c.peer != nil {
		s.remotes[c.remoteKey()] = c
	}
	if s.reads.started(c.startReader) {
		c.startReader()
	}
	return nil
}

// retire keeps new calls from using a connection, because its peer may have vanished.
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

// remove removes a connection from the table and the counts. It returns the connection to close,
// and the requests that wait for a response on it.
func (s *streams) remove(c *Stream) (conn net.Conn, waiting []*request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
	delete(s.every, c)
	if c.peer == nil {
		s.releaseAccepted(c)
	} else {
		s.dialled--
	}
	waiting = slices.Collect(maps.Keys(c.waiting))
	c.waiting = nil
	return c.Conn, waiting
}

// subscribe makes a connection call a request's broken method when it breaks. It returns false if
// the connection is broken already.
func (s *streams) subscribe(c *Stream, r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.isClosed() {
		return false
	}
	if c.waiting == nil {
		c.waiting = map[*request]struct{}{}
	}
	c.waiting[r] = struct{}{}
	return true
}

// unsubscribe undoes subscribe.
func (s *streams) unsubscribe(c *Stream, r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(c.waiting, r)
}

func (s *streams) find(key streamKey) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[key].orNone()
}

// orNone returns the connection, or nil if it has ended.
func (c *Stream) orNone() *Stream {
	if c == nil || c.isClosed() {
		return nil
	}
	return c
}

// findAny returns a live connection with this remote address, whichever side opened it, or nil.
func (s *streams) findAny(transport string, remote netip.AddrPort) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := streamKey{transport: transport, remote: remote}
	if c := s.live[key].orNone(); c != nil {
		return c
	}
	return s.remotes[key].orNone()
}

// findSentBy returns a live connection from the same host whose peer has this name in its Via, or
// nil. The peer may have opened it after another connection broke.
func (s *streams) findSentBy(transport string, host netip.Addr, name sentBy) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, c := range s.live {
		if k.transport != transport || k.remote.Addr() != host || c.isClosed() {
			continue
		}
		if known := c.sentBy.Load(); known != nil && known.port == name.port && strings.EqualFold(known.host, name.host) {
			return c
		}
	}
	return nil
}

// close ends every connection. Handshakes end with the context.
func (s *streams) close() {
	s.mu.Lock()
	s.closed = true
	all := slices.Collect(maps.Keys(s.every))
	s.mu.Unlock()
	var dropping sync.WaitGroup
	for _, c := range all { // in parallel, because TLS sends a closing alert to a peer that may not read
		dropping.Go(c.drop)
	}
	dropping.Wait()
}
