package synthflow

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"flowbridge/internal/rest"
)

const (
	defaultTimeout = 3 * time.Second
	defaultMaxBody = 1 << 20
	retryPause     = 100 * time.Millisecond // before the retry, where the API names no time
	preparePath    = "/v2/prepare_inbound"
)

// Options say how to reach the API.
type Options struct {
	BaseURL   string            // https://api.synthflow.ai; a trailing /v2 is accepted
	Token     string            // bearer token
	Timeout   time.Duration     // the whole step, retry included; 3s if zero
	Transport http.RoundTripper // nil: a pooled one of the client's own
	MaxBody   int64             // bytes of an answer, after decompression; 1 MiB if zero
	UserAgent string            // "flowbridge" if empty
	Given     *GivenIDs         // ids that the API gave lately, where several clients ask it; nil: this one's own
}

// String leaves the token out.
func (o Options) String() string {
	return fmt.Sprintf("{BaseURL:%s Timeout:%s}", o.BaseURL, o.Timeout)
}

// GoString leaves the token out.
func (o Options) GoString() string { return o.String() }

// Client prepares calls. It is safe for use by many goroutines.
type Client struct {
	http      *http.Client
	endpoint  string
	token     string
	timeout   time.Duration
	maxBody   int64
	userAgent string
	nearby    bool // reached by plain http, which is for machines nearby
	retry     retrypolicy.RetryPolicy[attempt]
	given     *GivenIDs
}

// String names the endpoint, without the token.
func (c Client) String() string { return "synthflow(" + c.endpoint + ")" }

// GoString names the endpoint, without the token.
func (c Client) GoString() string { return c.String() }

// New checks the options. It sends nothing.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.BaseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("synthflow: base URL: %w", err)
	case base.Scheme != "http" && base.Scheme != "https", base.Hostname() == "":
		return nil, fmt.Errorf("synthflow: base URL %q: want http(s)://host", base.Redacted())
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, fmt.Errorf("synthflow: base URL %q: credentials, query and fragment have no place in it", base.Redacted())
	}
	if o.Token == "" {
		return nil, errors.New("synthflow: empty token")
	}
	for i := range len(o.Token) {
		if b := o.Token[i]; b <= ' ' || b > '~' {
			return nil, fmt.Errorf("synthflow: token with byte 0x%02x; is there a line break at its end?", b)
		}
	}
	if o.Timeout < 0 || o.MaxBody < 0 {
		return nil, errors.New("synthflow: negative timeout or body limit")
	}
	c := &Client{
		endpoint:  strings.TrimSuffix(strings.TrimRight(base.String(), "/"), "/v2") + preparePath,
		token:     o.Token,
		timeout:   o.Timeout,
		maxBody:   o.MaxBody,
		userAgent: o.UserAgent,
		given:     o.Given,
	}
	if c.given == nil {
		c.given = &GivenIDs{}
	}
	c.nearby = base.Scheme == "http"
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if c.maxBody == 0 {
		c.maxBody = defaultMaxBody
	}
	if c.userAgent == "" {
		c.userAgent = "flowbridge"
	}
	if o.Transport == nil {
		o.Transport = pooledTransport()
	}
	c.http = &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.retry = retrypolicy.NewBuilder[attempt]().
		HandleIf(func(a attempt, _ error) bool { return a.again }).
		WithMaxRetries(1).
		WithDelayFunc(func(e failsafe.ExecutionAttempt[attempt]) time.Duration { return e.LastResult().wait }).
		ReturnLastFailure().
		Build()
	return c, nil
}

func pooledTransport() http.RoundTripper {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    128,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return t
}

// CloseIdle closes the connections that no step is using.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// attempt is one request with what became of it.
type attempt struct {
	id     string
	body   []byte
	status int
	err    *Error
	again  bool          // worth the retry, and the budget has room for it
	wait   time.Duration // before the retry
}

// PrepareInbound registers a call and returns its id. Every error is an
// *Error. The step ends with ctx or with Options.Timeout, whichever is
// earlier, and within it has at most one retry: after a connection error, a
// 5xx or a 429, and only where the pause that the API asks for still fits. An
// id that this Client got for another call within the last minutes is refused:
// two INVITEs with one id would be one call to the platform. Only an API by
// plain http that has never given another id is taken for a stub, whose one
// answer is Shared.
func (c *Client) PrepareInbound(ctx context.Context, r InboundRequest) (PreparedCall, error) {
	start := time.Now()
	step, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	payload, err := r.body()
	if err != nil {
		return PreparedCall{}, &Error{Kind: KindMalformed, Detail: "request", err: err}
	}
	trace := traceID(r.IdempotencyKey)

	// The last attempt is kept here, because a step that is cancelled loses
	// its result inside the executor.
	var last attempt
	sent := 0
	_, _ = failsafe.With[attempt](c.retry).WithContext(step).Get(func() (attempt, error) {
		sent++
		last = c.try(ctx, step, payload, trace, r.IdempotencyKey)
		return last, nil
	})
	if sent == 0 {
		last.err = stepError(ctx, step, step.Err())
	}
	// The budget or the caller may end the pause before the retry.
	if last.again && sent == 1 {
		last.err = stepError(ctx, step, last.err)
	}
	shared := false
	if last.err == nil {
		who := c.given.taken(last.id, r.IdempotencyKey, time.Now())
		shared = who == ownerEverybody && c.nearby
		if who != ownerNew && !shared {
			last.id, last.err = "", &Error{Kind: KindReusedID, Detail: "the id was given to another call before"}
		}
	}
	p := PreparedCall{CallID: last.id, Shared: shared, Body: last.body, Status: last.status, Attempts: sent, Elapsed: time.Since(start)}
	if last.err != nil {
		last.err.Status = last.status
		last.err.Detail = clean(last.err.Detail, c.token)
		return p, last.err
	}
	return p, nil
}

func (c *Client) try(ctx, step context.Context, payload []byte, trace, key string) attempt {
	req, err := http.NewRequestWithContext(step, http.MethodPost, c.endpoint, bytes.NewReader(payload))
	if err != nil {
		return attempt{err: &Error{Kind: KindConnect, err: err}}
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Traceparent", "00-"+trace+"-"+randomHex(8)+"-00")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.broken(ctx, step, attempt{}, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := attempt{status: resp.StatusCode}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, c.maxBody+1))
	tooLarge := int64(len(a.body)) > c.maxBody
	if tooLarge {
		a.body = a.body[:c.maxBody]
	}
	success := resp.StatusCode/100 == 2
	switch {
	case err != nil && (success || step.Err() != nil):
		return c.broken(ctx, step, a, err)
	case !success:
		return c.refused(step, a, resp.Header)
	case tooLarge:
		a.err = &Error{Kind: KindTooLarge, Detail: fmt.Sprintf("answer over %d bytes", c.maxBody)}
	default:
		a.id, a.err = decodeAnswer(a.body)
	}
	return a
}

// broken is an attempt without a complete answer.
func (c *Client) broken(ctx, step context.Context, a attempt, err error) attempt {
	a.err = stepError(ctx, step, err)
	if a.err.Kind == KindConnect {
		a.wait = retryPause
		a.again = rest.Fits(step, a.wait)
	}
	return a
}

// refused is an attempt that was answered by something else than 2xx.
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

// stepError tells apart who ended the step: the caller, the clock or the
// network.
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

// traceID is derived from the call's id, so that a trace can be found by it.
func traceID(key string) string {
	if key == "" {
		return randomHex(16)
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand does not fail
	return hex.EncodeToString(b)
}
