package message

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// Buffer is a buffer for writing a message. It comes from a pool, and Release returns it.
type Buffer struct{ Bytes []byte }

// maxPooled bounds the size of buffers in the pool, in bytes.
const maxPooled = 16 << 10

var buffers Spare[Buffer]

// TakeBuffer returns an empty buffer.
func TakeBuffer() *Buffer {
	b := buffers.Take()
	b.Bytes = slices.Grow(b.Bytes, 2048)
	return b
}

// Spare is memory for reuse, by any goroutine.
type Spare[T any] struct{ pool sync.Pool }

// Take returns memory that was put back, or a zero T.
func (s *Spare[T]) Take() *T {
	if t, ok := s.pool.Get().(*T); ok {
		return t
	}
	return new(T)
}

// Put puts memory back. Its user must not use it any more.
func (s *Spare[T]) Put(t *T) { s.pool.Put(t) }

// Release returns the buffer to the pool.
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

// Append appends a message as it is sent (RFC 3261 section 7), with the same text as the
// library's. It allocates nothing for the usual headers.
func (b *Buffer) Append(msg sip.Message) {
	switch m := msg.(type) {
	case *sip.Request:
		b.add(string(m.Method), " ")
		b.uri(&m.Recipient)
		b.add(" ", m.SipVersion, "\r\n")
		b.rest(m.Headers(), m.Body())
	case *sip.Response:
		b.add(m.SipVersion, " ")
		b.number(m.StatusCode)
		b.add(" ", m.Reason, "\r\n")
		b.rest(m.Headers(), m.Body())
	}
}

// AppendTrying appends the 100 to an INVITE (RFC 3261 section 8.2.6.1, RFC 3581 section 4).
func (b *Buffer) AppendTrying(req *sip.Request) {
	b.add("SIP/2.0 100 Trying\r\n")
	for _, h := range req.Headers() {
		if via, ok := h.(*sip.ViaHeader); ok {
			b.viaBack(via, via == req.Via(), req.Source())
			b.add("\r\n")
		}
	}
	for _, h := range [...]sip.Header{req.From(), req.To(), req.CallID(), req.CSeq()} {
		b.header(h)
		b.add("\r\n")
	}
	for _, h := range req.Headers() {
		if strings.EqualFold(h.Name(), "timestamp") {
			b.header(h)
			b.add("\r\n")
		}
	}
	b.add("Content-Length: 0\r\n\r\n")
}

// viaBack appends a Via of an answer. If the topmost Via asks for it, viaBack adds the
// source of the request.
func (b *Buffer) viaBack(h *sip.ViaHeader, top bool, source string) {
	if rport, asks := h.Params.Get("rport"); top && asks && rport == "" {
		from := ParseSource(source)
		filled := *h
		filled.Params = append(make(sip.HeaderParams, 0, len(h.Params)+1), h.Params...)
		filled.Params.Add("rport", strconv.Itoa(int(from.Port())))
		filled.Params.Add("received", from.Addr().String())
		h = &filled
	}
	b.via(h)
}

func (b *Buffer) add(parts ...string) {
	for _, s := range parts {
		b.Bytes = append(b.Bytes, s...)
	}
}

func (b *Buffer) number(n int) { b.Bytes = strconv.AppendInt(b.Bytes, int64(n), 10) }

// rest appends everything after the first line.
func (b *Buffer) rest(headers []sip.Header, body []byte) {
	b.AppendHeaders(headers)
	b.add("\r\n")
	b.Bytes = append(b.Bytes, body...)
}

// AppendHeaders appends the lines of headers as they are sent.
func (b *Buffer) AppendHeaders(headers []sip.Header) {
	for _, h := range headers {
		b.header(h)
		b.add("\r\n")
	}
}

func (b *Buffer) header(h sip.Header) {
	switch h := h.(type) {
	case *sip.ViaHeader:
		b.via(h)
	case *sip.FromHeader:
		b.address("From: ", h.DisplayName, &h.Address, h.Params)
	case *sip.ToHeader:
		b.address("To: ", h.DisplayName, &h.Address, h.Params)
	case *sip.ContactHeader:
		if h.Address.Wildcard {
			b.add("Contact: *")
			return
		}
		b.address("Contact: ", h.DisplayName, &h.Address, h.Params)
	case *sip.RecordRouteHeader:
		b.address("Record-Route: ", "", &h.Address, nil)
	case *sip.RouteHeader:
		b.address("Route: ", "", &h.Address, nil)
	case *sip.CSeqHeader:
		b.add("CSeq: ")
		b.number(int(h.SeqNo))
		b.add(" ", string(h.MethodName))
	case *sip.MaxForwardsHeader:
		b.add("Max-Forwards: ")
		b.number(int(*h))
	case *sip.ContentLengthHeader:
		b.add("Content-Length: ")
		b.number(int(*h))
	default:
		h.StringWrite(b)
	}
}

func (b *Buffer) via(h *sip.ViaHeader) {
	b.add("Via: ", h.ProtocolName, "/", h.ProtocolVersion, "/", h.Transport, " ")
	b.host(h.Host, h.Port)
	b.params(';', ';', h.Params)
}

func (b *Buffer) address(name, display string, uri *sip.Uri, params sip.HeaderParams) {
	b.add(name)
	if display != "" {
		b.add("\"", display, "\" ")
	}
	b.add("<")
	b.uri(uri)
	b.add(">")
	b.params(';', ';', params)
}

func (b *Buffer) uri(u *sip.Uri) {
	if u.Raw() != "" || u.HierarhicalSlashes {
		u.StringWrite(b)
		return
	}
	scheme := u.Scheme
	if scheme == "" {
		scheme = "sip"
	}
	b.add(scheme, ":")
	if u.User != "" {
		b.add(u.User)
		if u.Password != "" {
			b.add(":", u.Password)
		}
		b.add("@")
	}
	b.host(u.Host, u.Port)
	b.params(';', ';', u.UriParams)
	b.params('?', '&', u.Headers)
}

// host appends a host, with brackets around an IPv6 address, and a port, unless it is 0.
func (b *Buffer) host(host string, port int) {
	ip, err := netip.Addr{}, error(nil)
	if strings.IndexByte(host, ':') >= 0 {
		ip, err = netip.ParseAddr(host)
	}
	if err == nil && ip.Is6() && !ip.Is4In6() && ip.Zone() == "" {
		b.add("[", host, "]")
	} else {
		b.add(host)
	}
	if port > 0 {
		b.add(":")
		b.number(port)
	}
}

// params appends first and the parameters, with separators between them.
func (b *Buffer) params(first, separator byte, params sip.HeaderParams) {
	for _, p := range params {
		b.Bytes = append(b.Bytes, first)
		b.param(p)
		first = separator
	}
}

// param appends a parameter, with the quotes that bare has removed.
func (b *Buffer) param(p sip.HeaderKV) {
	b.add(p.K)
	switch {
	case p.V == "":
	case strings.ContainsAny(p.V, " \t"):
		b.add("=\"", p.V, "\"")
	default:
		b.add("=", p.V)
	}
}

// AddrText returns a URI as an address for From or To, without a name.
func AddrText(uri *sip.Uri) string { return NameAddr("", uri, nil) }

// TargetText returns a Contact's URI as the Request-URI for requests within the dialog.
func TargetText(c *sip.ContactHeader) string {
	uri := AsRequestURI(c.Address)
	return URIText(&uri)
}

// URIText returns a URI as text, with one allocation.
func URIText(uri *sip.Uri) string {
	b := TakeBuffer()
	defer b.Release()
	b.uri(uri)
	return string(b.Bytes)
}
