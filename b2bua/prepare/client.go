package prepare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"flowbridge/internal/rest"
)

const (
	defaultTimeout = 3 * time.Second
	retryPause     = 100 * time.Millisecond // wait before the retry, if the API names no time
)

// Client prepares calls. It may be used by many goroutines.
type Client struct {
	api     *rest.Client
	timeout time.Duration
	maxBody int64
	nearby  bool // the API is reached by plain HTTP, which is only for nearby machines
	given   *GivenIDs
}

// String names the API, without the token.
func (c Client) String() string { return c.api.String() }

// GoString names the API, without the token.
func (c Client) GoString() string { return c.String() }

// New checks the options. It sends nothing. Every request goes to the base URL or below it. The timeout limits the
// whole step, including the retry, and is 3s if zero. given has the ids that the API gave recently; all clients of the
// API share it.
func New(o rest.Options, given *GivenIDs) (*Client, error) {
	o.Timeout, o.MaxBody = cmp.Or(o.Timeout, defaultTimeout), cmp.Or(o.MaxBody, rest.DefaultMaxBody)
	if o.Transport == nil {
		o.Transport = Transport()
	}
	api, err := rest.New(o)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	nearby := strings.HasPrefix(strings.ToLower(o.BaseURL), "http:")
	return &Client{api: api, timeout: o.Timeout, maxBody: o.MaxBody, nearby: nearby, given: given}, nil
}

// maxKept bounds the idle connections. 500 calls a second need this many with HTTP/1.1 if the API answers in a second.
// With fewer, calls would open connections for one request each.
const maxKept = 512

// keptFor is how long idle connections stay open, so that those of a flood are closed within a minute.
const keptFor = 30 * time.Second

// Transport returns the default transport of a Client. It keeps connections for many calls.
func Transport() http.RoundTripper {
	return rest.NewTransport(&http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: maxKept, MaxIdleConnsPerHost: maxKept,
		IdleConnTimeout: keptFor, TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	})
}

// CloseIdle closes the connections that no step uses.
func (c *Client) CloseIdle() { c.api.CloseIdle() }

// attempt is one request with its result.
type attempt struct {
	id     string
	body   []byte
	status int
	err    *Error
	again  bool          // a retry is useful, and there is time for it
	wait   time.Duration // before the retry
}

// Prepare asks an API about a call. Every error is an *Error. The step ends with ctx or with the timeout, whichever is
// earlier. Within it there is at most one retry: after a connection error, a 5xx or a 429, and only if the pause that
// the API asks for still fits. An id that the API gave to another call within the last minutes is refused, because two
// INVITEs with one id would be one call to the platform. An API by plain HTTP that has never given another id counts as
// a stub with one answer for all calls; its id is Shared.
func (c *Client) Prepare(ctx context.Context, r Request) (Prepared, error) {
	start := time.Now()
	step, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	last, sent := attempt{}, 0
	if err := step.Err(); err != nil {
		last.err = stepError(ctx, step, err)
	} else {
		last, sent = c.try(ctx, step, r), 1
	}
	if last.again {
		if rest.Pause(step, last.wait) == nil {
			last, sent = c.try(ctx, step, r), 2
		} else { // the timeout or the caller has ended the pause
			last.err = stepError(ctx, step, last.err)
		}
	}
	shared := false
	if last.err == nil && last.id != "" {
		who := c.given.taken(last.id, r.IdempotencyKey, time.Now())
		shared = who == ownerEverybody && c.nearby
		if who != ownerNew && !shared {
			last.id, last.err = "", &Error{Kind: KindReusedID, Detail: "the id was given to another call before"}
		}
	}
	p := Prepared{
		CallID: last.id, Shared: shared, Body: last.body, Status: last.status, Attempts: sent,
		Elapsed: time.Since(start),
	}
	if last.err != nil {
		last.err.Status = last.status
		last.err.Detail = rest.Clean(c.api.Hide(last.err.Detail))
		return p, last.err
	}
	return p, nil
}

func (c *Client) try(ctx, step context.Context, in Request) attempt {
	r := rest.Request{Method: in.Method, URL: in.URL, Header: make(http.Header, 8)}
	maps.Copy(r.Header, in.Headers)
	own := [...]string{in.Traceparent, in.IdempotencyKey}
	for i, name := range [...]string{"Traceparent", "Idempotency-Key"} {
		if own[i] != "" {
			r.Header[name] = own[i : i+1 : i+1]
		}
	}
	res, err := c.api.Send(step, r, in.Body)
	if err != nil {
		return c.broken(ctx, step, attempt{}, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, tooLarge, err := c.api.ReadBody(res)
	a := attempt{status: res.StatusCode, body: body}
	success := res.StatusCode/100 == 2
	switch {
	case err != nil && (success || step.Err() != nil):
		return c.broken(ctx, step, a, err)
	case !success:
		return c.refused(step, a, res.Header)
	case tooLarge:
		a.err = &Error{Kind: KindTooLarge, Detail: fmt.Sprintf("answer over %d bytes", c.maxBody)}
	default:
		a.id, a.err = readAnswer(a.body, in.Answer)
	}
	return a
}

// broken returns an attempt without a complete answer.
func (c *Client) broken(ctx, step context.Context, a attempt, err error) attempt {
	a.err = stepError(ctx, step, err)
	if a.err.Kind == KindConnect {
		a.wait = retryPause
		a.again = rest.Fits(step, a.wait)
	}
	return a
}

// refused returns the attempt for an answer other than 2xx.
func (c *Client) refused(step context.Context, a attempt, h http.Header) attempt {
	a.err = &Error{Kind: KindHTTPStatus, Detail: errorDetail(a.body)}
	switch {
	case a.status == http.StatusTooManyRequests:
		a.err.Kind = KindRateLimited
	case a.status/100 == 3:
		a.err.Detail = "redirect not followed"
		return a
	case a.status/100 != 5:
		return a
	}
	a.wait = retryPause
	if asked, ok := rest.RetryAfter(h.Get("Retry-After")); ok {
		a.wait = asked
	}
	a.again = rest.Fits(step, a.wait)
	return a
}

// stepError returns an error if the caller, the time limit or the network ended the step, or nil.
func stepError(ctx, step context.Context, err error) *Error {
	var known *Error
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{Kind: KindCancelled, err: err}
	case step.Err() != nil:
		return &Error{Kind: KindTimeout, err: err}
	case errors.As(err, &known):
		return known
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Kind: KindTimeout, err: err}
	default:
		return &Error{Kind: KindConnect, err: err}
	}
}
