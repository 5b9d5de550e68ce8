package browser

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"flowbridge/gateway/dialog"
)

// patience bounds each wait.
const patience = 20 * time.Second

const proof = "PROOF-OF-THIS-PROCESS"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// proving accepts connections, of which it reads the proof.
type proving struct {
	net.Listener
	t *testing.T
}

func (p proving) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	shown := make([]byte, len(proof))
	if _, err := io.ReadFull(c, shown); err != nil || string(shown) != proof {
		p.t.Errorf("the connection begins with %q, %v", shown, err)
	}
	return c, nil
}

// server plays the B2BUA.
type server struct {
	t        *testing.T
	listener net.Listener
	client   *sipgo.Client
	answer   func(req *sip.Request, tx sip.ServerTransaction)
	bye      int // status of the answers to BYE

	mu  sync.Mutex
	got []*sip.Request
}

func newServer(t *testing.T, answer func(*sip.Request, sip.ServerTransaction)) *server {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	s := &server{t: t, listener: l, answer: answer, bye: 200}
	quiet := slog.New(slog.DiscardHandler)
	ua, err := sipgo.NewUA(sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(quiet)))
	must(t, err)
	srv, err := sipgo.NewServer(ua, sipgo.WithServerLogger(quiet))
	must(t, err)
	s.client, err = sipgo.NewClient(ua, sipgo.WithClientLogger(quiet), sipgo.WithClientAddr(l.Addr().String()))
	must(t, err)
	for _, m := range []sip.RequestMethod{sip.INVITE, sip.ACK, sip.BYE, sip.CANCEL} {
		srv.OnRequest(m, func(req *sip.Request, tx sip.ServerTransaction) {
			s.mu.Lock()
			s.got = append(s.got, req)
			s.mu.Unlock()
			switch req.Method {
			case sip.INVITE:
				tx.OnCancel(func(r *sip.Request) {
					s.mu.Lock()
					s.got = append(s.got, r)
					s.mu.Unlock()
				})
				s.answer(req, tx)
			case sip.BYE:
				_ = tx.Respond(sip.NewResponseFromRequest(req, s.bye, "Said So", nil))
			default: // an ACK, or a CANCEL that came too late
			}
		})
	}
	go func() { _ = srv.ServeTCP(proving{l, t}) }()
	t.Cleanup(func() { _ = l.Close(); _ = ua.Close() })
	return s
}

// wait waits for a request.
func (s *server) wait(method sip.RequestMethod) *sip.Request {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		s.mu.Lock()
		for _, r := range s.got {
			if r.Method == method {
				s.mu.Unlock()
				return r
			}
		}
		s.mu.Unlock()
		if time.Now().After(end) {
			s.t.Fatalf("no %s came", method)
		}
	}
}

// respond answers with our tag and Contact.
func (s *server) respond(req *sip.Request, tx sip.ServerTransaction, code int, reason, body string, headers ...string) {
	if _, has := req.To().Params.Get("tag"); !has && code > 100 {
		req.To().Params.Add("tag", "b2bua")
	}
	res := sip.NewResponseFromRequest(req, code, reason, []byte(body))
	res.AppendHeader(sip.NewHeader("Contact", "<sip:"+s.listener.Addr().String()+";transport=tcp>"))
	for i := 0; i < len(headers); i += 2 {
		res.AppendHeader(sip.NewHeader(headers[i], headers[i+1]))
	}
	_ = tx.Respond(res)
}

// gateway opens one toward the server.
func (s *server) gateway(key byte) *Gateway {
	s.t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(s.t, err)
	g, err := Open(Options{Key: [32]byte{key}, Listener: l, Server: addrOf(s.listener), Proof: proof})
	must(s.t, err)
	s.t.Cleanup(func() { _ = g.Close() })
	return g
}

var wanted = Call{To: "+15075785607", By: "anna", Offer: []byte("v=0\r\n" + strings.Repeat("a=x\r\n", 1000))}

