//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"flowbridge/store/record"
)

// botLie is what a bot does that it should not. If it lets the call live, it repeats the caller's words from then on.
type botLie struct {
	name    string
	upgrade func(w http.ResponseWriter, r *http.Request) // in place of a WebSocket: the next target gets the call
	status  int                                          // of the attempt, if there is no WebSocket
	says    func(say func(kind websocket.MessageType, text string), c *websocket.Conn)
	ignored string // what the log says of it
	cause   string // why the call ends; empty: the caller hangs up
}

const (
	mebibyte = 1 << 20
	oneFrame = `{"event":"media","media":{"payload":"KioqKioqKioqKg=="}}`
)

func many(n int, text string) func(func(websocket.MessageType, string), *websocket.Conn) {
	return func(say func(websocket.MessageType, string), _ *websocket.Conn) {
		for range n {
			say(websocket.MessageText, text)
		}
	}
}

func closes(code websocket.StatusCode) func(func(websocket.MessageType, string), *websocket.Conn) {
	return func(_ func(websocket.MessageType, string), c *websocket.Conn) { _ = c.Close(code, "a reason") }
}

// raw answers an upgrade with bytes, and keeps the connection open.
func raw(text string, after time.Duration) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		for i := range text {
			if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(after)
		}
		_, _ = io.Copy(io.Discard, conn)
	}
}

