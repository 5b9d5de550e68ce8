package message

import (
	"sync"

	"github.com/emiago/sipgo/sip"
)

// Buffer is room for a message that is written. It is taken from a pool and given back.
type Buffer struct{ Bytes []byte }

// maxPooled bounds the buffers that are kept, in bytes.
const maxPooled = 16 << 10

var buffers = sync.Pool{New: func() any { return &Buffer{Bytes: make([]byte, 0, 2048)} }}

// TakeBuffer gives an empty buffer.
func TakeBuffer() *Buffer {
	b, ok := buffers.Get().(*Buffer)
	if !ok {
		return nil // not possible: the pool makes nothing else
	}
	return b
}

// Release gives the buffer back.
func (b *Buffer) Release() {
	if cap(b.Bytes) <= maxPooled {
		b.Bytes = b.Bytes[:0]
		buffers.Put(b)
	}
}

// WriteString appends s. It never fails.
func (b *Buffer) WriteString(s string) (int, error) {
	b.Bytes = append(b.Bytes, s...)
	return len(s), nil
}

// Append appends a message as it is sent (RFC 3261 section 7).
func (b *Buffer) Append(msg sip.Message) {
	switch m := msg.(type) {
	case *sip.Request:
		b.add(string(m.Method), " ")
		m.Recipient.StringWrite(b)
		b.add(" ", m.SipVersion, "\r\n")
		b.rest(m.Headers(), m.Body())
	case *sip.Response:
		m.StartLineWrite(b)
		b.add("\r\n")
		b.rest(m.Headers(), m.Body())
	}
}

func (b *Buffer) add(parts ...string) {
	for _, s := range parts {
		b.Bytes = append(b.Bytes, s...)
	}
}

// rest appends what follows a first line.
func (b *Buffer) rest(headers []sip.Header, body []byte) {
	for _, h := range headers {
		h.StringWrite(b)
		b.add("\r\n")
	}
	b.add("\r\n")
	b.Bytes = append(b.Bytes, body...)
}