// TestCall: the answer is the first description, the 200 is acknowledged, and the call is hung up by its location, also
// by the next process.
func TestCall(t *testing.T) {
	answered := make(chan struct{})
	var s *server
	s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) {
		s.respond(req, tx, 100, "Trying", "")
		s.respond(req, tx, 180, "Ringing", "")
		s.respond(req, tx, 183, "Session Progress", "early")
		go func() {
			<-answered
			s.respond(req, tx, 200, "OK", "final")
		}()
	})
	g := s.gateway(1)
	a, err := g.Call(t.Context(), wanted)
	must(t, err)
	if string(a.SDP) != "early" {
		t.Errorf("the answer is %q", a.SDP)
	}
	invite := s.wait(sip.INVITE)
	if invite.Recipient.User != wanted.To || invite.From().Address.User != "anna" ||
		string(invite.Body()) != string(wanted.Offer) {
		t.Errorf("the INVITE is %v", invite)
	}
	close(answered)
	s.wait(sip.ACK)
	if id, by, err := g.Read(a.Location); err != nil || id != a.CallID || by != "anna" {
		t.Errorf("the location is of %q by %q, %v", id, by, err)
	}
	must(t, g.Close())

	next := s.gateway(1)
	must(t, next.Hangup(t.Context(), a.Location))
	bye := s.wait(sip.BYE)
	tag, _ := bye.To().Params.Get("tag")
	if bye.CallID().Value() != a.CallID || tag != "b2bua" || bye.CSeq().SeqNo <= invite.CSeq().SeqNo {
		t.Errorf("the BYE is %v", bye)
	}
	if err := s.gateway(2).Hangup(t.Context(), a.Location); !errors.Is(err, ErrLocation) {
		t.Errorf("another node hangs up: %v", err)
	}
}

// TestRefused: a refusal has its words and its Retry-After.
func TestRefused(t *testing.T) {
	var s *server
	s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) {
		s.respond(req, tx, 503, "Service Unavailable", "", "Retry-After", "7 (busy);duration=60", "Warning",
			`399 flowbridge "no agent is free"`)
	})
	_, err := s.gateway(1).Call(t.Context(), wanted)
	if not := (*RefusedError)(nil); !errors.As(err, &not) || not.Code != 503 || not.RetryAfter != 7*time.Second ||
		not.Error() != "503 Service Unavailable: no agent is free" {
		t.Errorf("got %v", err)
	}
}

// TestCancel: a browser that leaves while it rings cancels its call, and one that leaves when the answer is on its way
// hangs up.
func TestCancel(t *testing.T) {
	for _, late := range []bool{false, true} {
		var s *server
		s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) {
			s.respond(req, tx, 180, "Ringing", "")
			go func() {
				s.wait(sip.CANCEL)
				if late {
					s.respond(req, tx, 200, "OK", "final")
				} else {
					s.respond(req, tx, 487, "Request Terminated", "")
				}
			}()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			s.wait(sip.INVITE)
			cancel()
		}()
		if _, err := s.gateway(1).Call(ctx, wanted); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		s.wait(sip.CANCEL)
		s.wait(sip.ACK)
		if late {
			s.wait(sip.BYE)
		}
	}
}

// TestHangupWhileRinging: the location of an early answer cancels.
func TestHangupWhileRinging(t *testing.T) {
	var s *server
	s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) {
		s.respond(req, tx, 183, "Session Progress", "early")
		go func() {
			s.wait(sip.CANCEL)
			s.respond(req, tx, 487, "Request Terminated", "")
		}()
	})
	g := s.gateway(1)
	a, err := g.Call(t.Context(), wanted)
	must(t, err)
	must(t, g.Hangup(t.Context(), a.Location))
	s.wait(sip.CANCEL)
}

// TestHangupAtTheAnswer: a browser that leaves while its answer is being handled hangs up, whichever comes first.
func TestHangupAtTheAnswer(t *testing.T) {
	answered := make(chan struct{})
	var s *server
	s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) {
		s.respond(req, tx, 183, "Session Progress", "early")
		go func() {
			<-answered
			s.respond(req, tx, 200, "OK", "final")
		}()
	})
	g := s.gateway(1)
	a, err := g.Call(t.Context(), wanted)
	must(t, err)
	g.mu.Lock()
	p := g.pending[a.CallID]
	g.mu.Unlock()
	close(answered)
	for ; ; time.Sleep(time.Millisecond) {
		g.mu.Lock()
		_, waits := g.pending[a.CallID]
		g.mu.Unlock()
		if !waits {
			break
		}
	}
	must(t, p.cancel())
	s.wait(sip.BYE)
}

