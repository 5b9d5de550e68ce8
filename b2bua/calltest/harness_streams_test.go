package calltest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/internal/memnet"
)

const streamConfig = `
sip: {listen: ["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"], limits: {connections: 200}}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"]}
targets:
  - {name: agent, kind: sip, transport: tcp, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
routes:
  - {to: "^\\+1507", targets: [agent]}
  - {to: "^\\+1508", targets: [agent, spare]}
  - {to: "^\\+1509", targets: [spare]}
`

// These are the server's limits for connections, as in docs/configuration.md.
const (
	firstMessage   = 10 * time.Second // for a stranger's first message, and for all of any message
	idleConnection = 30 * time.Minute
)

// endpoint is the socket or connection that a peer uses.
type endpoint interface {
	LocalAddr() net.Addr
	Close() error
}

// dial opens a connection of the server to a peer, from the server's own address.
func (w *world) dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	if from != ourAddr.Addr() {
		w.t.Errorf("the server dials from %v", from)
	}
	w.dials.Add(1)
	if w.holdDials != nil {
		<-w.holdDials
	}
	return w.sw.DialStream(ctx, from, to)
}

func (p *peer) transport() string {
	switch p.conn.(type) {
	case *tls.Conn:
		return config.TransportTLS
	case net.Conn:
		return config.TransportTCP
	default:
		return ""
	}
}

// transportParam returns the URI parameter for a transport.
func transportParam(transport string) string {
	if transport == "" {
		return ""
	}
	return ";transport=" + transport
}

// connect opens a connection to the server, from a peer that is allowed to send.
func (w *world) connect(from netip.Addr) *peer {
	w.t.Helper()
	conn, err := w.sw.DialStream(context.Background(), from, ourAddr)
	must(w.t, err)
	p := w.streamPeer(conn)
	w.connected = append(w.connected, p)
	return p
}

// streamPeer returns a peer on this connection, and starts reading it.
func (w *world) streamPeer(conn net.Conn) *peer {
	p := &peer{w: w, conn: conn, in: make(chan received, 1000)}
	w.opened = append(w.opened, conn)
	go func() {
		defer close(p.in)
		defer p.ended.Store(true)
		f := message.Framer{Src: conn, Limit: 65536}
		for {
			raw, err := f.Next()
			if errors.Is(err, message.ErrKeepAlive) {
				continue
			}
			if err != nil {
				return
			}
			m, err := readMessage(raw)
			if err != nil {
				w.t.Errorf("unreadable message: %v\n%s", err, raw)
				return
			}
			p.in <- received{m, string(raw)}
		}
	}()
	return p
}

// readMessage parses what the server sent.
func readMessage(raw []byte) (sip.Message, error) {
	if bytes.HasPrefix(raw, []byte("SIP/2.0 400 ")) { // the 400 may echo malformed headers, which a strict parser refuses
		return message.Parse(raw)
	}
	return sip.ParseMessage(raw)
}

// remote returns the server's end of a connection.
func (p *peer) remote() net.Addr { return p.conn.(net.Conn).RemoteAddr() }

// streamAgent is an agent that accepts connections from the server.
type streamAgent struct {
	w *world
	l *memnet.Listener
}

func (w *world) streamAgent(at netip.AddrPort) *streamAgent {
	w.t.Helper()
	l, err := w.sw.ListenStream(at)
	must(w.t, err)
	w.opened = append(w.opened, l)
	return &streamAgent{w, l}
}

func (a *streamAgent) accept() *peer {
	a.w.t.Helper()
	conn, err := a.l.Accept()
	if err != nil {
		a.w.t.Fatal(err)
	}
	return a.w.streamPeer(conn)
}

// hungUp fails the test unless the server closes the connection within d.
func (p *peer) hungUp(d time.Duration) {
	p.w.t.Helper()
	late := time.After(d)
	for {
		select {
		case m, ok := <-p.in:
			if !ok {
				return
			}
			p.w.t.Errorf("before it was closed, the connection got:\n%s", m.raw)
		case <-late:
			p.w.t.Fatal("the connection is not closed")
		}
	}
}

func (p *peer) drainFor(d time.Duration) {
	time.Sleep(d)
	p.rest()
}

// connections counts the open connections to the server.
func (w *world) connections() (open int) {
	for _, p := range w.connected {
		if !p.ended.Load() {
			open++
		}
	}
	return open
}
