package message

import (
	"bytes"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Compact copies strings into one of their own size. They may be parts of messages, which
// they would keep in memory otherwise.
func Compact(all ...*string) {
	n := 0
	for _, s := range all {
		n += len(*s)
	}
	var text strings.Builder
	text.Grow(n)
	for _, s := range all {
		text.WriteString(*s)
	}
	one := text.String()
	for _, s := range all {
		n = len(*s)
		*s, one = one[:n], one[n:]
	}
}

// HeaderText is a request without its body as text, which Parse reads.
type HeaderText string

// HeaderTextOf returns the text of a request.
func HeaderTextOf(req *sip.Request) HeaderText {
	b := TakeBuffer()
	defer b.Release()
	b.add(string(req.Method), " ")
	b.uri(&req.Recipient)
	b.add(" ", req.SipVersion, "\r\n")
	for _, h := range req.Headers() {
		if _, length := h.(*sip.ContentLengthHeader); !length {
			b.header(h)
			b.add("\r\n")
		}
	}
	b.add("\r\n")
	return HeaderText(b.Bytes)
}

// Request reads the request again.
func (t HeaderText) Request() *sip.Request {
	msg, err := Parse([]byte(t))
	if req, ok := msg.(*sip.Request); ok && err == nil {
		return req
	}
	return sip.NewRequest(sip.INVITE, sip.Uri{}) // never: it has been read before
}

// Value returns the first value of a header, as template.Vars.HeaderFunc.
func (t HeaderText) Value(name string) string { return FirstHeader(t.Request(), name) }

// Text returns a message as text, which Parse reads.
func Text(msg sip.Message) []byte {
	b := TakeBuffer()
	defer b.Release()
	b.Append(msg)
	return append([]byte(nil), b.Bytes...)
}

// Kept is a message that a state has as text, which Parse reads: Text, or the text of Msg where there is one.
type Kept struct {
	Msg  sip.Message
	Text []byte
}

// AppendBinary appends the text. There is no error.
func (k Kept) AppendBinary(b []byte) ([]byte, error) {
	if k.Msg == nil {
		return append(b, k.Text...), nil
	}
	text := TakeBuffer()
	defer text.Release()
	text.Append(k.Msg)
	return append(b, text.Bytes...), nil
}

// UnmarshalBinary reads the text.
func (k *Kept) UnmarshalBinary(text []byte) error {
	k.Text = bytes.Clone(text)
	return nil
}
