package webhook

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sent returns the result of a request to a real receiver. The time limit is longer than any machine needs.
func sent(t *testing.T, url string, client *http.Client) result {
	t.Helper()
	return sentWithin(t, time.Minute, url, client)
}

func sentWithin(t *testing.T, timeout time.Duration, url string, client *http.Client) result {
	t.Helper()
	h := hook(func(h *Hook) { h.URL, h.Timeout = url, timeout })
	s := New(Options{UserAgent: "flowbridge/test"})
	w := &worker{Sender: s, hook: h}
	w.client = http.Client{
		Transport: s.Transport, Timeout: h.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if client != nil {
		w.client.Transport = client.Transport
	}
	req, err := h.request(context.Background(), EventEnded, "1", "flowbridge/test", Message{ID: "1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return w.send(req)
}

// Whatever a receiver does, a request ends within its time limit and costs little, and the reason does not contain the
// URL's secret.
func TestHostileReceivers(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	release := make(chan struct{})
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		sent    bool
		reason  string
	}{
		"fine":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }, true, ""},
		"100 MB back":    {flood(200), true, ""},
		"100 MB and 500": {flood(500), false, "500 Internal Server Error"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, false, "redirects are not followed"},
		"never answers": {func(_ http.ResponseWriter, r *http.Request) { waitFor(r, release) }, false, "no answer within 2s"},
		"hangs up":      {func(w http.ResponseWriter, _ *http.Request) { cut(w, "") }, false, "the connection broke"},
		"no HTTP":       {func(w http.ResponseWriter, _ *http.Request) { cut(w, "220 smtp\r\n") }, false, "malformed"},
		"endless headers": {func(w http.ResponseWriter, _ *http.Request) {
			cut(w, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", 1<<20))
		}, false, "exceeded"},
		"early hints":    {hints, true, ""},
		"unknown status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(777) }, false, "777"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tc.handler)
			defer srv.Close()
			timeout := time.Minute
			if name == "never answers" {
				timeout = 2 * time.Second
			}
			r := sentWithin(t, timeout, srv.URL+"/?key=hidden", nil)
			if r.sent != tc.sent || !strings.Contains(r.reason, tc.reason) || strings.Contains(r.reason, "hidden") || !r.asked {
				t.Errorf("got %+v", r)
			}
			if name == "never answers" {
				close(release)
			}
		})
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests were redirected", n)
	}
}

// A receiver with an untrusted certificate receives nothing.
func TestBadCertificate(t *testing.T) {
	got := atomic.Int64{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	if r := sent(t, srv.URL, nil); r.sent || !strings.Contains(r.reason, "certificate") {
		t.Errorf("got %+v", r)
	}
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
	defer plain.Close()
	if r := sent(t, strings.Replace(plain.URL, "http:", "https:", 1), nil); r.sent || !strings.Contains(r.reason, "does not speak TLS") {
		t.Errorf("got %+v", r)
	}
	if got.Load() != 0 {
		t.Error("a record was sent")
	}
	if r := sent(t, srv.URL, srv.Client()); !r.sent {
		t.Errorf("with the authority known: %+v", r)
	}
}

// Nothing listens at the address, or the name does not exist.
func TestNobodyThere(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close()
	if r := sent(t, "http://"+at+"/?key=hidden", nil); r.sent || !strings.Contains(r.reason, "refuses connections") || strings.Contains(r.reason, "hidden") {
		t.Errorf("got %+v", r)
	}
}

func flood(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		part := make([]byte, 1<<20)
		for range 100 {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}
}

// hints sends informational responses first (RFC 8297).
func hints(w http.ResponseWriter, _ *http.Request) {
	for range 3 {
		w.WriteHeader(http.StatusEarlyHints)
	}
	w.WriteHeader(200)
}

func waitFor(r *http.Request, release <-chan struct{}) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the server notices when the client leaves
	select {
	case <-release:
	case <-r.Context().Done():
	}
}

// cut writes raw text and closes the connection.
func cut(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}