func redirects(to string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// audioOf returns a message with so many bytes of audio.
func audioOf(n int) string {
	text := base64.StdEncoding.EncodeToString(slices.Repeat([]byte{loud}, n))
	return `{"event":"media","media":{"payload":"` + text + `"}}`
}

func botLies(ctx context.Context, elsewhere string) []botLie {
	const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	return []botLie{
		{
			name: "another stream", says: many(50, `{"event":"media","streamSid":"MZ00","media":{"payload":"Kg=="}}`),
			ignored: "streamSid of another stream",
		},
		{name: "marks", says: many(3000, `{"event":"mark","mark":{"name":"m"}}`)},
		{name: "marks behind audio", says: func(say func(websocket.MessageType, string), c *websocket.Conn) {
			say(websocket.MessageText, audioOf(29*8000)) // no mark can leave before the caller hangs up
			many(2000, `{"event":"mark","mark":{"name":"m"}}`)(say, c)
		}, ignored: "a mark beyond 1500"},
		{
			name: "long names", says: many(50, `{"event":"mark","mark":{"name":"`+strings.Repeat("n", 5000)+`"}}`),
			ignored: "name of a mark over 256 bytes",
		},
		{name: "clears", says: many(3000, `{"event":"clear"}`)},
		{name: "a mebibyte", says: many(1, audioOf(3*(mebibyte/4-100))), ignored: "audio beyond 30 seconds"},
		{name: "more than a mebibyte", says: many(1, audioOf(mebibyte)), cause: "bot_lost"},
		{name: "fragments", says: func(_ func(websocket.MessageType, string), c *websocket.Conn) {
			if w, err := c.Writer(context.Background(), websocket.MessageText); err == nil {
				for i := range oneFrame {
					_, _ = io.WriteString(w, oneFrame[i:i+1])
				}
				_ = w.Close()
			}
		}},
		{name: "binary", says: func(say func(websocket.MessageType, string), _ *websocket.Conn) {
			for range 50 {
				say(websocket.MessageBinary, oneFrame)
			}
		}, ignored: "a binary frame"},
		{name: "base64", says: many(50, `{"event":"media","media":{"payload":"!!!"}}`), ignored: "not the JSON of a message"},
		{name: "no JSON", says: many(10, strings.Repeat("[", 100_000)), ignored: "not the JSON of a message"},
		{name: "unknown", says: many(50, `{"event":"start","start":{"streamSid":"MZ"}}`), ignored: "unknown event"},
		{name: "no payload", says: many(50, `{"event":"media","media":null}`), ignored: "no payload or name"},
		{name: "disorder", says: func(say func(websocket.MessageType, string), _ *websocket.Conn) {
			for i := range 50 {
				say(websocket.MessageText, fmt.Sprintf(`{"event":"media","sequenceNumber":"%d",`+
					`"media":{"chunk":"%[1]d","timestamp":"-1","payload":"Kg=="}}`, 50-i))
			}
		}},
		{name: "1,001 messages in a second", says: many(1001, oneFrame)},
		{name: "going away", says: closes(websocket.StatusGoingAway), cause: "bot_lost"},
		{name: "an error", says: closes(websocket.StatusInternalError), cause: "bot_lost"},
		{name: "a code of its own", says: closes(4999), cause: "bot_lost"},
		{name: "done", says: closes(websocket.StatusNormalClosure), cause: "agent_hangup"},
		{
			name: "cut", says: func(_ func(websocket.MessageType, string), c *websocket.Conn) { _ = c.CloseNow() },
			cause: "bot_lost",
		},
		{
			name: "no reader", says: func(func(websocket.MessageType, string), *websocket.Conn) { <-ctx.Done() },
			cause: "agent_stalled",
		},

		{name: "slow", upgrade: raw(switching, 200*time.Millisecond), status: 504},
		{name: "wrong key", upgrade: raw(switching+"Sec-WebSocket-Accept: bm8=\r\n\r\n", 0), status: 503},
		{name: "long headers", upgrade: raw(switching+"X: "+strings.Repeat("x", 70_000)+"\r\n\r\n", 0), status: 503},
		{name: "not HTTP", upgrade: raw("SSH-2.0-OpenSSH\r\n", 0), status: 503},
		{
			name: "a page", upgrade: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
			status: 502,
		},
		{name: "to this machine", upgrade: redirects(elsewhere), status: 502},
		{name: "to a private network", upgrade: redirects("ws://10.0.0.1/"), status: 502},
	}
}

// liar is a bot that tells its lies in turn, one a socket.
type liar struct {
	*mediaBot
	lie  atomic.Pointer[botLie]
	told atomic.Int32
}

func (l *liar) serve(w http.ResponseWriter, r *http.Request) {
	lie := l.lie.Load()
	l.told.Add(1)
	if lie.upgrade != nil {
		lie.upgrade(w, r)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	lie.says(func(kind websocket.MessageType, text string) { _ = c.Write(r.Context(), kind, []byte(text)) }, c)
	l.repeat(r.Context(), c)
}

// TestBotsLie: the process survives each lie of a bot, logs it once, and leaks nothing.
func TestBotsLie(t *testing.T) {
	s := newStage(t)
	good, elsewhere := newMediaBot(t), newMediaBot(t)
	bad := &liar{mediaBot: &mediaBot{}}
	bad.Server = httptest.NewServer(http.HandlerFunc(bad.serve))
	t.Cleanup(bad.CloseClientConnections)
	text := s.botConfig("udp://"+s.freePort(s.b2bua).String(), bad.url(), ", ring_timeout: 3s")
	text = strings.Replace(text, "routes: [{targets: [bot]}]",
		fmt.Sprintf("- {name: good, kind: websocket, url: %q}\nroutes: [{targets: [bot, good]}]", good.url()), 1)
	text = strings.Replace(text, "ring_timeout: 3s", "ring_timeout: 3s, circuit: {failures: 0}", 1)
	s.server = startServer(t, t.TempDir(), text, "GOGC=20") // so that its size is about what it uses
	b := s.server
	lies := botLies(t.Context(), elsewhere.url())
	c := s.newCallers(0)
	var goroutines, memory, ports int
	for round := range 2 {
		for i := range lies {
			l := &lies[i]
			if round > 0 && l.cause == "agent_stalled" { // which takes ten seconds
				continue
			}
			bad.lie.Store(l)
			s.lied(c, l)
		}
		b.nothingLeft()
		now := func() int { return b.metric("go_goroutines") }
		if round == 0 {
			goroutines, memory, ports = now(), b.memory(), b.onLoopback()
			continue
		}
		eventually(t, "no goroutine is left of most lies", func() bool { return now() < goroutines+len(lies)/2 })
		eventually(t, "no port of the gateway is left", func() bool { return b.onLoopback() <= ports })
		if after := b.memory(); after > memory+memory/4 {
			t.Errorf("the process grew from %d to %d KB", memory, after)
		}
	}
	if n := elsewhere.open.Load(); n != 0 || len(elsewhere.starts()) != 0 {
		t.Errorf("a redirect was followed: %d sockets", n)
	}
	if n := b.metric("flowbridge_bot_ignored_total"); n < 300 {
		t.Errorf("%v messages are counted as ignored", n)
	}
	c.end()
	b.stop()
}

// metric returns a metric without labels.
func (s *server) metric(name string) (n int) {
	s.t.Helper()
	_, after, _ := strings.Cut(s.text("/metrics"), "\n"+name+" ")
	_, err := fmt.Sscan(after, &n)
	must(s.t, err)
	return n
}

// onLoopback counts the UDP sockets on 127.0.0.1, where the gateway's are.
func (s *server) onLoopback() (n int) {
	s.t.Helper()
	mine, host := s.socketInodes(), kernelHost(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	for _, row := range kernelTable(s.t, "udp") {
		if mine[row.inode] && row.host == host {
			n++
		}
	}
	return n
}

// lied places a call to a bot that lies, and checks its end.
func (s *stage) lied(c *callers, l *botLie) {
	s.Helper()
	b, before := s.server, len(s.server.cdrs())
	ignored := func() int { return strings.Count(strings.Join(b.output(), "\n"), "ignored something of a bot") }
	logged := ignored()
	k := c.call()
	c.calls = []*botCaller{k}
	if l.cause == "" {
		c.hear()
		if l.ignored != "" {
			eventually(s.T, l.name+": something is ignored", func() bool { return ignored() > logged })
		}
		must(s, k.d.Bye(c.ctx))
	}
	eventually(s.T, l.name+": the call has a record", func() bool { return len(b.cdrs()) > before })
	k.mu.Lock()
	k.mute = true
	k.mu.Unlock()
	r := slices.MaxFunc(b.cdrs(), func(x, y record.Record) int { return x.StartedAt.Compare(y.StartedAt.Time) })
	want := botLie{cause: l.cause, status: 200}
	if want.cause == "" {
		want.cause = "caller_hangup"
	}
	if l.upgrade != nil {
		want.status = l.status
	}
	if r.Cause != want.cause || r.Attempts[0].SIPStatus != want.status || len(r.Attempts) != 1+min(1, l.status) {
		s.Errorf("%s: cause %s, attempts %+v", l.name, r.Cause, r.Attempts)
	}
	if n := ignored() - logged; n != min(1, len(l.ignored)) {
		s.Errorf("%s: %d lines of what is ignored", l.name, n)
	}
	lines := b.output()
	if l.ignored != "" && !slices.ContainsFunc(lines, func(line string) bool {
		return strings.Contains(line, `"what":"`+l.ignored+`"`)
	}) {
		s.Errorf("%s: no line with %q", l.name, l.ignored)
	}
}
