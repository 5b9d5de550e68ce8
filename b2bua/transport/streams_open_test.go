package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// A response over a connection that we opened may be longer than other messages. A connection that the peer opened is
// closed after such a response, like after a long request.
func TestLongResponses(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		l := p.listener(siptest.Agent)
		_, err := p.connect(siptest.Agent)
		must(t, err)
		opened, err := l.Accept()
		must(t, err)
		accepted, err := p.sw.DialStream(context.Background(), siptest.Carrier.Addr(), ours)
		must(t, err)
		for _, tt := range []struct {
			name string
			conn net.Conn
			size int
			kept bool
		}{
			{"opened by us", opened, maxMessage, true},
			{"opened by us", opened, maxMessage + 1, true},
			{"opened by us", opened, maxResponse, true},
			{"opened by the peer", accepted, maxMessage, true},
			{"opened by the peer", accepted, maxMessage + 1, false},
			{"opened by us", opened, maxResponse + 1, false},
		} {
			head := string(siptest.CRLF("SIP/2.0 200 OK\nVia: SIP/2.0/TCP 198.51.100.1:5060;branch=" + minter.Branch("x") +
				"\nFrom: <sip:a@b>;tag=x\nTo: <sip:c@d>;tag=y\nCall-ID: id\nCSeq: 1 INVITE\nContent-Length: 12345\n\n"))
			body := strings.Repeat("x", tt.size-len(head))
			text := strings.Replace(head, "12345", fmt.Sprintf("%05d", len(body)), 1) + body
			_, _ = io.WriteString(tt.conn, text+"\r\n\r\n") // a keep-alive, which is answered while messages are read
			got, _ := io.ReadAll(io.LimitReader(tt.conn, 2))
			if kept := string(got) == "\r\n"; kept != tt.kept {
				t.Errorf("%s, %d bytes: got %q; kept %v, want %v", tt.name, tt.size, got, kept, tt.kept)
			}
		}
		opened.Close()
		accepted.Close()
		synctest.Wait()
	})
}

// Peers can cause us to open connections, but not more than the limits allow.
func TestOpenedConnectionsAreBounded(t *testing.T) {
	yaml := strings.Replace(stackConfig, "sip: {", "sip: {limits: {connections: 1}, ", 1)
	inPlace(t, yaml, func(p *place) {
		first, second := p.listener(siptest.Agent), p.listener(siptest.Agent2)
		if _, err := p.connect(siptest.Agent); err != nil {
			t.Fatal(err)
		}
		if _, err := p.connect(siptest.Agent2); !errors.Is(err, errTooMany) || p.dials.Load() != 1 {
			t.Errorf("a second connection: %v after %d are tried", err, p.dials.Load())
		}
		conn, err := first.Accept()
		must(t, err)
		conn.Close()
		synctest.Wait()
		if _, err := p.connect(siptest.Agent2); err != nil {
			t.Errorf("when the first is closed: %v", err)
		}
		conn, err = second.Accept()
		must(t, err)
		conn.Close()
		synctest.Wait()
		if n := p.stack.streams.dialled; n != 0 {
			t.Errorf("%d are counted when none is open", n)
		}
	})
}

// A connection that is being closed stays in the table until its end is counted. It is not
// used for further messages, because they would be lost.
func TestEndingConnectionIsNotUsed(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		l := p.listener(siptest.Agent)
		c, err := p.connect(siptest.Agent)
		must(t, err)
		name := sentBy{siptest.Agent.Addr().String(), siptest.Agent.Port()}
		c.sentBy.Store(&name)
		s := p.stack.streams
		find := func() [3]bool {
			return [3]bool{
				s.find(c.key()) == c, s.findAny(c.transport, c.remote) == c,
				s.findSentBy(c.transport, c.remote.Addr(), name) == c,
			}
		}
		if got := find(); got != [3]bool{true, true, true} {
			t.Errorf("an open connection is found: %v", got)
		}
		c.closeOnce.Do(func() {
			close(c.closed) // the first step of closing it
			if got := find(); got != [3]bool{} {
				t.Errorf("an ending connection is found: %v", got)
			}
			if again, err := p.connect(siptest.Agent); err != nil || again == c {
				t.Errorf("a message goes over the connection that ends, or none: %v", err)
			}
			s.remove(c)
			c.Close()
		})
		for range 2 {
			conn, err := l.Accept()
			must(t, err)
			conn.Close()
		}
		synctest.Wait()
		if s.dialled != 0 {
			t.Errorf("%d connections are counted when none is open", s.dialled)
		}
	})
}

