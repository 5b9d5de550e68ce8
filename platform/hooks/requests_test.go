package hooks

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// Close lets a request in progress finish, cancels the context of a request that takes too
// long, and returns only after that request's handler has ended.
func TestCloseWaits(t *testing.T) {
	entered := make(chan struct{})
	release := make(chan struct{})
	ending, putAway := make(chan struct{}), make(chan struct{}) // the slow one is about to end; has ended
	var ended atomic.Int32
	s, err := Start(t.Context(), Options{Listen: anywhere, Endpoints: []Endpoint{
		{Name: "quick", Path: "/quick", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			entered <- struct{}{}
			<-release
			w.WriteHeader(http.StatusAccepted)
		})},
		{Name: "slow", Path: "/slow", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			entered <- struct{}{}
			<-r.Context().Done()
			ending <- struct{}{}
			<-putAway
			ended.Add(1)
		})},
	}})
	if err != nil {
		t.Fatal(err)
	}
	at := s.listener.Addr().String()
	answers := map[string]chan int{}
	for _, path := range []string{"/quick", "/slow"} {
		answer := make(chan int, 1)
		answers[path] = answer
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+at+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				answer <- 0
				return
			}
			_ = resp.Body.Close()
			answer <- resp.StatusCode
		}()
		<-entered
	}
	closed := make(chan error)
	var atClose int32 // number of handlers that had ended when Close returned
	go func() {
		err := s.Close()
		atClose = ended.Load()
		closed <- err
	}()
	// The listener ends first, so after that Close is waiting for the handlers.
	for {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	close(release)
	if code := <-answers["/quick"]; code != http.StatusAccepted {
		t.Errorf("the quick one got %d", code)
	}
	<-ending
	select {
	case err := <-closed:
		t.Fatalf("Close returned before a handler, with %v", err)
	default:
	}
	close(putAway)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if atClose != 1 {
		t.Error("Close returned before a handler")
	}
	<-answers["/slow"]
}

// A handler that starts after the end does nothing.
func TestRequestsEnd(t *testing.T) {
	var q requests
	runs := 0
	h := q.counted(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }))
	ask := func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", http.NoBody)) }
	ask()
	q.end()
	ask()
	if runs != 1 {
		t.Errorf("%d ran", runs)
	}
}
