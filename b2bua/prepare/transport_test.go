package prepare

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/internal/rest"
)

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// saying is a transport to a server that serves its connections, numbered from 1, byte for byte.
func saying(t *testing.T, serve func(n int, conn net.Conn, request func() bool)) *http.Transport {
	t.Helper()
	var opened atomic.Int32
	tr := transport()
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		n, in := int(opened.Add(1)), bufio.NewReader(theirs)
		go func() {
			defer func() { _ = theirs.Close() }()
			serve(n, theirs, func() bool {
				r, err := http.ReadRequest(in)
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
				}
				return err == nil
			})
		}()
		return ours, nil
	}
	return tr
}

// post asks that server by a client. The text is the answer's.
func post(ctx context.Context, tr http.RoundTripper, key string) (string, error) {
	c, err := rest.New(rest.Options{BaseURL: "http://api.example.com", Token: testToken, Transport: tr})
	if err != nil {
		return "", err
	}
	h := http.Header{}
	if key != "" {
		h["Idempotency-Key"] = []string{key}
	}
	res, err := c.Send(ctx, rest.Request{Method: http.MethodPost, Path: "/x", Header: h}, []byte("{}"))
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, _, err := c.ReadBody(res)
	return string(body), err
}

// A kept connection that has ended carries no request. Where it ends below a request, only one with a key is sent again, and
// only if no byte of an answer came.
func TestKeptConnectionEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		key   string
		early bool   // it ends before the second request
		says  string // to the second request
		want  int32  // requests that arrive
		fails bool
	}{
		"while idle":         {early: true, want: 2},
		"below a request":    {want: 2, fails: true},
		"the same, with key": {key: "k", want: 3},
		"half an answer":     {key: "k", says: "HTTP/1.1 200 OK\r\nContent-Le", want: 2, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				tr := saying(t, func(n int, conn net.Conn, request func() bool) {
					for i := 1; request(); i++ {
						asked.Add(1)
						if n == 1 && i == 2 {
							_, _ = io.WriteString(conn, tt.says)
							return
						}
						_, _ = io.WriteString(conn, fine)
						if n == 1 && tt.early {
							return
						}
					}
				})
				defer tr.CloseIdleConnections()
				if got, err := post(t.Context(), tr, tt.key); got != "ok" || err != nil {
					t.Fatalf("first: got %q, %v; want ok", got, err)
				}
				synctest.Wait()
				got, err := post(t.Context(), tr, tt.key)
				if (err != nil) != tt.fails || err == nil && got != "ok" || asked.Load() != tt.want {
					t.Errorf("got %q, %v, %d requests; want an error %v, %d requests", got, err, asked.Load(), tt.fails, tt.want)
				}
			})
		})
	}
}

// What is no answer is an error, and its headers are bounded.
func TestBrokenAnswers(t *testing.T) {
	for name, says := range map[string]string{
		"nothing":         "",
		"garbage":         "\x00\x01\x02\xff\r\n\r\n",
		"lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"early end":       "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"chunk":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok",
		"no gzip":         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
		"large header":    "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 128<<10) + "\r\n\r\n",
		"endless status":  "HTTP/1.1 200 " + strings.Repeat("b", 128<<10),
		"endless interim": strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 64<<10),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := saying(t, func(_ int, conn net.Conn, request func() bool) {
					request()
					_, _ = io.WriteString(conn, says)
				})
				defer tr.CloseIdleConnections()
				if got, err := post(t.Context(), tr, ""); err == nil {
					t.Errorf("got %q; want an error", got)
				}
			})
		})
	}
}

// A request ends with its context, wherever it is, and says why.
func TestCancelledAnywhere(t *testing.T) {
	for name, says := range map[string]string{
		"before the answer": "",
		"in the headers":    "HTTP/1.1 200 OK\r\nContent-",
		"in the body":       "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"between interims":  "HTTP/1.1 103 Early Hints\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := saying(t, func(_ int, conn net.Conn, request func() bool) {
					request()
					_, _ = io.WriteString(conn, says)
					request()
				})
				defer tr.CloseIdleConnections()
				because := errors.New("the caller has hung up")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(because) })
				if got, err := post(ctx, tr, ""); !errors.Is(err, because) && !errors.Is(err, context.Canceled) {
					t.Errorf("got %q, %v; want %v", got, err, because)
				}
			})
		})
	}
}

// silencing is a connection that carries nothing more once it is silent, and does not end.
type silencing struct {
	net.Conn
	silent *atomic.Bool
}

func (s silencing) Write(p []byte) (int, error) {
	if s.silent.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// HTTP/2 is spoken where the server does, on one connection. One that goes silent is given up within seconds.
func TestSilentConnectionIsReplaced(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	srv.Close() // for its certificate
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int32
		var silent atomic.Bool
		came := make(pipes)
		server := &http.Server{
			TLSConfig: srv.TLS, ReadHeaderTimeout: time.Hour,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }),
		}
		go func() { _ = server.Serve(tls.NewListener(came, srv.TLS)) }()
		tr := transport()
		tr.TLSClientConfig = srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		tr.TLSClientConfig.Time = func() time.Time { return srv.Certificate().NotBefore.Add(time.Hour) }
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			came <- theirs
			if opened.Add(1) == 1 {
				return silencing{ours, &silent}, nil
			}
			return ours, nil
		}
		ask := func() (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), defaultTimeout)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://example.com/", strings.NewReader("{}"))
			if err != nil {
				return "", err
			}
			res, err := tr.RoundTrip(r)
			if err != nil {
				return "", err
			}
			defer func() { _ = res.Body.Close() }()
			body, err := io.ReadAll(res.Body)
			return string(body), err
		}
		for range 3 {
			if got, err := ask(); got != "HTTP/2.0" || err != nil || opened.Load() != 1 {
				t.Fatalf("got %q, %v on connection %d; want HTTP/2.0 on 1", got, err, opened.Load())
			}
		}
		silent.Store(true)
		if got, err := ask(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("on a silent connection: got %q, %v; want a timeout", got, err)
		}
		time.Sleep(silentFor + pingTimeout)
		if got, err := ask(); got != "HTTP/2.0" || err != nil || opened.Load() != 2 {
			t.Errorf("afterwards: got %q, %v on connection %d; want HTTP/2.0 on 2", got, err, opened.Load())
		}
		tr.CloseIdleConnections()
		_ = server.Close()
	})
}

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }
