package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// callee answers the requests of one test call as the test decides.
type callee struct {
	t    *testing.T
	conn *net.UDPConn

	mu  sync.Mutex
	got []string // methods that it has received

	sent []string // status lines that it has sent

	deaf atomic.Int32 // number of ACKs to ignore; each causes another 200
}

// newCallee starts a callee that answers each request with the lines that answer returns. An empty status means no
// answer.
func newCallee(t *testing.T, answer func(method string) (status, extra, body string)) *callee {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	c := &callee{t: t, conn: conn}
	go func() {
		b := make([]byte, 65536)
		var invite string
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			raw := string(b[:n])
			method, _, _ := strings.Cut(raw, " ")
			c.mu.Lock()
			c.got = append(c.got, method)
			c.mu.Unlock()
			if status, extra, body := answer(method); status != "" {
				c.reply(raw, from, status, extra, body)
			}
			switch method {
			case "INVITE":
				invite = raw
			case "CANCEL":
				c.reply(invite, from, "487 Request Terminated", "", "")
			case "ACK":
				if c.deaf.Add(-1) >= 0 {
					c.reply(invite, from, "200 OK", "", "")
				}
			}
		}
	}()
	return c
}

func (c *callee) reply(to string, addr netip.AddrPort, status, extra, body string) {
	text := "SIP/2.0 " + status + "\r\n"
	for l := range strings.SplitSeq(to, "\r\n") {
		switch name, _, _ := strings.Cut(l, ":"); name {
		case "To":
			text += strings.TrimSuffix(l, ";tag=callee") + ";tag=callee\r\n"
		case "Via", "From", "Call-ID", "CSeq":
			text += l + "\r\n"
		}
	}
	text += fmt.Sprintf("Contact: <sip:%s>\r\n%sContent-Length: %d\r\n\r\n%s", c.conn.LocalAddr(), extra, len(body), body)
	_, _ = c.conn.WriteToUDPAddrPort([]byte(text), addr)
	c.mu.Lock()
	c.sent = append(c.sent, status)
	c.mu.Unlock()
}

func (c *callee) uri() string { return "sip:100@" + c.conn.LocalAddr().String() }

func (c *callee) methods() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.got, " ")
}

