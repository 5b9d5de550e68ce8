package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/pion/rtp"
	"github.com/rs/zerolog"
)

// patience bounds each wait.
const patience = 20 * time.Second

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// testBot is a bot. Its handler runs for each socket.
type testBot struct {
	*httptest.Server
	t *testing.T

	mu   sync.Mutex
	got  []map[string]any
	conn *websocket.Conn
}

func newTestBot(t *testing.T, upgrade func(w http.ResponseWriter) bool) *testBot {
	b := &testBot{t: t}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if upgrade != nil && !upgrade(w) {
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		c.SetReadLimit(1 << 20)
		b.mu.Lock()
		b.conn = c
		b.mu.Unlock()
		for {
			_, text, err := c.Read(context.Background())
			if err != nil {
				return
			}
			var m map[string]any
			if json.Unmarshal(text, &m) != nil {
				t.Errorf("no JSON: %s", text)
			}
			b.mu.Lock()
			b.got = append(b.got, m)
			b.mu.Unlock()
		}
	}))
	t.Cleanup(func() { b.CloseClientConnections(); b.Close() })
	return b
}

func (b *testBot) at() string { return "ws" + strings.TrimPrefix(b.URL, "http") }

// say sends a message.
func (b *testBot) say(text string) {
	b.t.Helper()
	b.mu.Lock()
	c := b.conn
	b.mu.Unlock()
	if err := c.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		b.t.Error(err)
	}
}

// events returns the messages of one kind so far.
func (b *testBot) events(event string) (all []map[string]any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.got {
		if m["event"] == event {
			all = append(all, m)
		}
	}
	return all
}

// peer plays the B2BUA.
type peer struct {
	t       *testing.T
	g       *Gateway
	cache   *sipgo.DialogClientCache
	rtp     *net.UDPConn
	byes    chan string
	invites chan string // user parts of the Contacts of re-INVITEs
	law     uint8
	within  time.Duration // that an upgrade may take
	tell    func(string)
	mu      sync.Mutex
	heard   []byte
}

func newPeer(t *testing.T, g *Gateway) *peer {
	t.Helper()
	p := &peer{t: t, g: g, within: patience, byes: make(chan string, 10), invites: make(chan string, 10)}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ua, _ := sipgo.NewUA()
	server, _ := sipgo.NewServer(ua)
	client, err := sipgo.NewClient(ua, sipgo.WithClientConnectionAddr(conn.LocalAddr().String()), sipgo.WithClientNAT())
	if err != nil {
		t.Fatal(err)
	}
	at := conn.LocalAddr().(*net.UDPAddr)
	p.cache = sipgo.NewDialogClientCache(client, sip.ContactHeader{
		Address: sip.Uri{Scheme: "sip", User: "b", Host: "127.0.0.1", Port: at.Port},
	})
	if p.rtp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	server.OnBye(func(req *sip.Request, tx sip.ServerTransaction) {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 200, "OK", nil))
		p.byes <- req.GetHeader("Reason").Value()
	})
	server.OnInvite(func(req *sip.Request, tx sip.ServerTransaction) {
		res := sip.NewResponseFromRequest(req, 200, "OK", []byte(p.sdp("sendrecv")))
		res.AppendHeader(contact("b", netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(at.Port))))
		_ = tx.Respond(res)
		p.invites <- req.Contact().Address.String()
	})
	server.OnAck(func(*sip.Request, sip.ServerTransaction) {})
	ready := &socket{PacketConn: conn, ready: make(chan struct{})}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.ServeUDP(ready) }()
	<-ready.ready
	listened := make(chan struct{})
	go func() { defer close(listened); p.listen() }()
	t.Cleanup(func() { _ = conn.Close(); _ = p.rtp.Close(); _ = ua.Close(); <-served; <-listened })
	return p
}

func (p *peer) listen() {
	buf := make([]byte, 2048)
	var k rtp.Packet
	for {
		n, err := p.rtp.Read(buf)
		if err != nil {
			return
		}
		if k.Unmarshal(buf[:n]) == nil && (k.PayloadType == pcmu || k.PayloadType == pcma) {
			p.mu.Lock()
			p.heard = append(p.heard, k.Payload...)
			p.mu.Unlock()
		}
	}
}

// words returns what the caller has heard, without silence.
func (p *peer) words() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.ReplaceAll(p.heard, []byte{silentByte}, nil)
}

func (p *peer) sdp(mode string) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"+
		"m=audio %d RTP/AVP %d 101\r\na=rtpmap:101 telephone-event/8000\r\na=%s\r\n",
		p.rtp.LocalAddr().(*net.UDPAddr).Port, p.law, mode)
}

// call orders a call and sends its INVITE. It returns the dialog, or the refusal's status.
func (p *peer) call(ctx context.Context, at string) (*sipgo.DialogClientSession, int) {
	p.t.Helper()
	user, addr, err := p.g.Order(Request{
		Access: NewAccess(AccessOptions{AccountSID: ids.account}), Within: p.within, Tell: p.tell,
		CallSID: ids.call, URL: at, Parameters: json.RawMessage(`{"a":"b"}`),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	d, err := p.cache.Invite(ctx, sip.Uri{Scheme: "sip", User: user, Host: "127.0.0.1", Port: int(addr.Port())},
		[]byte(p.sdp("sendrecv")), sip.NewHeader("Content-Type", "application/sdp"))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := d.WaitAnswer(ctx, sipgo.AnswerOptions{}); err != nil {
		if d.InviteResponse != nil {
			return nil, d.InviteResponse.StatusCode
		}
		return nil, 0
	}
	if err := d.Ack(ctx); err != nil {
		p.t.Fatal(err)
	}
	return d, 200
}

// send sends RTP to the gateway.
func (p *peer) send(d *sipgo.DialogClientSession, kind uint8, seq uint16, stamp uint32, payload []byte) {
	p.t.Helper()
	s, err := parseSession(d.InviteResponse.Body())
	if err != nil {
		p.t.Fatal(err)
	}
	k := rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: kind, SequenceNumber: seq, Timestamp: stamp, SSRC: 1},
		Payload: payload,
	}
	b, _ := k.Marshal()
	if _, err := p.rtp.WriteToUDPAddrPort(b, s.addr); err != nil {
		p.t.Error(err)
	}
}

func newGateway(t *testing.T) *Gateway {
	t.Helper()
	g, err := Open(Options{Key: [32]byte{7}, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// connect returns a gateway, the B2BUA, and a bot that has a call in PCMU or PCMA.
func connect(t *testing.T, law uint8) (*Gateway, *peer, *testBot, *sipgo.DialogClientSession) {
	t.Helper()
	g := newGateway(t)
	p, b := newPeer(t, g), newTestBot(t, nil)
	p.law = law
	d, code := p.call(deadline(t), b.at())
	if code != 200 {
		t.Fatalf("got %d", code)
	}
	eventually(t, "the bot has start", func() bool { return len(b.events("start")) == 1 })
	return g, p, b, d
}

// resume lets a gateway continue a call.
func (p *peer) resume(g *Gateway, a *Access, d *sipgo.DialogClientSession) error {
	p.t.Helper()
	return g.Resume(a, d.InviteRequest.CallID().Value(), d.InviteResponse.Contact().Address.String(), nil)
}
