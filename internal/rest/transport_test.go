package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// A connection is kept after these answers, and is closed after any other.
func TestConnectionsAreKept(t *testing.T) {
	for name, tt := range map[string]struct {
		says string
		gets string
		kept bool
	}{
		"length":          {fine, "200 ok", true},
		"chunks":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nA: b\r\n\r\n", "200 ok", true},
		"nothing":         {"HTTP/1.1 204 No Content\r\n\r\n", "204 ", true},
		"empty":           {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "500 ", true},
		"interim":         {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + fine, "200 ok", true},
		"1.0, kept":       {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "200 ok", true},
		"1.0":             {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok", false},
		"close":           {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "200 ok", false},
		"until its end":   {"HTTP/1.1 200 OK\r\n\r\nok", "200 ok", false},
		"one byte more":   {fine + "H", "200 ok", false},
		"an answer more":  {fine + fine, "200 ok", false},
		"nothing, more":   {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "204 ", false},
		"switched":        {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "101 ", false},
		"empty, but more": {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n ", "200 ", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := serveBytes(t, func(p *peer) {
				for p.request() {
					if p.say(tt.says); !tt.kept {
						return
					}
				}
			})
			for range 3 {
				if got, err := b.ask(t.Context()); err != nil || got != tt.gets {
					t.Fatalf("got %q, %v; want %q", got, err, tt.gets)
				}
			}
			if n := b.opened.Load(); n != 1 && tt.kept || n != 3 && !tt.kept {
				t.Errorf("3 requests on %d connections", n)
			}
		})
	}
}

// brokenAnswers are texts that are not valid answers.
var brokenAnswers = map[string]string{
	"nothing":           "",
	"garbage":           "\x00\x01\x02\xff\r\n\r\n",
	"text":              "hello\r\n\r\n",
	"no status":         "HTTP/1.1 \r\n\r\n",
	"status":            "HTTP/1.1 2000 OK\r\n\r\n",
	"version":           "HTTP/x 200 OK\r\n\r\n",
	"half a header":     "HTTP/1.1 200 OK\r\nContent-Le",
	"header":            "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\nok",
	"lengths":           "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	"length":            "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
	"coding":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nok",
	"early end":         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
	"chunk":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok",
	"chunk, early end":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
	"trailer":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA" + strings.Repeat("b", 10_000),
	"no gzip":           "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
	"large header":      "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 2*maxHeaders) + "\r\n\r\n",
	"many headers":      "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxHeaders/3) + "\r\n",
	"endless status":    "HTTP/1.1 200 " + strings.Repeat("b", 2*maxHeaders),
	"interim for ever":  strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxHeaders/10),
	"only interim ones": "HTTP/1.1 100 Continue\r\n\r\n",
}

// An invalid answer gives an error, on a new connection and on a reused one, and the connection is closed.
func TestBrokenAnswers(t *testing.T) {
	for name, says := range brokenAnswers {
		for _, before := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, %d before", name, before), func(t *testing.T) {
				b := serveBytes(t, func(p *peer) {
					for range before {
						if p.request(); p.n == 1 {
							p.say(fine)
						}
					}
					p.request()
					p.say(says)
				})
				for range before {
					if got, err := b.ask(t.Context()); err != nil || got != "200 ok" {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				if got, err := b.ask(t.Context()); err == nil {
					t.Errorf("got %q", got)
				}
				if n := int(b.asked.Load()); n != before+1 {
					t.Errorf("%d requests arrived; want %d", n, before+1)
				}
			})
		}
	}
}

