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
	"sync"
	"syscall"
	"time"

	"flowbridge/internal/coroutine"
)

// connection carries one exchange after another. A goroutine of the connection (attend) waits for input. The goroutine
// that sends a request conducts the exchange. It owns the connection from the first input until the exchange is over.
type connection struct {
	of           *Transport
	scheme, host string
	socket       *socket
	stream       net.Conn // the socket, or TLS on it
	in           *bufio.Reader
	out          *bufio.Writer
	abort        func()        // closes the socket at once; any goroutine may call it
	since        time.Time     // when it became idle
	resumes      chan func()   // functions that continue the exchange when input has come
	over         chan struct{} // closed when the exchange is over; nil if attend continues it

	mu    sync.Mutex // guards the fields below, and in, until input comes
	asked bool       // an exchange is in progress
	later bool       // the exchange is over, and attend must return the connection to the pool
	ended bool       // the connection can't be used for further exchanges
	room  int64      // how many more bytes of headers are accepted

	sent, received int64 // bytes of the current exchange
}

func newConnection(of *Transport, to *url.URL, s *socket, stream net.Conn) *connection {
	c := &connection{of: of, scheme: to.Scheme, host: to.Host, socket: s, stream: stream, abort: func() { _ = s.Close() }}
	c.in, c.out, c.resumes = bufio.NewReader(c), bufio.NewWriter(c), make(chan func(), 1)
	return c
}

func (c *connection) close() { _ = c.stream.Close() }

// errHeaders means an answer whose headers don't end.
var errHeaders = errors.New("the answer's headers are too large")

// Read reads from the stream. It counts bytes and limits the size of headers.
func (c *connection) Read(p []byte) (int, error) {
	if c.room <= 0 {
		return 0, errHeaders
	}
	n, err := c.stream.Read(p)
	c.received += int64(n)
	c.room -= int64(n)
	return n, err
}

// Write writes to the stream. It counts bytes.
func (c *connection) Write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	c.sent += int64(n)
	return n, err
}

// come reports whether there is input or the end of input. Unsolicited input ends the connection.
func (c *connection) come() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket.look = true
	_, err := c.in.Peek(1)
	c.socket.look = false
	come := !errors.Is(err, os.ErrDeadlineExceeded)
	c.ended = c.ended || come && !c.asked
	return come
}

// attend waits for input and continues each exchange, until the connection has ended.
func (c *connection) attend() {
	for {
		_ = c.socket.wait(c.come) // the exchange's read returns the error, too
		c.mu.Lock()
		c.ended = c.ended || !c.asked
		ended := c.ended
		c.mu.Unlock()
		if ended {
			c.of.forget(c)
			c.close()
			return
		}
		(<-c.resumes)()
	}
}

// begin starts an exchange. It returns false if there was unsolicited input.
func (c *connection) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.sent, c.received = !c.ended, 0, 0
	c.room = cmp.Or(c.of.other.MaxResponseHeaderBytes, maxHeaders)
	return c.asked
}

// giveBack ends an exchange after which the connection is kept.
func (c *connection) giveBack() {
	c.mu.Lock()
	c.asked, c.later, c.room = false, false, 1
	c.mu.Unlock()
	c.of.keep(c)
}

// wait waits for input.
func (c *connection) wait(ctx context.Context) {
	if coroutine.Park(ctx, func(resume func()) {
		c.resumes <- func() {
			resume()
			c.left()
		}
	}) {
		return
	}
	come, over := make(chan struct{}), make(chan struct{})
	c.over = over
	c.resumes <- func() {
		close(come)
		<-over
	}
	<-come
}

// left cleans up after a coroutine has returned or moved. If its exchange is not over, the connection ends.
func (c *connection) left() {
	c.mu.Lock()
	later, open := c.later, c.asked && !c.later
	c.ended = c.ended || open
	c.mu.Unlock()
	switch {
	case later:
		c.giveBack()
	case open:
		c.close()
	}
}

// errEnded means that a kept connection has ended, or had unsolicited input.
var errEnded = errors.New("the connection has ended")

// exchange sends a request and waits for the headers of its answer. After an error the connection is closed. errEnded
// means that the connection could not be used, and that no part of the request was sent.
func (c *connection) exchange(r *http.Request, reused bool) (*http.Response, error) {
	a := &answerBody{connection: c, ctx: r.Context(), stop: context.AfterFunc(r.Context(), c.abort)}
	if !c.begin() {
		a.end(false)
		return nil, errEnded
	}
	if !reused {
		go c.attend()
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c.stream, Reused: reused})
	}
	failed := r.Write(c.out)
	if failed == nil {
		failed = c.out.Flush()
	}
	c.wait(r.Context())
	// Read an answer even after a failed write: a server may refuse a request before it has read all of it.
	res, err := c.answer(r)
	if err != nil {
		a.end(false)
		return nil, cmp.Or(failed, err)
	}
	c.room = math.MaxInt64 // the body's reader limits its size
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

// answer reads the headers of an answer. It skips interim answers (RFC 9110 section 15.2), within the limit for
// headers.
func (c *connection) answer(r *http.Request) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(c.in, r)
		if err != nil || res.StatusCode/100 != 1 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, err
		}
	}
}

// answerBody is the body of an answer. At its end the connection returns to the pool. If the body is closed before its
// end, the connection is closed, too.
type answerBody struct {
	*connection
	body io.ReadCloser
	ctx  context.Context // context of the request
	stop func() bool     // stops watching ctx
	keep bool            // keep the connection at the end
	err  error           // set at the end of the body
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

// Close ends the connection if the body was not read to its end.
func (a *answerBody) Close() error {
	if a.err == nil {
		a.err = http.ErrBodyReadAfterClose
		a.end(false)
	}
	return nil
}

// end ends an exchange. If the connection's goroutine is continuing the exchange, the connection is given back only
// after that, because the goroutine may be busy for a while.
func (a *answerBody) end(keep bool) {
	over := a.over
	a.over = nil
	keep = a.stop() && keep && a.in.Buffered() == 0
	a.mu.Lock()
	a.asked, a.later = keep, keep && over == nil
	a.mu.Unlock()
	switch {
	case !keep:
		a.close()
	case over != nil:
		a.giveBack()
	}
	if over != nil {
		close(over)
	}
}

// unzipped decompresses a body.
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

// socket is a TCP connection that can be checked for input without waiting.
type socket struct {
	net.Conn
	raw  syscall.RawConn
	look bool // reads don't wait: without input they return a deadline error; only within wait
	fd   int  // set within wait
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
	return &socket{Conn: conn, raw: raw}, nil
}

// wait calls step until step returns true. It calls step again each time input, or the connection's end, has come since
// the last call began. A step may look, but must not close.
func (s *socket) wait(step func() bool) error {
	return s.raw.Read(func(fd uintptr) bool {
		s.fd = int(fd)
		return step()
	})
}

// Read reads from the connection.
func (s *socket) Read(p []byte) (int, error) {
	if !s.look {
		return s.Conn.Read(p)
	}
	switch n, err := syscall.Read(s.fd, p); {
	case errors.Is(err, syscall.EAGAIN):
		return 0, os.ErrDeadlineExceeded // TLS recovers from it
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}
