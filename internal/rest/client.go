package rest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/internal/coroutine"
)

const (
	defaultTimeout = 30 * time.Second
	maxHeaders     = 64 << 10

	// DefaultMaxBody is the default of Options.MaxBody.
	DefaultMaxBody = 1 << 20
)

// Options say how to reach an API.
type Options struct {
	BaseURL   string            // https://api.example.com; a path is kept
	Token     string            // visible ASCII without spaces; sent as Authorization: Bearer
	TokenIn   string            // header for the bare token, instead of Authorization
	Anonymous bool              // there is no token
	Timeout   time.Duration     // time limit for a request with its retry; 30s if zero
	MaxBody   int64             // limit of an answer, in bytes after decompression; 1 MiB if zero
	UserAgent string            // "flowbridge" if empty
	Secrets   []string          // further secrets that must not appear in errors
	Transport http.RoundTripper // if nil, a new one is used
}

// String omits the secrets.
func (o Options) String() string { return fmt.Sprintf("{BaseURL:%s Timeout:%s}", o.BaseURL, o.Timeout) }

// GoString omits the secrets.
func (o Options) GoString() string { return o.String() }

// Client sends requests to one API with one token.
type Client struct {
	transport http.RoundTripper // not an http.Client: it must not follow redirects or keep cookies
	base      string
	timeout   time.Duration
	maxBody   int64
	hide      redactor

	// Header values of every request, which never change.
	token, accept, userAgent, contentType []string
	tokenIn                               string // the token's header
}

// String names the API, without the token.
func (c Client) String() string { return "rest(" + c.base + ")" }

// GoString names the API, without the token.
func (c Client) GoString() string { return c.String() }

// New checks the options and returns a client. It sends no request.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.BaseURL)
	switch {
	case err != nil:
		return nil, errors.New("the API's URL can't be read: write it like https://api.example.com")
	case base.Scheme != "http" && base.Scheme != "https", base.Hostname() == "":
		return nil, fmt.Errorf("the API's URL %q is not one: write it like https://api.example.com", base.Redacted())
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("the API's URL holds credentials, a query or a fragment: write scheme, host and path alone")
	case o.Token == "" && !o.Anonymous:
		return nil, errors.New("the token is empty")
	case o.Token != "" && o.Anonymous:
		return nil, errors.New("there is a token, and none is to be sent")
	case o.Timeout < 0 || o.MaxBody < 0:
		return nil, errors.New("negative timeout or limit of answers")
	}
	if strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token holds a space, a line break or another character that no token has")
	}
	c := &Client{
		base: strings.TrimRight(base.String(), "/"), transport: o.Transport,
		timeout: cmp.Or(o.Timeout, defaultTimeout), maxBody: cmp.Or(o.MaxBody, DefaultMaxBody),
		hide:    newRedactor(append([]string{o.Token}, o.Secrets...)),
		tokenIn: http.CanonicalHeaderKey(cmp.Or(o.TokenIn, "Authorization")), token: []string{"Bearer " + o.Token},
		accept:    []string{"application/json"},
		userAgent: []string{cmp.Or(o.UserAgent, "flowbridge")}, contentType: []string{"application/json"},
	}
	switch {
	case o.Anonymous:
		c.token = nil
	case o.TokenIn != "":
		c.token[0] = o.Token
	}
	if c.transport == nil {
		c.transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: maxHeaders,
		}
	}
	return c, nil
}

// CloseIdle closes the connections that no request is using.
func (c *Client) CloseIdle() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// Request is one request. Path starts with a slash, and its segments must be escaped (Segment).
type Request struct {
	Method string
	Path   string
	Query  url.Values
	URL    *url.URL    // URL to request, from Client.URL; replaces Path and Query; may be nil
	Header http.Header // the client adds its own headers
	Body   Object      // may be nil
}

// URL returns the URL of a path, for requests that are repeated.
func (c *Client) URL(path string) (*url.URL, error) { return url.Parse(c.base + path) }

// Segment escapes a value that becomes one segment of a path.
func Segment(value string) string { return url.PathEscape(value) }

// Answer is a successful answer: Status is 2xx, and Body is valid JSON or empty.
type Answer struct {
	Status int
	Body   []byte
}

// IsSegment reports whether Segment can turn a value into one segment of a path. It can't if the value is empty, or one
// of the two with a special meaning in paths (RFC 3986 section 3.3), which would lead the request elsewhere.
func IsSegment(value string) bool { return value != "" && value != "." && value != ".." }

// maxIDLength bounds ids, in bytes.
const maxIDLength = 256

// BadID says why a text from an API can't be an id, or returns "". Ids are 1 to 256 bytes of visible ASCII without ';',
// which ends a token of X-EI and starts a parameter of a SIP URI.
func BadID(id string) string {
	switch {
	case id == "":
		return "it is empty"
	case len(id) > maxIDLength:
		return fmt.Sprintf("id of %d bytes", len(id))
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == ';' {
			return fmt.Sprintf("id with byte 0x%02x at %d", c, i)
		}
	}
	return ""
}