// A connection that ends while it is idle, or on which unexpected data arrives, is not used for a request, because a
// POST could not be repeated.
func TestIdleConnectionEnds(t *testing.T) {
	for name, ends := range map[string]func(p *peer){
		"closed":  func(p *peer) { _ = p.Conn.(*net.TCPConn).CloseWrite() },
		"reset":   func(p *peer) { _ = p.Conn.(*net.TCPConn).SetLinger(0); _ = p.Close() },
		"unasked": func(p *peer) { p.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			idle, ended := make(chan struct{}), make(chan struct{})
			b := serveBytes(t, func(p *peer) {
				if !p.request() {
					return
				}
				if p.say(fine); p.n == 1 {
					<-idle
					ends(p)
					close(ended)
				}
			})
			if got, err := b.ask(t.Context()); err != nil || got != "200 ok" {
				t.Fatalf("got %q, %v", got, err)
			}
			close(idle)
			<-ended
			b.waitForEvent(t)
			if got, err := b.ask(t.Context()); err != nil || got != "200 ok" || b.asked.Load() != 2 || b.opened.Load() != 2 {
				t.Errorf("got %q, %v, %d requests on %d connections", got, err, b.asked.Load(), b.opened.Load())
			}
		})
	}
}

// kept returns the number of idle connections.
func (t *Transport) kept() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.idle)
}

// waitForEvent waits until the server's action on the idle connection has arrived here.
func (b *bytewise) waitForEvent(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if b.kept() == 0 {
			return
		}
	}
	t.Fatal("nothing has come")
}

// If a reused connection ends while a request is on it, the request is sent again if that can't do harm.
func TestSentAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		header []string
		says   string // to the second request, before the connection ends
		again  bool
	}{
		"with a key":           {[]string{"Idempotency-Key", "k"}, "", true},
		"without":              {nil, "", false},
		"with half an answer":  {[]string{"Idempotency-Key", "k"}, "H", false},
		"with an interim word": {[]string{"Idempotency-Key", "k"}, "HTTP/1.1 100 Continue\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := serveBytes(t, func(p *peer) {
				for i := 1; p.request(); i++ {
					if p.n == 1 && i == 2 {
						p.say(tt.says)
						return
					}
					p.say(fine)
				}
			})
			if _, err := b.ask(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, err := b.ask(t.Context(), tt.header...)
			if again := b.asked.Load() == 3; again != tt.again || (err == nil) != tt.again || again && got != "200 ok" {
				t.Errorf("got %q, %v after %d requests", got, err, b.asked.Load())
			}
		})
	}
	t.Run("never to a server that ends each connection", func(t *testing.T) {
		b := serveBytes(t, func(p *peer) { p.request() })
		if got, err := b.ask(t.Context(), "Idempotency-Key", "k"); err == nil || b.asked.Load() != 1 {
			t.Errorf("got %q, %v after %d requests", got, err, b.asked.Load())
		}
	})
}

// If a request's context ends, at whatever step, the request and its connection end.
func TestCancelledAnywhere(t *testing.T) {
	for name, says := range map[string]string{
		"before the answer": "",
		"in the headers":    "HTTP/1.1 200 OK\r\nContent-",
		"in the body":       "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"in a chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\no",
		"between interims":  "HTTP/1.1 103 Early Hints\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			said, done := make(chan struct{}), make(chan struct{})
			defer close(done)
			b := serveBytes(t, func(p *peer) {
				p.request()
				p.say(says)
				close(said)
				<-done
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			because := errors.New("the caller has hung up")
			go func() {
				<-said
				cancel(because)
			}()
			if got, err := b.ask(ctx); !errors.Is(err, because) {
				t.Errorf("got %q, %v", got, err)
			}
			if b.kept() != 0 {
				t.Error("the connection is kept")
			}
		})
	}
	t.Run("at the end", func(t *testing.T) { // whatever the read says: the connection is being ended
		b := serveBytes(t, func(p *peer) {
			p.request()
			p.say(fine)
			_, _ = p.in.ReadByte()
		})
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.listener.Addr().String(), nil)
		res, err := b.RoundTrip(r)
		must(t, err)
		cancel()
		_, _ = io.ReadAll(res.Body)
		_ = res.Body.Close()
		if b.kept() != 0 {
			t.Error("the connection is kept")
		}
	})
	t.Run("before anything", func(t *testing.T) {
		b := serveBytes(t, func(p *peer) { p.request() })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := b.ask(ctx); !errors.Is(err, context.Canceled) || b.asked.Load() != 0 {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("in the TLS handshake", func(t *testing.T) {
		done := make(chan struct{})
		defer close(done)
		b := serveBytes(t, func(*peer) { <-done })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+b.listener.Addr().String(), nil)
		if _, err := b.RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("by the handshake's own limit", func(t *testing.T) {
		done := make(chan struct{})
		b := serveBytes(t, func(*peer) { <-done }, func(s *http.Transport) { s.TLSHandshakeTimeout = 20 * time.Millisecond })
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+b.listener.Addr().String(), nil)
		_, err := b.RoundTrip(r)
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("got %v", err)
		}
		close(done)
	})
}

// If an answer is not read to its end, the connection is closed instead of reading the rest.
func TestBodyIsClosedEarly(t *testing.T) {
	b := serveBytes(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nok")
		_, _ = p.in.ReadByte()
	})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.listener.Addr().String(), nil)
	res, err := b.RoundTrip(r)
	must(t, err)
	if err := res.Body.Close(); err != nil || b.kept() != 0 {
		t.Errorf("got %v, %d kept", err, b.kept())
	}
	if _, err := res.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("got %v", err)
	}
}

