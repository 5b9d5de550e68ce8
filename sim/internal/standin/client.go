package standin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Answer is the answer of a server.
type Answer struct {
	Status      int // 0 if the server did not answer
	ContentType string
	Body        []byte
}

// OK reports whether the status is 2xx.
func (a Answer) OK() bool { return a.Status/100 == 2 }

// ErrTooLarge means that an answer is larger than its limit. Its body is cut one byte after the limit.
var ErrTooLarge = errors.New("the answer is too large")

// client returns a client that keeps no connections, and that does not use redirects or proxies.
func client() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Ask sends a request and reads its answer. bound is the limit of the answer in bytes. Errors omit the URL,
// because it may contain a secret.
func Ask(r *http.Request, bound int64) (a Answer, err error) {
	res, err := client().Do(r)
	if err != nil {
		return a, plain(err)
	}
	defer func() { _ = res.Body.Close() }()
	a = Answer{Status: res.StatusCode, ContentType: res.Header.Get("Content-Type")}
	if a.Body, err = io.ReadAll(io.LimitReader(res.Body, bound+1)); err != nil {
		return a, fmt.Errorf("the answer broke off: %w", plain(err))
	}
	if int64(len(a.Body)) > bound {
		return a, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, bound)
	}
	return a, nil
}

// Post sends JSON.
func Post(ctx context.Context, to string, header http.Header, body []byte, bound int64) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Answer{}, errors.New("the URL can't be used")
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	return Ask(r, bound)
}

// Deliver sends a message until the answer is 2xx, at most tries times. The pause between tries doubles each
// time.
func Deliver(ctx context.Context, tries int, pause time.Duration, send func(try int) (Answer, error)) (Answer, error) {
	for try := 1; ; try++ {
		answer, err := send(try)
		if err == nil && answer.OK() || try == tries || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer, err
		}
		pause *= 2
	}
}

// plain removes the URL from an error.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer within the time")
	}
	return err
}
