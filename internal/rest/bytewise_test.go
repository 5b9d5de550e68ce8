package rest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bytewise is a server that sends what a test wants, byte for byte.
type bytewise struct {
	t        *testing.T
	listener net.Listener
	*Transport
	opened, asked atomic.Int32 // number of connections, and of requests

	mu   sync.Mutex
	ends []chan struct{} // closed when the client has closed a connection
}

// peer is the server's end of a connection.
type peer struct {
	net.Conn
	of *bytewise
	in *bufio.Reader
	n  int // number of the connection, from 1
}

// request reads a request. It returns false if no further request comes.
func (p *peer) request() bool {
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, r.Body)
	p.of.asked.Add(1)
	return true
}

func (p *peer) say(text string) { _, _ = io.WriteString(p.Conn, text) }

// serveBytes starts a server. The client must have closed all connections when the test ends.
func serveBytes(t *testing.T, serve func(p *peer), change ...func(*http.Transport)) *bytewise {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	settings := &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Hour, MaxResponseHeaderBytes: maxHeaders}
	for _, c := range change {
		c(settings)
	}
	b := &bytewise{t: t, listener: l, Transport: NewTransport(settings)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			end := make(chan struct{})
			b.mu.Lock()
			b.ends = append(b.ends, end)
			b.mu.Unlock()
			p := &peer{Conn: conn, of: b, in: bufio.NewReader(conn), n: int(b.opened.Add(1))}
			serving.Go(func() {
				serve(p)
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, p.in) // returns when the client has closed
				_ = conn.Close()
				close(end)
			})
		}
	})
	t.Cleanup(func() {
		b.CloseIdleConnections()
		_ = l.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, end := range b.ends {
			select {
			case <-end:
			case <-time.After(time.Minute):
				t.Fatalf("connection %d is not closed", i+1)
			}
		}
		serving.Wait()
	})
	return b
}

// ask sends a POST and returns its answer.
func (b *bytewise) ask(ctx context.Context, header ...string) (string, error) {
	const body = `{"a":1}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.listener.Addr().String()+"/x", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := b.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return fmt.Sprintf("%d %s", res.StatusCode, text), err
}