// Idle connections are closed after some time, and only a limited number is kept.
func TestIdleConnectionsAreBounded(t *testing.T) {
	t.Run("time", func(t *testing.T) {
		ended := make(chan struct{})
		b := serveBytes(t, func(p *peer) {
			p.request()
			p.say(fine)
			_, _ = p.in.ReadByte() // ends when the client closes
			close(ended)
		}, func(s *http.Transport) { s.IdleConnTimeout = time.Millisecond })
		if _, err := b.ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-ended
	})
	t.Run("number", func(t *testing.T) {
		const at = 4 // once
		var arrived sync.WaitGroup
		arrived.Add(at)
		b := serveBytes(t, func(p *peer) {
			p.request()
			arrived.Done()
			arrived.Wait()
			p.say(fine)
			_, _ = p.in.ReadByte()
		}, func(s *http.Transport) { s.MaxIdleConnsPerHost = 2 })
		var asking sync.WaitGroup
		for range at {
			asking.Go(func() {
				if _, err := b.ask(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		if b.kept() != 2 {
			t.Errorf("%d are kept", b.kept())
		}
	})
	t.Run("closed while one is in use", func(t *testing.T) {
		asked, goOn := make(chan struct{}), make(chan struct{})
		b := serveBytes(t, func(p *peer) {
			p.request()
			close(asked)
			<-goOn
			p.say(fine)
			_, _ = p.in.ReadByte()
		})
		go func() {
			<-asked
			b.CloseIdleConnections()
			close(goOn)
		}()
		if got, err := b.ask(t.Context()); err != nil || got != "200 ok" || b.kept() != 0 {
			t.Errorf("got %q, %v, %d kept", got, err, b.kept())
		}
	})
}

// If a server refuses a request before reading all of it, the client gets that answer, even if its write has failed by
// then.
func TestAnswerBeforeTheRequestIsWhole(t *testing.T) {
	refusal := "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
	t.Run("not read", func(t *testing.T) {
		done := make(chan struct{})
		b := serveBytes(t, func(p *peer) {
			p.say(refusal)
			<-done
		})
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.listener.Addr().String(), bytes.NewReader(make([]byte, maxWritten)))
		res, err := b.RoundTrip(r)
		if err != nil || res.StatusCode != 413 {
			t.Errorf("got %v, %v", res, err)
		}
		close(done)
	})
	t.Run("write failed", func(t *testing.T) {
		c := spoken(refusal, 100, 0)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a/", strings.NewReader("x"))
		res, err := c.exchange(r, false)
		if err != nil || res.StatusCode != 413 || c.of.kept() != 0 {
			t.Errorf("got %v, %v", res, err)
		}
	})
	t.Run("nothing said", func(t *testing.T) {
		c := spoken("", 100, 0)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a/", strings.NewReader("x"))
		if _, err := c.exchange(r, false); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %v", err)
		}
	})
}
