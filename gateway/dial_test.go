package gateway

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// named makes every host name lead to these addresses, until the end of the test.
func named(t *testing.T, addresses ...string) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(ready) }}
	server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		for _, text := range addresses {
			ip := netip.MustParseAddr(text)
			h := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
			switch {
			case ip.Is4() && h.Rrtype == dns.TypeA:
				answer.Answer = append(answer.Answer, &dns.A{Hdr: h, A: ip.AsSlice()})
			case ip.Is6() && h.Rrtype == dns.TypeAAAA:
				answer.Answer = append(answer.Answer, &dns.AAAA{Hdr: h, AAAA: ip.AsSlice()})
			}
		}
		_ = w.WriteMsg(answer)
	})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	<-ready
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = before; _ = server.Shutdown(); <-done })
}

// TestPrivateNames: a name that leads to an address that only this machine or network reaches is refused, in all
// notations of the address.
func TestPrivateNames(t *testing.T) {
	a := NewAccess(AccessOptions{})
	for _, ip := range []string{
		"127.0.0.1", "10.1.2.3", "100.64.0.7", "169.254.169.254", "::1", "fd00::7",
		"64:ff9b::7f00:1",
	} {
		t.Run(ip, func(t *testing.T) {
			named(t, ip)
			conn, err := a.Dial(deadline(t), "ws://bot.example.com:9/")
			if conn != nil || !errors.Is(err, errPrivate) {
				t.Errorf("got %v", err)
			}
		})
	}
	named(t)
	if _, err := a.Dial(deadline(t), "ws://bot.example.com:9/"); err == nil || errors.Is(err, errPrivate) {
		t.Errorf("a name without an address got %v", err)
	}
}

// TestAddressItself: a URL with an address of this machine is the file's own wish.
func TestAddressItself(t *testing.T) {
	b := newTestBot(t, nil)
	conn, err := NewAccess(AccessOptions{}).Dial(deadline(t), b.at())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseNow()
}

// answering answers each request, without the network.
type answering func(*http.Request) *http.Response

func (f answering) RoundTrip(req *http.Request) (*http.Response, error) { return f(req), nil }

// TestSlowRefusal: a refusal whose body does not come takes no time, nor does an acceptance that breaks RFC 6455
// section 4.1: the caller waits for the next target.
func TestSlowRefusal(t *testing.T) {
	for what, tt := range map[string]struct {
		status, want int
		wrong        http.Header
	}{
		"a status":           {503, 503, nil},
		"a wrong key":        {101, 0, http.Header{"Sec-Websocket-Accept": {"bm8="}}},
		"a wrong Connection": {101, 0, http.Header{"Connection": {"close"}}},
		"a wrong Upgrade":    {101, 0, http.Header{"Upgrade": {"h2c"}}},
		"a subprotocol":      {101, 0, http.Header{"Sec-Websocket-Protocol": {"audio"}}},
		"an extension":       {101, 0, http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := NewAccess(AccessOptions{})
			body, _ := net.Pipe()
			a.client.Transport = answering(func(req *http.Request) *http.Response {
				key := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
				h := http.Header{
					"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
					"Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(key[:])},
				}
				maps.Copy(h, tt.wrong)
				return &http.Response{StatusCode: tt.status, Header: h, Body: body, Request: req}
			})
			begun := time.Now()
			_, err := a.Dial(t.Context(), "wss://bot.example.com/")
			if refused, _ := errors.AsType[*RefusedError](err); refused == nil || refused.Status != tt.want {
				t.Errorf("%s: got %v", what, err)
			}
			if took := time.Since(begun); took > 0 {
				t.Errorf("%s: it took %v", what, took)
			}
			if _, err := body.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: the body is not closed: %v", what, err)
			}
		})
	}
}

// TestOrigin: an upgrade, with its token, goes only to the origin that the target names.
func TestOrigin(t *testing.T) {
	for _, tt := range []struct {
		of, at string
		same   bool
	}{
		{"wss://bot.example.com", "wss://bot.example.com/media?x=y", true},
		{"wss://bot.example.com", "WSS://Bot.Example.com:443/", true},
		{"ws://127.0.0.1:80", "ws://127.0.0.1/", true},
		{"ws://[fd00::7]:8765", "ws://[FD00::7]:8765/", true},
		{"wss://bot.example.com", "ws://bot.example.com/", false},
		{"wss://bot.example.com", "wss://bot.example.com:8443/", false},
		{"wss://bot.example.com", "wss://bot.example.com.example.net/", false},
		{"wss://bot.example.com", "wss://bot.example.com@example.net/", false},
		{"wss://bot.example.com", "::", false},
	} {
		if got := originOf(tt.of) == originOf(tt.at); got != tt.same {
			t.Errorf("%s and %s: %v", tt.of, tt.at, got)
		}
	}
}

// TestResumeElsewhere: if a target's url leads elsewhere after a reload, a call of before is lost: the bot of then must
// not get the token of now.
func TestResumeElsewhere(t *testing.T) {
	old, p, b, d := connect(t, pcmu)
	old.Mute(true)
	_ = old.Close()
	next := newGateway(t)
	now := NewAccess(AccessOptions{Token: "of-now", Origin: "wss://bot.example.com"})
	if err := p.resume(next, now, d); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-p.byes:
		if got != `Q.850;cause=41;text="bot_lost"` {
			t.Errorf("got %s", got)
		}
	case <-p.invites:
		t.Error("the call continues")
	}
	if n := len(b.events("start")); n != 1 {
		t.Errorf("the bot of before has got %d starts", n)
	}
}
