package admin

import (
	"context"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
)

// hangingCalls answer when they may.
type hangingCalls struct {
	Calls
	hangs chan struct{}
}

func (c hangingCalls) Live(context.Context) []Call {
	<-c.hangs
	return nil
}

// A request is under way until it is answered, with the number that it began with. What lasts by its nature is not.
func TestRequestsUnderway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, _ := fixture()
		requests, calls := &Requests{}, hangingCalls{opts.Calls, make(chan struct{})}
		opts.Requests, opts.Calls = requests, calls
		h := New(opts)
		seen := func() (all []string) {
			synctest.Wait()
			requests.Underway(func(request string, _ uint64) { all = append(all, request) })
			return all
		}
		go do(t, h, "GET", "/api/calls")
		if got, want := seen(), []string{`GET "/api/calls"`}; !slices.Equal(got, want) {
			t.Errorf("under way %q; want %q", got, want)
		}
		close(calls.hangs)
		if got := seen(); len(got) > 0 {
			t.Errorf("under way %q, though it is answered", got)
		}
	})
	for target, want := range map[string]bool{
		"/api/events": true, "/api/recordings/1.wav": true, "/api/cdrs?format=csv": true, "/api/cdrs": false, "/api/cdrs?format=json": false,
		"/api/calls": false, "/metrics": false,
	} {
		if got := lasts(httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1"+target, nil)); got != want {
			t.Errorf("%s lasts: %v; want %v", target, got, want)
		}
	}
}