// If a reload makes a stranger's address a trunk's while it connects, the end of the
// connection is counted for the same group as its beginning.
func TestStrangerBecomesTrunk(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		s, at := p.stack.streams, netip.MustParseAddrPort("198.51.100.1:5070")
		l := p.listener(at)
		peer, err := p.sw.DialStream(context.Background(), netip.MustParseAddr("203.0.113.66"), at)
		must(t, err)
		conn, err := l.Accept()
		must(t, err)
		d := &listenerConns{}
		c := s.newStream(conn, config.TransportTCP, message.ParseSource(conn.RemoteAddr().String()), nil)
		if ok := s.reserveAccepted(c, d); !ok || len(d.strangers) != 1 {
			t.Errorf("%v is let in: %v, with %d strangers", c.remote, ok, len(d.strangers))
		}
		p.Reload(parsed(t, strings.Replace(stackConfig, `"192.0.2.10"`, `"192.0.2.10", "203.0.113.66"`, 1)), nil)
		s.handshake(c)
		peer.Close()
		synctest.Wait()
		if len(d.strangers) != 0 || d.accepted != 0 || len(s.perSource)+len(s.unproven) != 0 {
			t.Errorf("%d strangers of %d connections are left, of %v", len(d.strangers), d.accepted, s.perSource)
		}
	})
}

// The places for strangers' connections are shared among sources, where a /64 network
// counts as one. Each listener has separate places.
func TestPlacesOfStrangers(t *testing.T) {
	yaml := strings.Replace(stackConfig, "sip: {", "sip: {limits: {connections: 400}, ", 1)
	inPlace(t, yaml, func(p *place) {
		s, tcp, tls := p.stack.streams, &listenerConns{}, &listenerConns{}
		enter := func(d *listenerConns, addr string, port uint16) bool {
			here, _ := net.Pipe()
			c := s.newStream(here, config.TransportTCP, netip.AddrPortFrom(netip.MustParseAddr(addr), port), nil)
			return s.reserveAccepted(c, d)
		}
		for i := range 34 { // six places are left
			enter(tcp, fmt.Sprintf("192.0.2.%d", 100+i), 1)
		}
		for i := range uint16(10) { // addresses of one network
			if got, want := enter(tcp, fmt.Sprintf("2001:db8:0:1::%x", i), i), i < 4; got != want {
				t.Errorf("connection %d of a /64: let in %v; want %v", i, got, want)
			}
		}
		for i := range 6 { // the third to the fifth each displace a connection of that network
			if got, want := enter(tcp, fmt.Sprintf("203.0.113.%d", i), 1), i < 5; got != want {
				t.Errorf("stranger %d: let in %v; want %v", i, got, want)
			}
		}
		if n := s.unproven[netip.MustParseAddr("2001:db8:0:1::")]; n != 1 || len(tcp.strangers) != 40 {
			t.Errorf("the network has %d places of %d; want 1 of 40", n, len(tcp.strangers))
		}
		if enter(tcp, "203.0.113.1", 2) {
			t.Error("a stranger displaces another that has no more")
		}
		for c := range slices.Values(slices.Clone(tcp.strangers)) { // connections that have authenticated do not count
			if c.source == netip.MustParseAddr("203.0.113.2") {
				c.Prove()
			}
		}
		for i := range uint16(3) { // the first gets the free place
			if got, want := enter(tcp, "203.0.113.2", 10+i), i == 0; got != want {
				t.Errorf("connection %d of a source that is proven: let in %v; want %v", i, got, want)
			}
		}
		if n := s.perSource[netip.MustParseAddr("203.0.113.2")]; n != 2 {
			t.Errorf("the source has %d connections; want 2", n)
		}
		if !enter(tls, "203.0.113.9", 1) {
			t.Error("a full listener fills another one")
		}
	})
}

// Waiting times are measured for messages on connections as well.
func TestOverloadOverConnections(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		conn, err := p.sw.DialStream(context.Background(), siptest.Carrier.Addr(), siptest.Ours)
		must(t, err)
		defer conn.Close()
		if _, err := conn.Write(siptest.CRLF(siptest.OptionsOverTCP)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 8)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "SIP/2.0 " {
			t.Errorf("answer %q, %v", answer, err)
		}
		synctest.Wait()
		if p.stack.load.last.IsZero() {
			t.Error("nothing was measured")
		}
	})
}
