package synthflow

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An id belongs to the call that it was given to: not to another one, nor to one without a name, for as long as the API
// could still mean the first.
func TestIDGivenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{Transport: &countingAPI{api: func(int, *http.Request) (*http.Response, error) {
			return answerWith(200, good()), nil
		}}})
		for _, tt := range []struct {
			after time.Duration
			call  string
			kind  Kind
		}{
			{0, "a", ""},
			{0, "a", ""}, // its second attempt
			{0, "b", KindReusedID},
			{0, "", KindReusedID},
			{recentFor + time.Second, "b", KindReusedID},
			{2 * recentFor, "b", ""},
			{0, "a", KindReusedID},
		} {
			time.Sleep(tt.after)
			p, err := c.PrepareInbound(t.Context(), InboundRequest{IdempotencyKey: tt.call})
			if KindOf(err) != tt.kind || (p.CallID != "") != (err == nil) || p.Attempts != 1 {
				t.Errorf("call %q after %v: got %+v, %v; want kind %q", tt.call, tt.after, p, err, tt.kind)
			}
		}
	})
}

func TestRecentIDsAreBounded(t *testing.T) {
	var r recentIDs
	now := time.Unix(1e9, 0)
	for i := range 3 * maxRecent {
		if r.taken(fmt.Sprint(i), "x", now) {
			t.Fatalf("id %d was never given", i)
		}
	}
	if n := len(r.young) + len(r.old); n > 2*maxRecent {
		t.Errorf("%d ids are kept", n)
	}
	if !r.taken(fmt.Sprint(3*maxRecent-1), "y", now) {
		t.Error("the last id is forgotten")
	}
}

// Of many calls that get one id at the same time, one has it.
func TestOneIDForManyCalls(t *testing.T) {
	c := newClient(t, Options{Transport: &countingAPI{api: func(int, *http.Request) (*http.Response, error) {
		return answerWith(200, good()), nil
	}}})
	var got atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			switch _, err := c.PrepareInbound(t.Context(), InboundRequest{IdempotencyKey: fmt.Sprint(i)}); KindOf(err) {
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
