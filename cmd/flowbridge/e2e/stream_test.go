//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// streamPeer sends and receives SIP over one connection, without a SIP stack: as a carrier that
// opened the connection, or as an agent that accepted it.
type streamPeer struct {
	*stage
	conn net.Conn
	in   chan message // closed when the connection is
	seen []message    // messages returned by await
}

// connect opens a connection to the B2BUA. If secure is not nil, it uses TLS.
func (s *stage) connect(from netip.Addr, secure *tls.Config) *streamPeer {
	s.Helper()
	p, err := s.tryConnect(from, secure)
	must(s, err)
	return p
}

func (s *stage) tryConnect(from netip.Addr, secure *tls.Config) (*streamPeer, error) {
	s.Helper()
	transport := "tcp"
	if secure != nil {
		transport = "tls"
	}
	dialer := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := dialer.Dial("tcp", s.server.at(transport, from).String())
	if err != nil {
		return nil, err
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	return s.speak(conn)
}

// speak does the TLS handshake if necessary, and starts reading.
func (s *stage) speak(conn net.Conn) (*streamPeer, error) {
	s.Cleanup(func() { conn.Close() })
	if tc, ok := conn.(*tls.Conn); ok {
		_ = tc.SetDeadline(time.Now().Add(patience))
		if err := tc.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		_ = tc.SetDeadline(time.Time{})
	}
	p := &streamPeer{stage: s, conn: conn, in: make(chan message, 100)}
	go p.read()
	return p, nil
}

func (p *streamPeer) read() {
	defer close(p.in)
	in := bufio.NewReader(p.conn)
	for {
		var m message
		for !strings.HasSuffix(m.raw, "\r\n\r\n") {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			m.raw += line
		}
		size, err := strconv.Atoi(m.header("Content-Length"))
		if err != nil {
			p.Errorf("no Content-Length in\n%s", m.raw)
			return
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		m.raw += string(body)
		p.in <- m
	}
}

// await returns the next message that begins with start. It skips 100 and repeated messages, and
// fails on any other.
func (p *streamPeer) await(start string) message {
	p.Helper()
	late := time.After(patience)
	for {
		select {
		case m, open := <-p.in:
			switch {
			case !open:
				p.Fatalf("waiting for %q, the connection was closed", start)
			case slices.Contains(p.seen, m):
			case strings.HasPrefix(m.raw, start):
				p.seen = append(p.seen, m)
				return m
			case !strings.HasPrefix(m.raw, "SIP/2.0 100 "):
				p.Fatalf("waiting for %q, got:\n%s", start, m.raw)
			}
		case <-late:
			p.Fatalf("%v waited for %q in vain", p.conn.LocalAddr(), start)
		}
	}
}

// closed fails unless the B2BUA closes the connection without sending anything before.
func (p *streamPeer) closed() {
	p.Helper()
	select {
	case m, open := <-p.in:
		if open {
			p.Errorf("before it was closed, the connection got:\n%s", m.raw)
		}
	case <-time.After(patience):
		p.Errorf("the connection is not closed")
	}
}

// reset ends the connection like a crash.
func (p *streamPeer) reset() {
	p.Helper()
	tcp, ok := p.conn.(*net.TCPConn)
	if !ok {
		p.Fatal("not a TCP connection")
	}
	_ = tcp.SetLinger(0)
	tcp.Close()
	for range p.in { // read to the end
	}
}

func (p *streamPeer) send(text string) {
	p.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.Fatal(err)
	}
}

// trySend is like send, but the connection may already be closed.
func (p *streamPeer) trySend(text string) { _, _ = io.WriteString(p.conn, text) }

// transport returns the peer's transport, as Via spells it.
func (p *streamPeer) transport() string {
	if _, ok := p.conn.(*tls.Conn); ok {
		return "TLS"
	}
	return "TCP"
}

func (p *streamPeer) contact() string {
	return fmt.Sprintf("<sip:peer@%v;transport=%s>", p.conn.LocalAddr(), strings.ToLower(p.transport()))
}

// sdp returns an offer or answer of audio at an unused address.
func (p *streamPeer) sdp() string {
	host := p.conn.LocalAddr().(*net.TCPAddr).IP
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", host)
}

// request returns a carrier's request, either outside a dialog or within the dialog of an answer.
func (p *streamPeer) request(method, callID string, seq int, answer message) string {
	uri, to, sdp, kind := "sip:"+called+"@"+p.conn.RemoteAddr().String(), "", "", ""
	to = "<" + uri + ">"
	if answer.raw != "" {
		uri, to = strings.Trim(answer.header("Contact"), "<>"), answer.header("To")
	}
	if method == "INVITE" {
		sdp, kind = p.sdp(), "Content-Type: application/sdp\r\n"
	}
	return fmt.Sprintf("%[1]s %[2]s SIP/2.0\r\nVia: SIP/2.0/%[3]s %[4]v;branch=z9hG4bK%[1]s%[5]s;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%[6]s@%[4]v>;tag=peer\r\nTo: %[7]s\r\nCall-ID: %[5]s\r\nCSeq: %[8]d %[1]s\r\nContact: %[9]s\r\n%[10]sContent-Length: %[11]d\r\n\r\n%[12]s",
		method, uri, p.transport(), p.conn.LocalAddr(), callID, caller, to, seq, p.contact(), kind, len(sdp), sdp)
}

// respond answers a request.
func (p *streamPeer) respond(req message, status string) {
	p.Helper()
	to, sdp, kind := req.header("To"), "", ""
	if tag(to) == "" {
		to += ";tag=agent"
	}
	if strings.HasPrefix(req.raw, "INVITE ") && status == "200 OK" {
		sdp, kind = p.sdp(), "Content-Type: application/sdp\r\n"
	}
	p.send(fmt.Sprintf("SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		status, req.header("Via"), req.header("From"), to, req.header("Call-ID"), req.header("CSeq"), p.contact(), kind, len(sdp), sdp))
}

// call places a carrier's call, which is answered, and hangs up.
func (p *streamPeer) call(id string) {
	p.Helper()
	ok := p.setUp(id)
	p.hangUp(id, ok)
}

// setUp starts a call and returns its answer.
func (p *streamPeer) setUp(id string) message {
	p.Helper()
	p.send(p.request("INVITE", id, 1, message{}))
	p.await("SIP/2.0 180")
	ok := p.await("SIP/2.0 200")
	p.send(p.request("ACK", id, 1, ok))
	return ok
}

func (p *streamPeer) hangUp(id string, ok message) {
	p.Helper()
	p.send(p.request("BYE", id, 2, ok))
	p.await("SIP/2.0 200")
}

// streamAgent accepts the connections of the B2BUA.
type streamAgent struct {
	*stage
	net.Listener
	secure *tls.Config // nil for TCP
}

// streamAgent listens at the target's address.
func (s *stage) streamAgent(secure *tls.Config) *streamAgent {
	s.Helper()
	l, err := net.Listen("tcp", s.agent.String())
	must(s, err)
	s.Cleanup(func() { l.Close() })
	return &streamAgent{s, l, secure}
}

// accept returns the next connection.
func (a *streamAgent) accept() (*streamPeer, error) {
	a.Helper()
	_ = a.Listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := a.Accept()
	must(a, err)
	if a.secure != nil {
		conn = tls.Server(conn, a.secure)
	}
	return a.speak(conn)
}

// mustAccept is like accept, but the handshake must succeed.
func (a *streamAgent) mustAccept() *streamPeer {
	a.Helper()
	p, err := a.accept()
	must(a, err)
	return p
}
