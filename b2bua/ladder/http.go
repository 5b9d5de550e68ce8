package ladder

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// bodyMax bounds the stored part of an HTTP body, in bytes.
const bodyMax = 8 << 10

// RoundTripper adds requests with a Context, and their answers, to the ladders of their calls. It passes on all other
// requests.
type RoundTripper struct {
	http.RoundTripper
	Secrets [][]byte // hidden wherever they are in an exchange, in addition to the credential in Authorization
}

// CloseIdleConnections closes the connections that no request is using.
func (t RoundTripper) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip sends a request.
func (t RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := r.Context().Value(contextKey{}).(*httpLane)
	if !ok {
		return t.RoundTripper.RoundTrip(r)
	}
	x := h.begin(r, t.Secrets)
	begin := time.Now()
	res, err := t.RoundTripper.RoundTrip(r)
	x.keep(begin, false)
	if err != nil {
		x.text, x.head, x.cut = fmt.Appendf(x.text[:0], "no answer after %d ms: %v", time.Since(begin).Milliseconds(), err),
			0, 0
		x.keep(time.Now(), true)
		x.release()
		return nil, err
	}
	x.answer(res)
	return res, nil
}

// httpLane is the lane of HTTP exchanges, which come one after the other.
type httpLane struct {
	call *Call
	lane int

	trace httptrace.ClientTrace // calls connected

	mu   sync.Mutex // guards the fields below
	ends ends       // addresses of the current connection
}

func (h *httpLane) connected(i httptrace.GotConnInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends.local, h.ends.remote = addrPort(i.Conn.LocalAddr()), addrPort(i.Conn.RemoteAddr())
}

// exchange is a request and its answer. It also serves as the body of the answer.
type exchange struct {
	*httpLane
	secrets [][]byte

	// the message that is being collected
	room *room
	text []byte // in room: the headers, then the stored part of the body
	head int    // length of the headers in text
	cut  int    // bytes of the body that are not stored

	body io.ReadCloser // the answer's own body
	at   time.Time     // time of the answer
	over bool          // the body has been read
}

// room holds the buffers of an exchange.
type room struct{ text, credential []byte }

var rooms = sync.Pool{New: func() any { return &room{text: make([]byte, 0, 2048)} }} //nolint:gochecknoglobals // a pool

// begin begins an exchange with its request.
func (h *httpLane) begin(r *http.Request, secrets [][]byte) *exchange {
	h.mu.Lock()
	h.ends = ends{transport: r.URL.Scheme}
	h.mu.Unlock()
	x := &exchange{httpLane: h, secrets: secrets, room: rooms.Get().(*room)}
	x.text, x.room.credential = x.room.text[:0], x.room.credential[:0]
	if _, own, found := strings.Cut(r.Header.Get("Authorization"), " "); found && len(own) >= credentialMin {
		x.room.credential = append(x.room.credential, own...)
	}
	x.request(r)
	return x
}

// release returns the room. After that nothing is collected.
func (x *exchange) release() {
	x.room.text = x.text
	rooms.Put(x.room)
	x.room, x.text = nil, nil
}

// keep adds the collected message to the ladder.
func (x *exchange) keep(at time.Time, received bool) {
	x.mu.Lock()
	between := x.ends
	x.mu.Unlock()
	x.hideSecrets()
	x.call.http(at, received, x.lane, between, x.text, x.cut)
}

// addrPort returns the address of a TCP connection, or an invalid one for other connections.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// request collects a request.
func (x *exchange) request(r *http.Request) {
	for _, part := range [...]string{r.Method, " ", r.URL.RequestURI(), " HTTP/1.1\r\nHost: ", r.URL.Host, "\r\n"} {
		x.text = append(x.text, part...)
	}
	x.text = appendHeaders(x.text, r.Header)
	x.head, x.cut = len(x.text), 0
	if r.GetBody == nil || r.ContentLength == 0 {
		return
	}
	body, err := r.GetBody()
	if err != nil {
		return
	}
	defer func() { _ = body.Close() }()
	for n := 0; err == nil && len(x.text)-x.head < bodyMax; x.text = x.text[:len(x.text)+n] {
		x.text = slices.Grow(x.text, 512)
		n, err = body.Read(x.text[len(x.text):min(cap(x.text), x.head+bodyMax)])
	}
	x.cut = int(max(r.ContentLength-int64(len(x.text)-x.head), 0))
}

// answer collects an answer. It is added once its body has been read.
func (x *exchange) answer(res *http.Response) {
	x.text = append(append(append(x.text[:0], "HTTP/1.1 "...), strings.TrimSpace(res.Status)...), "\r\n"...)
	x.text = appendHeaders(x.text, res.Header)
	x.head, x.cut = len(x.text), 0
	x.body, x.at = res.Body, time.Now()
	res.Body = x
}

// Read reads from the answer's body.
func (x *exchange) Read(p []byte) (n int, err error) {
	n, err = x.body.Read(p)
	if !x.over {
		keep := min(n, bodyMax-(len(x.text)-x.head))
		x.text, x.cut = append(x.text, p[:keep]...), x.cut+n-keep
	}
	if err != nil {
		x.end()
	}
	return n, err
}

// Close closes the answer's body.
func (x *exchange) Close() error {
	x.end()
	return x.body.Close()
}

