package rest

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Requests that this transport does not support are passed on to net/http.
func TestLeftToOthers(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d", r.RequestURI, len(body))
	}))
	defer proxy.Close()
	at, _ := url.Parse(proxy.URL)
	proxied := NewTransport(&http.Transport{Proxy: http.ProxyURL(at)})
	defer proxied.CloseIdleConnections()
	plain := NewTransport(&http.Transport{})
	defer plain.CloseIdleConnections()
	for name, tt := range map[string]struct {
		by   *Transport
		to   string
		body io.Reader
		want string
	}{
		"proxy":          {proxied, "http://elsewhere.invalid/x", nil, "http://elsewhere.invalid/x 0"},
		"large":          {plain, proxy.URL + "/x", bytes.NewReader(make([]byte, maxWritten+1)), fmt.Sprintf("/x %d", maxWritten+1)},
		"unknown length": {plain, proxy.URL + "/x", io.MultiReader(strings.NewReader("abc")), "/x 3"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tt.to, tt.body)
		must(t, err)
		res, err := tt.by.RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _ := io.ReadAll(res.Body); string(got) != tt.want || len(tt.by.idle) != 0 {
			t.Errorf("%s: got %q; want %q", name, got, tt.want)
		}
		_ = res.Body.Close()
	}
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "ü.invalid"}}
	if plain.fits(r) || plain.fits(&http.Request{}) || plain.fits(&http.Request{URL: &url.URL{Scheme: "ftp", Host: "a"}}) {
		t.Error("they fit")
	}
}

func TestTransportOverTLS(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Proto, r.TLS.ServerName)
	}))
	s.EnableHTTP2 = true
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	tr := NewTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, TLSHandshakeTimeout: time.Minute})
	defer tr.CloseIdleConnections()
	get := func() string {
		var reused bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		res, err := tr.RoundTrip(r)
		must(t, err)
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		return fmt.Sprintf("%s %v %v", body, reused, err)
	}
	for i, want := range []string{"HTTP/1.1 example.com false <nil>", "HTTP/1.1 example.com true <nil>", "HTTP/1.1 example.com true <nil>"} {
		if got := get(); got != want {
			t.Errorf("%d: got %q; want %q", i, got, want)
		}
	}
	s.CloseClientConnections() // with TLS's own goodbye
	for deadline := time.Now().Add(time.Minute); tr.kept() == 1 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got, want := get(), "HTTP/1.1 example.com false <nil>"; got != want || opened.Load() != 2 {
		t.Errorf("got %q on connection %d", got, opened.Load())
	}
}

func TestCompressedAnswer(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte("ok"))
	_ = w.Close()
	b := serveBytes(t, func(p *peer) {
		for p.request() {
			p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", z.Len(), z.String()))
		}
	})
	for range 2 {
		if got, err := b.ask(t.Context()); err != nil || got != "200 ok" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if b.opened.Load() != 1 {
		t.Errorf("%d connections", b.opened.Load())
	}
}

// speech is the stream of a server that says a text in pieces and takes so many bytes of requests.
type speech struct {
	net.Conn
	text   []byte
	piece  int
	takes  int
	once   sync.Once
	closed chan struct{}
}

func (s *speech) Read(p []byte) (int, error) {
	if s.isClosed() || len(s.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.text)
	s.text = s.text[n:]
	return n, nil
}

func (s *speech) Write(p []byte) (int, error) {
	if len(p) > s.takes {
		return s.takes, io.ErrClosedPipe
	}
	return len(p), nil
}

func (s *speech) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *speech) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// readable is a socket on which something has come, and after one exchange nothing more but its end.
type readable struct {
	syscall.RawConn
	closed <-chan struct{}
	waited bool
}

func (r *readable) Read(f func(uintptr) bool) error {
	if r.waited {
		<-r.closed
		return net.ErrClosed
	}
	for r.waited = true; !f(0); {
	}
	return nil
}

// spoken is a connection to such a server.
func spoken(text string, piece, takes int) *connection {
	stream := &speech{text: []byte(text), piece: piece, takes: takes, closed: make(chan struct{})}
	t := NewTransport(&http.Transport{MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: maxHeaders})
	s := &socket{Conn: stream, raw: &readable{closed: stream.closed}}
	return newConnection(t, &url.URL{Scheme: "http", Host: "a"}, s, stream)
}

// FuzzAnswer checks that, whatever a server sends, the exchange ends and headers are bounded. The connection is either
// closed, or kept with no unread data.
func FuzzAnswer(f *testing.F) {
	f.Add(fine, uint16(100))
	f.Add(fine+fine, uint16(1))
	for _, says := range brokenAnswers {
		f.Add(says[:min(len(says), 1000)], uint16(7)) // larger ones slow the search down
	}
	f.Fuzz(func(t *testing.T, says string, piece uint16) {
		c := spoken(says, int(piece)+1, 1<<20)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a/", strings.NewReader("{}"))
		res, err := c.exchange(r, false)
		stream := c.stream.(*speech)
		if err != nil {
			if !stream.isClosed() || c.of.kept() != 0 || c.received > maxHeaders+4096 {
				t.Fatalf("closed %v, %d kept, %d bytes read after %v", stream.isClosed(), c.of.kept(), c.received, err)
			}
			return
		}
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		kept := c.of.kept() == 1
		if kept == stream.isClosed() || kept && (err != nil && !res.Uncompressed || c.in.Buffered() != 0) {
			t.Fatalf("kept %v, closed %v, %d left, %v", kept, stream.isClosed(), c.in.Buffered(), err)
		}
		_ = stream.Close()
	})
}
