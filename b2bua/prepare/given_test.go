package prepare

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/internal/rest"
)

// If the API gives the same id to two calls, the first call keeps it, as long as the API could still mean that call. A
// call without a name can't take it either.
func TestIDGivenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, rest.Options{Transport: &countingAPI{api: func(int, *http.Request) (*http.Response, error) {
			return answerWith(200, good()), nil
		}}})
		c.given.taken("another", "first", time.Now()) // so the API is not a stub
		for _, tt := range []struct {
			after time.Duration
			call  string
			kind  Kind
		}{
			{0, "a", ""},
			{0, "a", ""}, // the second attempt of the same call
			{0, "b", KindReusedID},
			{0, "", KindReusedID},
			{recentFor + time.Second, "b", KindReusedID},
			{2 * recentFor, "b", ""},
		} {
			time.Sleep(tt.after)
			p, err := c.prepare(t.Context(), tt.call)
			if kindOf(err) != tt.kind || (p.CallID != "") != (err == nil) || p.Attempts != 1 {
				t.Errorf("call %q after %v: got %+v, %v; want kind %q", tt.call, tt.after, p, err, tt.kind)
			}
		}
	})
}

func TestRecentIDsAreBounded(t *testing.T) {
	var r GivenIDs
	now := time.Unix(1e9, 0)
	for i := range 3 * maxRecent {
		if r.taken(fmt.Sprint(i), "x", now) != ownerNew {
			t.Fatalf("id %d was never given", i)
		}
	}
	if n := len(r.young) + len(r.old); n > 2*maxRecent {
		t.Errorf("%d ids are kept", n)
	}
	if r.taken(fmt.Sprint(3*maxRecent-1), "y", now) != ownerOther {
		t.Error("the last id is forgotten")
	}
}

// If many calls get the same id at once, only one keeps it.
func TestOneIDForManyCalls(t *testing.T) {
	c := newClient(t, rest.Options{Transport: &countingAPI{api: func(int, *http.Request) (*http.Response, error) {
		return answerWith(200, good()), nil
	}}})
	c.given.taken("another", "first", time.Now()) // so the API is not a stub
	var got atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			switch _, err := c.prepare(t.Context(), fmt.Sprint(i)); kindOf(err) {
			case "":
				got.Add(1)
			case KindReusedID:
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d calls have the id", got.Load())
	}
}

// An API on a local network that gives the same id to all calls is considered a stub: its calls continue, marked as
// Shared. An API that has ever given another id is not a stub. Neither is a remote API, because a proxy may have cached
// its answers.
func TestStub(t *testing.T) {
	far := newClient(t, rest.Options{BaseURL: "https://api.test", Transport: &countingAPI{api: func(int, *http.Request) (*http.Response, error) {
		return answerWith(200, good()), nil
	}}})
	for i, want := range []Kind{"", KindReusedID} {
		if _, err := far.prepare(t.Context(), fmt.Sprint(i)); kindOf(err) != want {
			t.Errorf("far, call %d: got %v", i, err)
		}
	}
	answers := []string{good(), good(), good(), strings.Replace(good(), givenID, "other", 1), good()}
	c := newClient(t, rest.Options{Transport: &countingAPI{api: func(n int, _ *http.Request) (*http.Response, error) {
		return answerWith(200, answers[n-1]), nil
	}}})
	for i, want := range []string{"", "shared", "shared", "", "refused"} {
		p, err := c.prepare(t.Context(), fmt.Sprint(i))
		got := map[bool]string{true: "shared"}[p.Shared]
		if kindOf(err) == KindReusedID {
			got = "refused"
		}
		if got != want {
			t.Errorf("call %d: got %q, %v; want %q", i, got, err, want)
		}
	}
}
