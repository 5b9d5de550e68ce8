package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/internal/coroutine"
)

// connect returns an open connection to a peer. It opens one if there is none.
func (s *streams) connect(ctx context.Context, transport string, to netip.AddrPort, peer streamPeer) (*Stream, error) {
	peer.dialled = true
	key := streamKey{transport: transport, remote: to, peer: peer}
	if c := s.find(key); c != nil {
		return c, nil
	}
	coroutine.Leave(ctx)
	made := s.opening.DoChan(fmt.Sprint(key), func() (any, error) {
		if c := s.find(key); c != nil { // it was opened since the first look-up
			return c, nil
		}
		return s.open(transport, to, peer)
	})
	select {
	case r := <-made:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*Stream), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *streams) open(transport string, to netip.AddrPort, peer streamPeer) (*Stream, error) {
	ctx, cancel := context.WithTimeout(s.ctx, ConnectTimeout)
	defer cancel()
	local, err := s.local(transport, to.Addr())
	if err != nil {
		return nil, err
	}
	if !s.reserveDial() {
		return nil, fmt.Errorf("connect to %s://%v: %w", transport, to, errTooMany)
	}
	conn, err := s.network.Dial(ctx, local.Listen.Addr(), to)
	if err != nil {
		s.releaseDial()
		return nil, fmt.Errorf("connect to %s://%v: %w", transport, to, err)
	}
	c := s.newStream(conn, transport, to, &peer) // from here on, drop releases the reserved place
	if transport == config.TransportTLS {
		tc, err := s.certs.client(ctx, conn, peer)
		if err != nil {
			c.drop()
			return nil, fmt.Errorf("connect to %s://%v: %w: %w", transport, to, errTLS, err)
		}
		c.Conn, c.framing.Src = tc, tc
	}
	if err := s.admit(c); err != nil {
		c.drop()
		return nil, err
	}
	return c, nil
}

// errTooMany means that sip.limits allows no more connections. The limit is needed because peers
// can make us open connections by the Contacts that they send.
var errTooMany = errors.New("too many connections; see sip.limits.connections")

// reserveDial counts a connection that is about to be opened. It returns false if there are too
// many. releaseDial undoes it.
func (s *streams) reserveDial() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.dialled >= s.limits.Connections {
		return false
	}
	s.dialled++
	return true
}

func (s *streams) releaseDial() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialled--
}

// detour sends a message whose connection has ended another way. A response goes over a connection
// that the peer has opened since, or over a new one to the address in its Via (RFC 3261 section
// 18.2.2). A request goes to the same address over a new connection.
func (s *streams) detour(gone *Stream, text []byte) error {
	msg, ok := message.Scan(text)
	if !ok {
		return net.ErrClosed
	}
	if !msg.Response {
		if gone.peer == nil {
			return net.ErrClosed
		}
		c, err := s.connect(s.ctx, gone.transport, gone.remote, *gone.peer)
		return c.send(text, err)
	}
	name := sentByOf(msg.ViaHost, msg.ViaPort, gone.transport)
	if c := s.findSentBy(gone.transport, gone.remote.Addr(), name); c != nil {
		return c.send(text, nil)
	}
	to := netip.AddrPortFrom(gone.remote.Addr(), name.port)
	c, err := s.connect(s.ctx, gone.transport, to, streamPeer{serverName: name.host})
	return c.send(text, err)
}

// send writes a message to a connection, unless err is set. It returns the first error.
func (c *Stream) send(message []byte, err error) error {
	if err != nil {
		return err
	}
	if err := c.write(message); err != nil {
		return err
	}
	c.sent(message)
	return nil
}

// Connect returns an open connection to a target at dest. It opens one if there is none.
func (s *Stack) Connect(ctx context.Context, tls config.TargetTLS, transport string, uri sip.Uri,
	dest netip.AddrPort,
) (*Stream, error) {
	peer := streamPeer{}
	if transport == config.TransportTLS {
		peer = streamPeer{serverName: tls.ServerName, tls: tls}
		if peer.serverName == "" {
			peer.serverName = message.TrimBrackets(uri.Host)
		}
	}
	return s.streams.connect(ctx, transport, dest, peer)
}

// ConnectTCP returns a TCP connection to a target that is configured for UDP. After a failure it
// fails at once for noTCPFor, because otherwise each call would wait.
func (s *Stack) ConnectTCP(ctx context.Context, uri sip.Uri, dest netip.AddrPort) (*Stream, error) {
	now := time.Now()
	s.mu.Lock()
	refused := s.noTCP[dest]
	s.mu.Unlock()
	if now.Before(refused) {
		return nil, fmt.Errorf("no TCP to %v: %w", dest, errTriedBefore)
	}
	c, err := s.Connect(ctx, config.TargetTLS{}, config.TransportTCP, uri, dest)
	if err != nil && ctx.Err() == nil {
		s.mu.Lock()
		remember(s.noTCP, dest, now.Add(noTCPFor))
		s.mu.Unlock()
	}
	return c, err
}

// noTCPFor is how long TCP to a target is not tried again after a failure.
const noTCPFor = 30 * time.Second

var errTriedBefore = errors.New("it could not be opened a moment ago")

// CauseOf returns the cause to record for a failed connection, or for a request that could not be
// sent.
func CauseOf(err error) cause.Cause {
	switch {
	case errors.Is(err, locate.ErrNotFound):
		return cause.DNSFailed
	case errors.Is(err, errTLS):
		return cause.TLSFailed
	default:
		return cause.TargetUnreachable
	}
}
