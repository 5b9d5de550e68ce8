package httpd

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// small is how many bytes of each body are not counted, so that nobody
	// who sends large bodies can keep ordinary ones out: there are at most as
	// many as the listener takes connections.
	small = 64 << 10
	// maxHeld bounds the bytes beyond that of all bodies under way. They
	// count once they are there, so holding them takes sending them.
	maxHeld = 64 << 20
)

// Bodies reads the bodies of one handler's requests within bounds on each
// one's size and time, and on what all of them hold in memory.
type Bodies struct {
	// Max is the size of a body in bytes.
	Max int64
	// Wait is how long one may take to come.
	Wait time.Duration

	held atomic.Int64
}

// Refusal is why a request is not taken, in words for who sent it.
type Refusal struct {
	Status int
	Words  string
}

// Read gives the body of a request. The bytes count until release is called.
// A body that is too long gives 413, one that is cut short or late 400, and
// 503 with Retry-After is for those that there is no room for; w has had
// nothing but headers then, and release is nil.
func (b *Bodies) Read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), no *Refusal) {
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(b.Wait)) // not every ResponseWriter has one; those of net/http's server do
	in := &counted{from: http.MaxBytesReader(w, r.Body, b.Max), all: &b.held}
	body, err := io.ReadAll(in)
	if err == nil {
		_ = conn.SetReadDeadline(time.Time{})
		return body, in.release, nil
	}
	in.release()
	// The deadline stays: before it answers, net/http reads what is left of a
	// body, and would wait for it.
	w.Header().Set("Connection", "close")
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return nil, nil, &Refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", b.Max)}
	}
	if errors.Is(err, errFull) {
		w.Header().Set("Retry-After", "1")
		return nil, nil, &Refusal{http.StatusServiceUnavailable, "too many large bodies at a time"}
	}
	return nil, nil, &Refusal{http.StatusBadRequest, fmt.Sprintf("the body was cut short, or took longer than %v", b.Wait)}
}

var errFull = errors.New("no room")

// counted counts what is read beyond the small part.
type counted struct {
	from io.Reader
	all  *atomic.Int64
	n    int64 // bytes read
	held int64 // of them, counted in all
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	if more := c.n - small - c.held; more > 0 {
		c.held += more
		if c.all.Add(more) > maxHeld {
			return n, errFull
		}
	}
	return n, err
}

func (c *counted) release() {
	c.all.Add(-c.held)
	c.held = 0
}
