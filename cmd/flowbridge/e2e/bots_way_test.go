//go:build e2e

package e2e

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// callBot places a call by the product's own caller, to an address of the server. It fails if no audio came back.
func (s *stage) callBot(at string) {
	s.Helper()
	from := netip.AddrPortFrom(s.carrier, 0).String()
	cmd := exec.Command(program, "call", "--to", "sip:"+called+"@"+at, "--listen", from, "--seconds", "5", "--json")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
}

// proxy is an HTTP proxy that leads each CONNECT to one address.
type proxy struct {
	to   string
	mu   sync.Mutex
	want []string // what it was asked for
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	p.mu.Lock()
	p.want = append(p.want, r.Host)
	p.mu.Unlock()
	there, err := net.Dial("tcp", p.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(there, buffered)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
}

// TestBotBehindProxy: the environment's proxy leads to a bot, whose name this machine does not look up. The proxy sees
// the name and nothing else, because TLS is between Flowbridge and the bot.
func TestBotBehindProxy(t *testing.T) {
	s := newStage(t)
	bot := &mediaBot{}
	bot.Server = httptest.NewTLSServer(bot.handler()) // with a certificate for example.com
	t.Cleanup(bot.CloseClientConnections)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bot.Certificate().Raw}), 0o600))
	way := &proxy{to: bot.Listener.Addr().String()}
	server := httptest.NewServer(way)
	defer server.Close()
	at := s.freePort(s.b2bua).String()
	text := s.botConfig("udp://"+at, "wss://bot.example.com/media", fmt.Sprintf(", tls: {ca: %q}", ca))
	s.server = startServer(t, t.TempDir(), text,
		"HTTPS_PROXY="+server.URL, "https_proxy="+server.URL, "NO_PROXY=", "no_proxy=")
	s.callBot(at)
	if n := len(bot.starts()); n != 1 {
		t.Errorf("the bot got %d starts", n)
	}
	way.mu.Lock()
	defer way.mu.Unlock()
	if got := strings.Join(way.want, " "); got != "bot.example.com:443" {
		t.Errorf("the proxy was asked for %q", got)
	}
	s.server.stop()
}

// TestBotPrepared: a request over HTTP comes before a bot's socket, and its answer is in the socket's URL and in the
// parameters. If it fails, the bot hears of no call, and the next target has its turn.
func TestBotPrepared(t *testing.T) {
	s := newStage(t)
	var mu sync.Mutex
	var paths, asked []string
	bot := &mediaBot{}
	bot.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths = append(paths, r.URL.Path)
		mu.Unlock()
		bot.serve(w, r)
	}))
	t.Cleanup(bot.CloseClientConnections)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body))
		if len(asked) > 1 {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, `{"session": {"id": "s-1"}, "room": "a b"}`)
	}))
	defer api.Close()
	next := newMediaBot(t)
	at := s.freePort(s.b2bua).String()
	text := s.botConfig("udp://"+at, bot.url()+`/{{.Prepare.JSON "room"}}`, fmt.Sprintf(
		`, prepare: {url: %q, id: session.id, body: {to: "{{.To.Number}}"}, example: {session: {id: x}, room: y}}`,
		api.URL+"/calls"))
	text = replaceOnce(t, text, `url: "`+bot.url()+`/{{.Prepare.JSON \"room\"}}"`,
		`url: '`+bot.url()+`/{{.Prepare.JSON "room"}}'`)
	text = replaceOnce(t, text, `parameters: {called: "{{.To.Number}}"}`,
		`parameters: {called: "{{.To.Number}}", session: "{{.Prepare.CallID}}"}`)
	text = replaceOnce(t, text, "routes: [{targets: [bot]}]",
		fmt.Sprintf("- {name: next, kind: websocket, url: %q}\nroutes: [{targets: [bot, next]}]", next.url()))
	s.server = startServer(t, t.TempDir(), text)
	s.callBot(at)
	s.callBot(at)
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"/a b"}; !slices.Equal(paths, want) {
		t.Errorf("the bot was asked for %q; want %q", paths, want)
	}
	want := "POST /calls " + `{"to":"` + called + `"}`
	if !slices.Equal(asked, []string{want, want}) {
		t.Errorf("the API was asked for %q; want %q", asked, want)
	}
	if starts := bot.starts(); len(starts) != 1 || starts[0].Parameters["session"] != "s-1" || len(next.starts()) != 1 {
		t.Errorf("the bot got %+v, the next one %+v", starts, next.starts())
	}
	s.server.stop()
}
