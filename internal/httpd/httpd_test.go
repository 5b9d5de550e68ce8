package httpd

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// A body is either read whole or refused with a reason. Afterwards its memory is no longer
// counted.
func TestBodies(t *testing.T) {
	for _, c := range []struct {
		size, held int64
		status     int
	}{
		{0, 0, 0},
		{small, maxHeld, 0}, // large ones keep no small one out
		{small + 10, maxHeld - 10, 0},
		{small + 11, maxHeld - 10, 503},
		{small + 100, 0, 0},
		{small + 101, 0, 413},
	} {
		b := &Bodies{Max: small + 100, Wait: time.Second}
		b.held.Add(c.held)
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("a", int(c.size))))
		body, release, no := b.Read(w, r)
		switch {
		case no != nil:
			if no.Status != c.status || no.Words == "" || (w.Header().Get("Retry-After") != "") != (c.status == 503) {
				t.Errorf("%d bytes beside %d: %+v %v", c.size, c.held, *no, w.Header())
			}
		case c.status != 0 || int64(len(body)) != c.size:
			t.Errorf("%d bytes beside %d: got %d", c.size, c.held, len(body))
		default:
			if got, want := b.held.Load()-c.held, max(0, c.size-small); got != want {
				t.Errorf("%d bytes: %d are counted", c.size, got)
			}
			release()
			release()
		}
		if got := b.held.Load(); got != c.held {
			t.Errorf("%d bytes beside %d: afterwards %d", c.size, c.held, got)
		}
	}
}

// If a body stops arriving, the request is answered after the time limit, and neither the
// handler nor the server waits for the rest. A connection whose requests were read whole
// can be reused.
func TestSlowBody(t *testing.T) {
	b := &Bodies{Max: 1000, Wait: 50 * time.Millisecond}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, release, no := b.Read(w, r)
		if no != nil {
			Refuse(w, no.Status, no.Words)
			return
		}
		defer release()
		_, _ = w.Write(body)
	}))
	defer s.Close()
	for _, chunked := range []string{"Content-Length: 100\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"+"POST / HTTP/1.1\r\nHost: a\r\n"+chunked); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") || !strings.Contains(string(answer), "abHTTP/1.1 400") || !strings.Contains(string(answer), "Connection: close") {
			t.Errorf("%.20s: %v %s", chunked, err, answer)
		}
		_ = conn.Close()
	}
}

// Requests wait while they are held, also on new connections. An exempt request is answered
// at once.
func TestHold(t *testing.T) {
	p := &Pause{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { Answer(w, 200, "here") }),
		func(r *http.Request) bool { return r.URL.Path == "/exempt" })
	s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(p.Listener(listener)) }()
	defer func() { _ = s.Close() }()
	if err := p.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 2)
	ask := func(path string) {
		res, err := http.Get("http://" + listener.Addr().String() + path)
		if err == nil {
			err = res.Body.Close()
		}
		answers <- fmt.Sprint(path, err)
	}
	go ask("/held")
	go ask("/exempt")
	if got := <-answers; got != "/exempt<nil>" {
		t.Errorf("first %q", got)
	}
	p.Go()
	if got := <-answers; got != "/held<nil>" {
		t.Errorf("then %q", got)
	}
}

func TestAnswer(t *testing.T) {
	for want, v := range map[string]any{
		`200 {"a":"<&>"}`:                map[string]string{"a": "<&>"},
		`500 {"error":"internal error"}`: func() {},
	} {
		w := httptest.NewRecorder()
		Answer(w, 200, v)
		if got := fmt.Sprint(w.Code, " ", w.Body); got != want || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("got %s %v; want %s", got, w.Header(), want)
		}
	}
}

func TestSecrets(t *testing.T) {
	for shown, want := range map[string]bool{"s3cret": true, "s3cre": false, "s3cret ": false, "": false} {
		if Same(shown, "s3cret") != want {
			t.Errorf("%q: %v", shown, !want)
		}
	}
	if Same("", "") {
		t.Error("an empty secret was shown")
	}
	for authorization, want := range map[string]string{"Bearer a": "a", "bearer  a ": "a", "a": "", "Basic a": "", "Bearer": "", "": ""} {
		r := httptest.NewRequest("GET", "/", http.NoBody)
		r.Header.Set("Authorization", authorization)
		if got := Bearer(r); got != want {
			t.Errorf("%q: got %q", authorization, got)
		}
	}
}

// Unknown senders can cause at most ten log lines a minute, in the usual format.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	l := ErrorLog(zerolog.New(&log))
	for range 3 * maxStrange {
		l.Printf("http: TLS handshake error\nfrom %s", strings.Repeat("a", 2*maxLine))
	}
	if got := strings.Count(log.String(), "\n"); got != maxStrange || log.Len() > 2*maxStrange*maxLine {
		t.Errorf("%d lines of %d bytes", got, log.Len())
	}
	if !strings.HasPrefix(log.String(), `{"level":"warn","detail":"http: TLS handshake error\nfrom a`) {
		t.Errorf("got %.200s", log.String())
	}
}