// TestRefusedBye: only what ends a dialog counts as its end.
func TestRefusedBye(t *testing.T) {
	var s *server
	s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) { s.respond(req, tx, 200, "OK", "final") })
	g := s.gateway(1)
	a, err := g.Call(t.Context(), wanted)
	must(t, err)
	s.wait(sip.ACK)
	for _, code := range []int{403, 500, 481, 408, 200} {
		s.bye = code
		if err := g.Hangup(t.Context(), a.Location); (err == nil) != (code != 403 && code != 500) {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// TestCallsFromItsAddress: calls come from the address that the gateway listens at, because an answer that has lost its
// connection is sent there.
func TestCallsFromItsAddress(t *testing.T) {
	var s *server
	s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) { s.respond(req, tx, 503, "No", "") })
	l, err := net.Listen("tcp4", "127.0.0.2:0")
	must(t, err)
	g, err := Open(Options{Listener: l, Server: addrOf(s.listener), Proof: proof})
	must(t, err)
	t.Cleanup(func() { _ = g.Close() })
	_, _ = g.Call(t.Context(), wanted)
	if from := s.wait(sip.INVITE).Source(); !strings.HasPrefix(from, "127.0.0.2:") {
		t.Errorf("the INVITE comes from %s", from)
	}
}

// TestConnectionFromTheServersAddress: a connection from the B2BUA's own address is closed, because requests would be
// sent over it.
func TestConnectionFromTheServersAddress(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp4", l.Addr().String())
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	bad, good := dial(), dial()
	c, err := fromOthers{l, netip.MustParseAddrPort(bad.LocalAddr().String())}.Accept()
	must(t, err)
	defer c.Close()
	if c.RemoteAddr().String() != good.LocalAddr().String() {
		t.Errorf("accepted %v", c.RemoteAddr())
	}
	if _, err := bad.Read(make([]byte, 1)); err == nil {
		t.Error("the stranger's connection is open")
	}
}

// TestWithoutMemory: what is asked of a browser is answered by a process that doesn't know the call, and so is the 200
// to the INVITE of an earlier process.
func TestWithoutMemory(t *testing.T) {
	s := newServer(t, nil)
	g := s.gateway(1)
	d := dialog.Dialog{
		CallID: "old", LocalTag: "b2bua", RemoteTag: "browser", Local: "sip:+1@127.0.0.1", Remote: "sip:anna@127.0.0.1",
		Target: g.contact().Address.String(),
	}
	for _, tt := range []struct {
		method sip.RequestMethod
		body   string
		want   int
	}{
		{sip.OPTIONS, "", 200},
		{sip.INVITE, "v=0", 488},
		{sip.UPDATE, "v=0", 488},
		{sip.UPDATE, "", 200},
		{sip.BYE, "", 200},
		{sip.INFO, "x", 405},
	} {
		req := d.Request(tt.method, 7)
		req.SetBody([]byte(tt.body))
		req.SetTransport("TCP")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		res, err := s.client.Do(ctx, req)
		cancel()
		if err != nil || res.StatusCode != tt.want {
			t.Errorf("%s %q: %v, %v; want %d", tt.method, tt.body, res, err, tt.want)
		}
	}
	invite := d.Request(sip.INVITE, 1)
	invite.SetBody(nil)
	res := sip.NewResponseFromRequest(invite, 200, "OK", []byte("v=0"))
	res.AppendHeader(sip.NewHeader("Contact", "<sip:"+s.listener.Addr().String()+";transport=tcp>"))
	res.ReplaceHeader(&sip.ContactHeader{Address: sip.Uri{Scheme: "sip", Host: "127.0.0.1"}})
	g.onStray(res)
	if ack := s.wait(sip.ACK); ack.CSeq().SeqNo != 1 || ack.CallID().Value() != "old" {
		t.Errorf("the ACK is %v", ack)
	}
}

// TestAddresses: they are loopback addresses, the same for a key, and others for another one.
func TestAddresses(t *testing.T) {
	a, b := Addresses([32]byte{1})
	c, _ := Addresses([32]byte{2})
	if again, _ := Addresses([32]byte{1}); again != a || a == c || a == b || !a.Addr().IsLoopback() ||
		a.Addr() != b.Addr() {
		t.Errorf("%v, %v and %v, %v", a, b, c, again)
	}
}

func addrOf(l net.Listener) netip.AddrPort {
	return netip.MustParseAddrPort(l.Addr().String())
}