// A complete call: it is answered, audio comes back, and it ends with BYE.
func TestCall(t *testing.T) {
	s, err := setStage(t.Context(), loopback)
	must(t, err)
	defer s.close()
	out, code := run(t, "call", "--to", fmt.Sprintf("sip:%s@%s", demoCalled, s.node.SIPAddr()), "--seconds", "1", "--header", "X-Test: yes")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, want := range []string{"|- INVITE sip:+15075785607@", "200 OK -|", "|- BYE sip:", "ended by us; our BYE got 200", "0 lost (0.0 %)", "we hear the other side"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// After a refusal with 404 or 503, the output names the command that shows why. Other refusals have no such hint.
func TestCallRefusedHint(t *testing.T) {
	for status, want := range map[string]string{
		"404 Not Found":           "this shows whether a route matches: flowbridge explain --source 127.0.0.1 --from flowbridge-test --to 100 --header 'X-A: it'\\''s'",
		"503 Service Unavailable": "flowbridge cdr list or the log (sip rejected) has the cause: a server that drains or is full keeps no record; this shows which targets the call has: flowbridge explain --source 127.0.0.1",
		"486 Busy Here":           "",
		"486 Busy\x1b[31m Here":   "", // commands to a terminal are removed
	} {
		c := newCallee(t, func(method string) (string, string, string) {
			if method == "INVITE" {
				return status, "", ""
			}
			return "", "", ""
		})
		out, code := run(t, "call", "--to", c.uri(), "--header", "X-A: it's")
		said, _, _ := strings.Cut("not answered: "+status, "\x1b")
		if code != 1 || !strings.Contains(out, said) || !strings.Contains(out, want) || strings.Contains(out, "explain") != (want != "") ||
			strings.Contains(out, "\x1b") {
			t.Errorf("%s: exit code %d\n%s", status, code, out)
		}
	}
}

// If the call is answered but no RTP comes, the command says so and fails. If a 200 is repeated after its ACK, it says
// that the ACK does not arrive, and where the Contact leads.
func TestCallOneWay(t *testing.T) {
	for deaf, wants := range map[int32][]string{
		0: {"one-way: we sent to 127.0.0.1:9, and nothing came back to 127.0.0.1:", "answered, but no audio came back"},
		2: {"the ACK went to ADDRESS, the Contact of the 200, and does not arrive", "sip.advertise"},
	} {
		c := newCallee(t, func(method string) (string, string, string) {
			switch method {
			case "INVITE":
				return "200 OK", "Content-Type: application/sdp\r\n",
					"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
			case "BYE":
				return "200 OK", "", ""
			default:
				return "", "", ""
			}
		})
		c.deaf.Store(deaf)
		out, code := run(t, "call", "--to", c.uri(), "--seconds", "1")
		for _, want := range wants {
			if want = strings.ReplaceAll(want, "ADDRESS", c.conn.LocalAddr().String()); code != 1 || !strings.Contains(out, want) {
				t.Errorf("exit code %d, and no %q in\n%s", code, want, out)
			}
		}
	}
}

// Ctrl-C during ringing cancels the call.
func TestCallGivenUp(t *testing.T) {
	c := newCallee(t, func(method string) (string, string, string) {
		switch method {
		case "INVITE":
			return "180 Ringing", "", ""
		case "CANCEL":
			return "200 OK", "", ""
		default:
			return "", "", ""
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	done := make(chan error)
	go func() {
		o := testCall{to: c.uri(), from: "x", seconds: 1}
		done <- o.place(ctx, &out)
	}()
	waitFor(t, "it rings", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.Contains(c.sent, "180 Ringing")
	})
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("got %v", err)
	}
	if got := c.methods(); !strings.Contains(got, "CANCEL") {
		t.Errorf("the callee got %s\n%s", got, out.String())
	}
}

func TestCallBadUsage(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"no address":                         {nil, "--to is needed"},
		"no URI":                             {[]string{"--to", "100"}, "write a SIP URI"},
		"sips":                               {[]string{"--to", "sips:a@b"}, "write a SIP URI"},
		"password":                           {[]string{"--to", "sip:a:b@c"}, "write a SIP URI"},
		"two hosts":                          {[]string{"--to", "sip:a@b@c"}, "write a SIP URI"},
		"line break":                         {[]string{"--to", "sip:a@b\r\nX: y"}, "write a SIP URI"},
		"transport":                          {[]string{"--to", "sip:a@127.0.0.1;transport=sctp"}, "over udp, tcp and tls, not over sctp"},
		"authority":                          {[]string{"--to", "sip:a@127.0.0.1;transport=tls", "--ca", "/none"}, "no such file"},
		"insecure":                           {[]string{"--to", "sip:a@127.0.0.1", "--insecure"}, "add ;transport=tls"},
		"no config":                          {[]string{"--to", "sip:a@127.0.0.1", "--config", "/none"}, "/none"},
		"caller":                             {[]string{"--to", "sip:a@127.0.0.1", "--from", "a@b"}, "user part"},
		"seconds":                            {[]string{"--to", "sip:a@127.0.0.1", "--seconds", "0"}, "1 to 3600"},
		"header":                             {[]string{"--to", "sip:a@127.0.0.1", "--header", "X"}, "Name: value"},
		"half a login":                       {[]string{"--to", "sip:a@127.0.0.1", "--user", "a"}, "belong together"},
		"no password":                        {[]string{"--to", "sip:a@127.0.0.1", "--user", "a", "--password-env", "NOT_SET_HERE"}, "NOT_SET_HERE"},
		"listen":                             {[]string{"--to", "sip:a@127.0.0.1", "--listen", "[::1]:0"}, "--listen"},
		"an agent's variable of a test call": {[]string{"--to", "sip:a@127.0.0.1", "--variable", "a=b"}, "--variable: it is for a call that a running server places"},
		"a server's address of a test call":  {[]string{"--to", "sip:a@127.0.0.1", "--url", "http://127.0.0.1:1"}, "--url: it is for a call"},
		"seconds of a placed call":           {[]string{"--via", "carrier", "--to", "+1", "--from", "+2", "--seconds", "3"}, "--seconds: it is not for a call with --via"},
		"a placed call from no number":       {[]string{"--via", "carrier", "--to", "+1"}, "--from: a call with --via needs the number"},
		"a part of a second":                 {[]string{"--via", "carrier", "--to", "+1", "--from", "+2", "--answer-within", "400ms"}, "--answer-within 400ms: write whole seconds"},
		"seconds and a half":                 {[]string{"--via", "carrier", "--to", "+1", "--from", "+2", "--answer-within", "1500ms"}, "write whole seconds"},
		"less than no time":                  {[]string{"--via", "carrier", "--to", "+1", "--from", "+2", "--answer-within", "-1s"}, "write whole seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := run(t, append([]string{"call"}, tt.args...)...); code != 2 || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d; want 2 and %q:\n%s", code, tt.says, out)
			}
		})
	}
}
