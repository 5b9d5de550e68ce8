package rest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"flowbridge/internal/coroutine"
)

// maxWritten is the size of a request's body, in bytes, up to which the request is written completely before its answer
// is read. It fits into the kernel's buffers, so a server that answers without reading it does not block the write.
const maxWritten = 32 << 10

// Transport sends requests over HTTP/1.1. The goroutine that makes a request writes it. The answer wakes the
// connection's own goroutine, which continues a coroutine (coroutine.Park), so no other goroutine is woken. A request
// outside a coroutine waits for that goroutine.
//
// The wire format is net/http's (http.Request.Write, http.ReadResponse). The settings and the behaviour are net/http's,
// too, with these differences: it does not ask for compression, but undoes gzip; dialling for a request ends with the
// request; an answer 101 has no connection. Requests that need more are passed to net/http: with a proxy, a large body,
// or a name that is not ASCII.
//
// Ownership: a connection belongs to the pool, or to one request until its answer is read or closed. After that it
// belongs to the rest of the request's coroutine, until the coroutine is over or waits. Between the headers of an
// answer and the end of its body, a coroutine must not wait elsewhere.
type Transport struct {
	other *http.Transport // has the settings, and serves the requests that this transport can't

	mu      sync.Mutex    // guards the fields below
	idle    []*connection // most recently used last
	expiry  *time.Timer   // closes idle connections in time; nil before the first
	closing bool          // connections are not kept
}

// NewTransport returns a Transport with the settings of other, which it owns from then on. MaxIdleConnsPerHost limits
// the number of idle connections, and IdleConnTimeout limits how long they are kept.
func NewTransport(other *http.Transport) *Transport { return &Transport{other: other} }

// CloseIdleConnections closes the connections that are not in use. A connection in use is closed after its request,
// unless another request is made before.
func (t *Transport) CloseIdleConnections() {
	t.other.CloseIdleConnections()
	t.mu.Lock()
	old := t.idle
	t.idle, t.closing = nil, true
	t.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// RoundTrip sends a request. As with net/http, if a kept connection turns out to be broken, the request is sent again
// on another one. That happens if no part of it was sent, or if no byte came back and sending it twice does no harm.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.fits(r) {
		coroutine.Leave(r.Context())
		return t.other.RoundTrip(r)
	}
	for {
		c, reused, err := t.connection(r)
		if err != nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, err
		}
		res, err := c.exchange(r, reused)
		if err == nil {
			return res, nil
		}
		if r.Context().Err() != nil {
			return nil, context.Cause(r.Context())
		}
		if errors.Is(err, errEnded) {
			continue
		}
		if !reused || c.received > 0 || (c.sent > 0 && !replayable(r)) {
			return nil, err
		}
		if r.GetBody != nil {
			again := *r
			if again.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
			r = &again
		}
	}
}

// fits reports whether this transport can carry a request itself.
func (t *Transport) fits(r *http.Request) bool {
	if r.URL == nil || (r.URL.Scheme != "http" && r.URL.Scheme != "https") {
		return false
	}
	for i := range len(r.URL.Host) {
		if r.URL.Host[i] >= 0x80 {
			return false
		}
	}
	if r.Body != nil && r.Body != http.NoBody && (r.GetBody == nil || r.ContentLength <= 0 ||
		r.ContentLength > maxWritten) {
		return false
	}
	if t.other.Proxy == nil {
		return true
	}
	proxy, err := t.other.Proxy(r)
	return proxy == nil && err == nil
}

// replayable reports whether a request may be sent again although it may already have been carried out, by net/http's
// rule.
func replayable(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}

// connection returns a connection for a request, if possible a kept one.
func (t *Transport) connection(r *http.Request) (c *connection, reused bool, err error) {
	c = t.take(r.URL)
	if c == nil {
		coroutine.Leave(r.Context())
		c, err = t.dial(r.Context(), r.URL)
		return c, false, err
	}
	return c, true, nil
}

// take takes the most recently used connection to a server.
func (t *Transport) take(to *url.URL) *connection {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = false
	for i, c := range slices.Backward(t.idle) {
		if c.scheme == to.Scheme && c.host == to.Host {
			t.idle = slices.Delete(t.idle, i, i+1)
			return c
		}
	}
	return nil
}

// keep keeps a connection for the next request.
func (t *Transport) keep(c *connection) {
	t.mu.Lock()
	kept := !t.closing && len(t.idle) < cmp.Or(t.other.MaxIdleConnsPerHost, http.DefaultMaxIdleConnsPerHost)
	if kept {
		c.since = time.Now()
		t.idle = append(t.idle, c)
		if len(t.idle) == 1 {
			t.expireIn(t.other.IdleConnTimeout)
		}
	}
	t.mu.Unlock()
	if !kept {
		c.close()
	}
}

// forget removes an ended connection from the idle ones.
func (t *Transport) forget(c *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = slices.DeleteFunc(t.idle, func(other *connection) bool { return other == c })
}

// expireIn sets the timer for the oldest idle connection.
func (t *Transport) expireIn(d time.Duration) {
	switch {
	case t.other.IdleConnTimeout <= 0:
	case t.expiry == nil:
		t.expiry = time.AfterFunc(d, t.expire)
	default:
		t.expiry.Reset(d)
	}
}

// expire closes the connections that have been idle for too long.
func (t *Transport) expire() {
	t.mu.Lock()
	n := 0
	for n < len(t.idle) && time.Since(t.idle[n].since) >= t.other.IdleConnTimeout {
		n++
	}
	old := slices.Clone(t.idle[:n])
	t.idle = slices.Delete(t.idle, 0, n)
	if len(t.idle) > 0 {
		t.expireIn(t.other.IdleConnTimeout - time.Since(t.idle[0].since))
	}
	t.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// dial opens a connection to a server.
func (t *Transport) dial(ctx context.Context, to *url.URL) (*connection, error) {
	port := cmp.Or(to.Port(), map[string]string{"http": "80", "https": "443"}[to.Scheme])
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(to.Hostname(), port))
	if err != nil {
		return nil, err
	}
	s, err := newSocket(conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if to.Scheme == "http" {
		return newConnection(t, to, s, s), nil
	}
	shake, cancel := ctx, context.CancelFunc(func() {})
	if limit := t.other.TLSHandshakeTimeout; limit > 0 {
		shake, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	secured := tls.Client(s, t.tlsConfig(to.Hostname()))
	if err := secured.HandshakeContext(shake); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newConnection(t, to, s, secured), nil
}

// tlsConfig returns the TLS configuration for a host. It offers only HTTP/1.1.
func (t *Transport) tlsConfig(host string) *tls.Config {
	c := &tls.Config{} // Go's default: at least TLS 1.2
	if t.other.TLSClientConfig != nil {
		c = t.other.TLSClientConfig.Clone()
	}
	c.ServerName, c.NextProtos = cmp.Or(c.ServerName, host), []string{"http/1.1"}
	return c
}