// Do sends a request. Every error is an *Error. Any answer other than a 2xx with JSON or without a body is an error. If
// a GET gets 429, it is sent once more within the timeout, after the time that the API asks for.
func (c *Client) Do(ctx context.Context, r Request) (Answer, error) {
	if leaves(r.Path) {
		return Answer{}, &Error{
			Method: r.Method, Path: r.Path, Problem: "not sent: its path leads elsewhere by . or ..",
			Remedy: "check the id",
		}
	}
	payload, err := r.payload()
	if err != nil {
		return Answer{}, &Error{Method: r.Method, Path: r.Path, Problem: "the body can't be written as JSON", err: err}
	}
	step, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for again := r.Method == http.MethodGet; ; again = false {
		res, err := c.Send(step, r, payload)
		if err != nil {
			return Answer{}, c.broken(ctx, step, r, err)
		}
		wait, asked := RetryAfter(res.Header.Get("Retry-After"))
		if res.StatusCode == http.StatusTooManyRequests && again && asked && Fits(step, wait) {
			_ = res.Body.Close()
			if err := Pause(step, wait); err != nil {
				return Answer{}, c.broken(ctx, step, r, err)
			}
			continue
		}
		return c.read(ctx, step, r, res)
	}
}

// leaves reports whether a path has a segment . or .., whether escaped or not.
func leaves(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." {
			return true
		}
	}
	return false
}

func (r Request) payload() ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	return r.Body.Marshal()
}

// Send sends a request once, with payload as its body, and returns any answer. The error is a *url.Error around the
// transport's, without secrets and without the query.
func (c *Client) Send(ctx context.Context, r Request, payload []byte) (*http.Response, error) {
	at, h := r.URL, r.Header
	if at == nil {
		var err error
		if at, err = c.URL(r.Path); err != nil {
			return nil, err
		}
		at.RawQuery = r.Query.Encode()
	}
	if h == nil {
		h = make(http.Header, 4)
	}
	h["Accept"], h["User-Agent"] = c.accept, c.userAgent
	if c.token != nil {
		h[c.tokenIn] = c.token
	}
	plain := http.Request{
		Method: r.Method, URL: at, Host: at.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: http.NoBody,
	}
	if payload != nil {
		h["Content-Type"] = c.contentType
		body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(payload)), nil }
		plain.Body, _ = body()
		// The request is sent again if a kept connection turns out to be gone.
		plain.GetBody, plain.ContentLength = body, int64(len(payload))
	}
	res, err := c.transport.RoundTrip(plain.WithContext(ctx))
	if err != nil {
		return nil, &url.Error{Op: r.Method[:1] + strings.ToLower(r.Method[1:]), URL: c.place(at), Err: hidden{c.hide, err}}
	}
	WithoutUpgrade(res)
	return res, nil
}

// place returns a URL for people: origin and path, without secrets in any escaped form.
func (c *Client) place(u *url.URL) string {
	path := c.hide.in(u.EscapedPath())
	if plain, err := url.PathUnescape(path); err == nil && c.hide.in(plain) != plain {
		path = c.hide.in(plain)
	}
	return u.Scheme + "://" + u.Host + excerpt(path)
}

// ReadBody reads the body of an answer. It decompresses and keeps at most Options.MaxBody bytes.
func (c *Client) ReadBody(res *http.Response) (body []byte, tooLarge bool, err error) {
	room := int64(511) // if the length is unknown
	if res.ContentLength > 0 {
		room = min(res.ContentLength, c.maxBody, 64<<10)
	}
	body = make([]byte, 0, room+1) // 1 byte more, to see the end
	for err == nil && int64(len(body)) <= c.maxBody {
		body = slices.Grow(body, 1)
		var n int
		n, err = res.Body.Read(body[len(body):min(int64(cap(body)), c.maxBody+1)])
		body = body[:len(body)+n]
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if int64(len(body)) > c.maxBody {
		return body[:c.maxBody], true, err
	}
	return body, false, err
}

// read checks the answer.
func (c *Client) read(ctx, step context.Context, r Request, res *http.Response) (Answer, error) {
	defer func() { _ = res.Body.Close() }()
	body, tooLarge, err := c.ReadBody(res)
	success := res.StatusCode/100 == 2
	switch {
	case err != nil && (success || step.Err() != nil):
		return Answer{}, c.broken(ctx, step, r, err)
	case !success:
		return Answer{}, c.refused(r, res, body)
	case tooLarge:
		e := c.unusable(r, res.StatusCode, fmt.Sprintf("the answer is larger than %d bytes", c.maxBody))
		e.err = ErrTooLarge
		return Answer{}, e
	case len(bytes.TrimSpace(body)) == 0:
		return Answer{Status: res.StatusCode}, nil
	case !json.Valid(body):
		return Answer{}, c.unusable(r, res.StatusCode, c.notJSON(res.Header, body))
	}
	return Answer{Status: res.StatusCode, Body: body}, nil
}

// Fits reports whether there is time for a pause and a request before the step's deadline.
func Fits(step context.Context, wait time.Duration) bool {
	deadline, ok := step.Deadline()
	return step.Err() == nil && (!ok || wait < time.Until(deadline))
}

// Pause waits for the given time, or until ctx ends.
func Pause(ctx context.Context, wait time.Duration) error {
	coroutine.Leave(ctx)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RetryAfter parses the header Retry-After (RFC 9110 section 10.2.3): seconds, or a date. ok is false for anything
// else.
func RetryAfter(v string) (wait time.Duration, ok bool) {
	if v == "" {
		return 0, false
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}
