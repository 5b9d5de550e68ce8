package message

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
)

// Framer cuts a stream into SIP messages by their Content-Length (RFC 3261 section 18.3), however
// the network has split or joined them.
type Framer struct {
	Src           io.Reader
	Limit         int // maximum size of a message in bytes
	ResponseLimit int // maximum size of a response, if larger than Limit
	buf           []byte
	used          []byte // the part of buf that was read but not yet returned
	Begun         func() // called when the first byte of a message has come
	looked        int    // number of bytes of used in which the end of the headers was not found
}

// FrameError means that the start of the next message can't be found in a stream. Head is what was
// received of the message's headers. Status may be sent to refuse the message.
type FrameError struct {
	Status string
	Head   []byte
}

func (e *FrameError) Error() string { return "framing lost: " + e.Status }

// ErrKeepAlive means that the peer has sent a double CRLF, which asks for a single CRLF (RFC 5626
// section 3.5.1).
var ErrKeepAlive = errors.New("keep-alive")

// framerStep is the initial size of a framer's buffer. Most messages fit into it.
const framerStep = 2048

// Next returns the next whole message, which is valid until the next call.
func (f *Framer) Next() ([]byte, error) {
	for {
		if err := f.skipBlank(); err != nil {
			return nil, err
		}
		if message, err := f.cut(); message != nil || err != nil {
			return message, err
		}
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
}

// skipBlank drops the line ends before a start line (RFC 3261 section 7.5). It returns
// ErrKeepAlive if they are a keep-alive.
func (f *Framer) skipBlank() error {
	for f.looked == 0 && len(f.used) > 0 && (f.used[0] == '\r' || f.used[0] == '\n') {
		if bytes.HasPrefix(f.used, []byte("\r\n\r\n")) {
			f.used = f.used[4:]
			return ErrKeepAlive
		}
		if bytes.HasPrefix([]byte("\r\n\r\n"), f.used) {
			return nil // the rest of a keep-alive may follow
		}
		f.used = f.used[1:]
	}
	return nil
}

// cut removes the first message from the buffer. It returns nil if the message is not complete yet.
func (f *Framer) cut() ([]byte, error) {
	from := max(f.looked-3, 0)
	i := bytes.Index(f.used[from:], []byte("\r\n\r\n"))
	if i < 0 || f.used[0] == '\r' {
		if f.looked = len(f.used); len(f.used) > 0 && f.used[0] == '\r' {
			f.looked = 0
		}
		if len(f.used) >= f.Limit {
			return nil, &FrameError{"513 Message Too Large", f.used}
		}
		return nil, nil
	}
	head := f.used[:from+i+4]
	length, err := contentLength(head)
	if err != nil {
		return nil, &FrameError{"400 " + err.Error(), head}
	}
	limit := f.Limit
	if bytes.HasPrefix(head, []byte("SIP/2.0 ")) {
		limit = max(limit, f.ResponseLimit)
	}
	if length > limit-len(head) {
		return nil, &FrameError{"513 Message Too Large", head}
	}
	whole := len(head) + length
	if len(f.used) < whole {
		return nil, nil
	}
	message := f.used[:whole:whole]
	f.used, f.looked = f.used[whole:], 0
	return message, nil
}

// Midway reports whether the buffer holds part of a message.
func (f *Framer) Midway() bool { return len(bytes.Trim(f.used, "\r\n")) > 0 }

// Unread returns the bytes that were read from the stream, but not returned as part of a message.
func (f *Framer) Unread() []byte { return f.used }

// Preload gives a new framer the unread bytes of another one.
func (f *Framer) Preload(b []byte) { f.buf, f.used = b, b }

// fill reads more bytes.
func (f *Framer) fill() error {
	blank := !f.Midway()
	if n := copy(f.buf, f.used); len(f.used) == len(f.buf) {
		f.buf = append(f.buf, make([]byte, max(framerStep, len(f.buf)))...)
		f.used = f.buf[:n]
	} else {
		f.used = f.buf[:n]
	}
	n, err := f.Src.Read(f.buf[len(f.used):])
	f.used = f.buf[:len(f.used)+n]
	if blank && f.Begun != nil && f.Midway() {
		f.Begun()
	}
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// contentLength reads the Content-Length. A message in a stream must have exactly one.
func contentLength(head []byte) (int, error) {
	length := -1
	_, rest := CutLine(head)
	for {
		var line []byte
		if line, rest = cutHeader(rest); len(line) == 0 {
			break
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		name = bytes.TrimSpace(name)
		if !found || !EqualFold(name, "content-length") && !EqualFold(name, "l") {
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 31)
		switch {
		case errors.Is(err, strconv.ErrRange):
			n = math.MaxInt32 // too large in any case
		case err != nil:
			return 0, errors.New("Content-Length Is Malformed")
		}
		if length >= 0 && length != int(n) {
			return 0, errors.New("Content-Length Comes Twice")
		}
		length = int(n)
	}
	if length < 0 {
		return 0, errors.New("Content-Length Is Missing")
	}
	return length, nil
}
