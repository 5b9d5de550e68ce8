package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// Connect gives a connection to a target: one that is open, or a new one.
func (s *Stack) Connect(ctx context.Context, tls config.TargetTLS, transport string, uri sip.Uri, dest netip.AddrPort) (*Stream, error) {
	peer := streamPeer{}
	if transport == config.TransportTLS {
		peer = streamPeer{serverName: tls.ServerName, tls: tls}
		if peer.serverName == "" {
			peer.serverName = message.TrimBrackets(uri.Host)
		}
	}
	return s.streams.connect(ctx, transport, dest, peer)
}

// ConnectTCP gives a TCP connection to a target over UDP. One that can't be
// opened is not tried again for a while: each call would wait for it.
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

// noTCPFor is how long a target is taken to have no TCP.
const noTCPFor = 30 * time.Second

var errTriedBefore = errors.New("it could not be opened a moment ago")

// CauseOf is the cause of a connection that could not be had, or of a request
// that could not be sent.
func CauseOf(err error) cause.Cause {
	switch {
	case errors.Is(err, errLookup):
		return cause.DNSFailed
	case errors.Is(err, errTLS):
		return cause.TLSFailed
	default:
		return cause.TargetUnreachable
	}
}
