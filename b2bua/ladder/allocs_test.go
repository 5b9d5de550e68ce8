//go:build !race

package ladder

import (
	"context"
	"io"
	"net/http"
	"testing"
)

// The ladder of a call allocates its call object and the parts of one request to an API. Its pages are not counted,
// because they come from a pool.
func TestCallAllocates(t *testing.T) {
	none := aCall(func(context.Context) {})
	if n := testing.AllocsPerRun(200, func() { none() }); n > 15 {
		t.Errorf("%v allocations; want 15 at most", n)
	}
	res := &http.Response{Status: "200 OK", StatusCode: 200}
	rt := RoundTripper{RoundTripper: transportFunc(func(*http.Request) (*http.Response, error) { res.Body = http.NoBody; return res, nil })}
	r, err := http.NewRequest(http.MethodPost, "https://api.test/v2/prepare_inbound", http.NoBody)
	must(t, err)
	r.Header.Set("Authorization", "Bearer hush-hush-hush")
	asked := aCall(func(ctx context.Context) {
		res, err := rt.RoundTrip(r.WithContext(ctx)) // one of the allocations is the test's own
		must(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	})
	if n := testing.AllocsPerRun(200, func() { asked() }); n > 15+2 {
		t.Errorf("%v allocations with a request; want 17 at most", n)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
