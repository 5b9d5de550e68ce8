package message

import (
	"bytes"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Compact copies strings into one new string, of which they become parts. Otherwise strings that are parts of messages
// would keep the whole messages in memory.
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

// HeaderText is the text of a request without its body. Parse can read it.
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

// Request parses the text again.
func (t HeaderText) Request() *sip.Request {
	msg, err := Parse([]byte(t))
	if req, ok := msg.(*sip.Request); ok && err == nil {
		return req
	}
	return sip.NewRequest(sip.INVITE, sip.Uri{}) // can't happen: the text was made from a parsed request
}

// Value returns the first value of a header, or "". It can be used as template.Vars.HeaderFunc.
func (t HeaderText) Value(name string) string { return FirstHeader(t.Request(), name) }

// Text returns a message as text, which Parse can read.
func Text(msg sip.Message) []byte {
	b := TakeBuffer()
	defer b.Release()
	b.Append(msg)
	return append([]byte(nil), b.Bytes...)
}

// Kept is a message that is stored as text. The text is that of Msg if Msg is set, and otherwise Text. Parse can read
// it.
type Kept struct {
	Msg  sip.Message
	Text []byte
}

// AppendBinary appends the text. It never fails.
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
