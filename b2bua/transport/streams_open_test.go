package transport

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/internal/siptest"
)

// Peers can have us open connections; not more than the limits allow.
func TestOpenedConnectionsAreBounded(t *testing.T) {
	yaml := strings.Replace(stackConfig, "sip: {", "sip: {limits: {connections: 1, connections_per_source: 1}, ", 1)
	inPlace(t, yaml, func(p *place) {
		first, second := p.listener(siptest.Agent), p.listener(siptest.Agent2)
		if _, err := p.connect(siptest.Agent); err != nil {
			t.Fatal(err)
		}
		if _, err := p.connect(siptest.Agent2); !errors.Is(err, errTooMany) || p.dials.Load() != 1 {
			t.Errorf("a second connection: %v after %d are tried", err, p.dials.Load())
		}
		conn, err := first.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		synctest.Wait()
		if _, err := p.connect(siptest.Agent2); err != nil {
			t.Errorf("when the first is closed: %v", err)
		}
		if conn, err = second.Accept(); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		synctest.Wait()
		if n := p.stack.streams.dialled; n != 0 {
			t.Errorf("%d are counted when none is open", n)
		}
	})
}

// A stranger whose address becomes a trunk's while it connects is counted out
// as it was counted in.
func TestStrangerBecomesTrunk(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		s, at := p.stack.streams, netip.MustParseAddrPort("198.51.100.1:5070")
		l := p.listener(at)
		peer, err := p.sw.DialStream(context.Background(), netip.MustParseAddr("203.0.113.66"), at)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		remote := message.ParseSource(conn.RemoteAddr().String())
		stranger, ok := s.countAccepted(config.TransportTCP, remote)
		if !ok || !stranger || s.strangers != 1 {
			t.Errorf("%v is let in: %v, as a stranger: %v", remote, ok, stranger)
		}
		p.Reload(parsed(t, strings.Replace(stackConfig, `"192.0.2.10"`, `"192.0.2.10", "203.0.113.66"`, 1)), nil)
		s.greet(conn, config.TransportTCP, remote, stranger)
		peer.Close()
		synctest.Wait()
		if s.strangers != 0 || s.accepted != 0 {
			t.Errorf("%d strangers of %d connections are left", s.strangers, s.accepted)
		}
	})
}

// How long messages wait is also looked at where they come over connections.
func TestOverloadOverConnections(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		conn, err := p.sw.DialStream(context.Background(), siptest.Carrier.Addr(), siptest.Ours)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(siptest.CRLF(siptest.OptionsOverTCP)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 8)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "SIP/2.0 " {
			t.Errorf("answer %q, %v", answer, err)
		}
		synctest.Wait()
		if p.stack.load.probed.IsZero() {
			t.Error("nothing was measured")
		}
	})
}
