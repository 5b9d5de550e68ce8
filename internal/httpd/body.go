package httpd

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// small is how many bytes of each body do not count towards maxHeld. So large bodies can't keep out ordinary ones,
	// whose number the listener limits.
	small = 64 << 10
	// maxHeld limits the remaining bytes of all bodies in progress. Bytes count once they have arrived, so a sender must
	// send them to occupy memory.
	maxHeld = 64 << 20
)

// Bodies reads the bodies of one handler's requests. It limits the size and time of each body, and the memory of all
// bodies together.
type Bodies struct {
	Max  int64         // maximum size of a body, in bytes
	Wait time.Duration // how long a body may take to arrive

	held atomic.Int64
}

// Refusal is why a request is not accepted, in words for the sender.
type Refusal struct {
	Status int
	Words  string
}

// HasType reports whether a request declares its body as this media type.
func HasType(r *http.Request, want string) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == want
}

// Read returns the body of a request. Its bytes count until release is called. If the body is too long, the refusal is
// 413. If it is cut short or late, it is 400. If there is no memory for it, it is 503 with Retry-After. In these cases
// only headers have been written to w, and release is nil.
func (b *Bodies) Read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), no *Refusal) {
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(b.Wait)) // net/http's ResponseWriters have one; others may not
	in := &counted{from: http.MaxBytesReader(w, r.Body, b.Max), all: &b.held}
	body, err := io.ReadAll(in)
	if err == nil {
		_ = conn.SetReadDeadline(time.Time{})
		return body, in.release, nil
	}
	in.release()
	// The deadline stays in force, because before the answer net/http reads the rest of a body, and would wait for it.
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

// counted counts the bytes read beyond the small part.
type counted struct {
	from io.Reader
	all  *atomic.Int64
	n    int64 // bytes read
	held int64 // part of n that counts towards maxHeld
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