func (x *exchange) end() {
	if !x.over {
		x.over = true
		x.keep(x.at, true)
		x.release()
	}
}

// appendHeaders appends headers in order, with secrets hidden.
func appendHeaders(b []byte, h http.Header) []byte {
	var room [16]string
	names := room[:0]
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range h[name] {
			b = append(append(b, name...), ": "...)
			if isSecret(name) {
				if scheme, _, found := strings.Cut(value, " "); found {
					b = append(append(b, scheme...), ' ')
				}
				value = hidden
			}
			b = append(append(b, value...), "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}

// credentialMin is the length of the shortest credential that is also hidden in bodies: a shorter one would match
// ordinary words.
const credentialMin = 8

// hidden stands for a secret.
const hidden = "***"

// secretWords are in the names of headers and of JSON's members that have secrets.
var secretWords = [...][]byte{ //nolint:gochecknoglobals // a table
	[]byte("authorization"), []byte("cookie"), []byte("token"), []byte("secret"), []byte("passw"), []byte("api-key"),
	[]byte("api_key"), []byte("apikey"),
	[]byte("signature"), []byte("credential"), []byte("jwt"), []byte("private_key"), []byte("privatekey"),
	[]byte("access_key"), []byte("accesskey"),
}

// isSecret reports whether a name suggests that its value is a secret.
func isSecret[T string | []byte](name T) bool {
	if !maySecret(name) {
		return false
	}
	var room [64]byte
	lower := room[:0]
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= utf8.RuneSelf:
			return hasAny([]byte(strings.ToLower(string(name))), secretWords[:])
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		lower = append(lower, c)
	}
	return hasAny(lower, secretWords[:])
}

// hasAny reports whether one of the parts is in a text.
func hasAny(text []byte, parts [][]byte) bool {
	return slices.ContainsFunc(parts, func(part []byte) bool { return bytes.Contains(text, part) })
}

// hideSecrets hides the request's credential, also if an answer repeats it, and members of JSON whose names suggest
// secrets. It also works on truncated JSON.
func (x *exchange) hideSecrets() {
	x.hide(x.room.credential)
	for _, secret := range x.secrets {
		x.hide(secret)
	}
	if body := x.text[x.head:]; maySecret(body) {
		hideMembers(body)
	}
}

// hide hides a secret.
func (x *exchange) hide(secret []byte) {
	if len(secret) > 0 && bytes.Contains(x.text, secret) {
		head := bytes.ReplaceAll(x.text[:x.head], secret, []byte(hidden))
		body := bytes.ReplaceAll(x.text[x.head:], secret, []byte(hidden))
		x.text, x.head = append(head, body...), len(head)
	}
}

// maySecret reports whether a text may contain one of secretWords, because each of these contains one of a few parts.
// It runs on every name and every body, and is faster than searching for the words.
func maySecret[T string | []byte](text T) bool {
	const kie, ken, key, ssw, jwt, riz, gna, cre = 0x6b6965, 0x6b656e, 0x6b6579, 0x737377, 0x6a7774, 0x72697a,
		0x676e61, 0x637265
	for i, last := 0, uint32(0); i < len(text); i++ {
		if text[i] >= utf8.RuneSelf { // the lower-case form may be an ASCII letter
			return true
		}
		switch last = last<<8&0xffffff | uint32(text[i]|0x20); last {
		case kie, ken, key, ssw, jwt, riz, gna, cre:
			return true
		}
	}
	return false
}

// hideMembers hides the texts of JSON members whose names suggest secrets.
func hideMembers(body []byte) {
	for rest := body; ; {
		name, after, ok := nextQuoted(rest)
		if !ok {
			return
		}
		rest = after
		value := bytes.TrimLeft(after, " \t\r\n")
		if len(value) == 0 || value[0] != ':' || !isSecret(name) {
			continue
		}
		value = bytes.TrimLeft(value[1:], " \t\r\n")
		if len(value) == 0 {
			return
		}
		switch value[0] {
		case '"':
			rest = hideQuoted(value)
		case '[', '{':
			rest = hideWithin(value)
		}
	}
}

// hideQuoted hides the quoted text at the beginning of value, and returns the rest.
func hideQuoted(value []byte) (rest []byte) {
	secret, after, ended := nextQuoted(value)
	if !ended {
		secret, after = value[1:], nil
	}
	for i := range secret {
		secret[i] = '*'
	}
	return after
}

// hideWithin hides all texts in the list or object at the beginning of value, except the names of members, and returns
// the rest.
func hideWithin(value []byte) (rest []byte) {
	for depth := 0; len(value) > 0; {
		switch value[0] {
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return value[1:]
			}
		case '"':
			_, after, ended := nextQuoted(value)
			after = bytes.TrimLeft(after, " \t\r\n")
			if !ended || len(after) == 0 || after[0] != ':' {
				after = hideQuoted(value)
			}
			value = after
			continue
		}
		value = value[1:]
	}
	return nil
}

// nextQuoted finds the next quoted text, and the text after it.
func nextQuoted(b []byte) (inside, after []byte, ok bool) {
	begin := bytes.IndexByte(b, '"') + 1
	if begin == 0 {
		return nil, nil, false
	}
	for i := begin; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[begin:i], b[i+1:], true
		}
	}
	return nil, nil, false
}
