package rest

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// connection carries one exchange after the other.
type connection struct {
	of           *Transport
	scheme, host string
	socket       *socket
	stream       net.Conn // the socket, or TLS on it
	in           *bufio.Reader
	out          *bufio.Writer
	abort        func()    // the socket's end at once, by whichever goroutine
	since        time.Time // idle since

	// of the exchange; in bytes
	sent, received int64
	room           int64 // what may yet come of the headers

	send   func() bool   // what is done before the wait for an answer, on the request
	asks   *http.Request // nil: it is sent
	reused bool
	failed error // to send it
}

func newConnection(of *Transport, to *url.URL, s *socket, stream net.Conn) *connection {
	c := &connection{of: of, scheme: to.Scheme, host: to.Host, socket: s, stream: stream, abort: func() { _ = s.Close() }}
	c.in, c.out = bufio.NewReader(c), bufio.NewWriter(c)
	c.send = c.sendOnce
	return c
}

func (c *connection) close() { _ = c.stream.Close() }

// errHeaders is an answer whose headers don't end.
var errHeaders = errors.New("the answer's headers are too large")

// Read reads from the stream. It counts, and bounds headers.
func (c *connection) Read(p []byte) (int, error) {
	if c.room <= 0 {
		return 0, errHeaders
	}
	n, err := c.stream.Read(p)
	c.received += int64(n)
	c.room -= int64(n)
	return n, err
}

// Write writes to the stream. It counts.
func (c *connection) Write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	c.sent += int64(n)
	return n, err
}

// errEnded is an idle connection that has ended, or on which something has come.
var errEnded = errors.New("the connection has ended")

// alive says whether an idle connection can be used: nothing has come on it, not even its end.
func (c *connection) alive() bool {
	c.socket.look, c.room = true, 1
	_, err := c.in.Peek(1)
	c.socket.look = false
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// sendOnce sends the request, if an idle connection is alive. It says whether there is nothing to wait for: the second
// time, after an error, and where a server says something before it is asked.
func (c *connection) sendOnce() bool {
	r := c.asks
	if c.asks = nil; r == nil {
		return true
	}
	silent := c.alive()
	if c.reused && !silent {
		c.failed = errEnded
		return true
	}
	c.room = cmp.Or(c.of.other.MaxResponseHeaderBytes, maxHeaders)
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c.stream, Reused: c.reused})
	}
	if c.failed = r.Write(c.out); c.failed == nil {
		c.failed = c.out.Flush()
	}
	return c.failed != nil || !silent
}

// exchange sends a request and waits for the headers of its answer. After an error the connection is closed; errEnded:
// it was of no use, and nothing was sent.
func (c *connection) exchange(r *http.Request, reused bool) (*http.Response, error) {
	a := &answerBody{connection: c, ctx: r.Context(), stop: context.AfterFunc(r.Context(), c.abort)}
	c.asks, c.reused, c.failed, c.sent, c.received = r, reused, nil, 0, 0
	failed := c.socket.wait(c.send)
	if failed = cmp.Or(c.failed, failed); errors.Is(failed, errEnded) {
		a.end(false)
		return nil, failed
	}
	res, err := c.answer(r) // also after a failed write: a server may refuse a request before it is whole
	if err != nil {
		a.end(false)
		return nil, cmp.Or(failed, err)
	}
	c.room = math.MaxInt64 // whoever reads the body bounds it
	a.keep = failed == nil && !res.Close && !r.Close && res.StatusCode != http.StatusSwitchingProtocols
	if res.Body == http.NoBody {
		a.end(a.keep)
		return res, nil
	}
	a.body, res.Body = res.Body, a
	if strings.EqualFold(res.Header.Get("Content-Encoding"), "gzip") {
		res.Body, res.ContentLength, res.Uncompressed = &unzipped{from: a}, -1, true
		res.Header.Del("Content-Encoding")
		res.Header.Del("Content-Length")
	}
	return res, nil
}

// answer reads the headers of an answer. Interim ones are passed over (RFC 9110 section 15.2), within the bound of the
// headers.
func (c *connection) answer(r *http.Request) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(c.in, r)
		if err != nil || res.StatusCode/100 != 1 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, err
		}
	}
}

// answerBody is the body of an answer. At its end the connection goes back to the pool; where it is closed before, it
// is closed with it.
type answerBody struct {
	*connection
	body io.ReadCloser
	ctx  context.Context // the request's
	stop func() bool     // its watch
	keep bool            // the connection, at the end
	err  error           // not nil: it is over
}

// Read reads the body.
func (a *answerBody) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.body.Read(p)
	if err != nil {
		whole := errors.Is(err, io.EOF)
		if !whole && a.ctx.Err() != nil {
			err = context.Cause(a.ctx)
		}
		a.err = err
		a.end(whole && a.keep)
	}
	return n, err
}

// Close ends the connection if the body is not read to its end.
func (a *answerBody) Close() error {
	if a.err == nil {
		a.err = http.ErrBodyReadAfterClose
		a.end(false)
	}
	return nil
}

// end ends an exchange.
func (a *answerBody) end(keep bool) {
	if !a.stop() || !keep || a.in.Buffered() > 0 {
		a.close()
		return
	}
	a.of.keep(a.connection)
}

// unzipped is a compressed body as it was before.
type unzipped struct {
	from io.ReadCloser
	zip  *gzip.Reader
	err  error
}

// Read reads the body.
func (u *unzipped) Read(p []byte) (int, error) {
	if u.zip == nil && u.err == nil {
		u.zip, u.err = gzip.NewReader(u.from)
	}
	if u.err != nil {
		return 0, u.err
	}
	return u.zip.Read(p)
}

// Close closes the body.
func (u *unzipped) Close() error { return u.from.Close() }

// socket is a TCP connection at which one can look without waiting.
type socket struct {
	net.Conn
	raw  syscall.RawConn
	look bool // reads don't wait: where there is nothing, they end as after a deadline. Within wait alone

	step func() bool // of wait
	try  func(fd uintptr) bool
	fd   int // within wait
}

func newSocket(conn net.Conn) (*socket, error) {
	from, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a connection of type %T is no socket", conn)
	}
	raw, err := from.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn, raw: raw}
	s.try = func(fd uintptr) bool {
		s.fd = int(fd)
		return s.step()
	}
	return s, nil
}

// wait does a step until that says true, each time after something has come since the step before began, or the
// connection's end. So a request that is sent within a step is not followed by a read that finds nothing yet. A step
// may look and write, not close.
func (s *socket) wait(step func() bool) error {
	s.step = step
	return s.raw.Read(s.try)
}

// Read reads from the connection.
func (s *socket) Read(p []byte) (int, error) {
	if !s.look {
		return s.Conn.Read(p)
	}
	switch n, err := syscall.Read(s.fd, p); {
	case errors.Is(err, syscall.EAGAIN):
		return 0, os.ErrDeadlineExceeded // which TLS gets over
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}
