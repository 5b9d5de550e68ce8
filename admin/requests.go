package admin

import (
	"net/http"
	"strings"
	"sync"
)

// Requests holds the short requests in progress. It leaves out events, listeners, downloads, exports and profiles,
// which may last for hours.
type Requests struct {
	mu   sync.Mutex // guards the fields below
	last uint64
	open map[uint64]string // method and path of each request
}

// begin registers a request until end is called.
func (q *Requests) begin(r *http.Request) (end func()) {
	if q == nil || lasts(r) {
		return func() {}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = map[uint64]string{}
	}
	q.last++
	number := q.last
	q.open[number] = r.Method + " " + quoted(r.URL.Path)
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.open, number)
	}
}

// lasts reports whether a request may last as long as its client likes, or as long as it has asked for.
func lasts(r *http.Request) bool {
	for _, path := range []string{"/api/events", "/api/recordings/", "/debug/pprof/"} {
		if strings.HasPrefix(r.URL.Path, path) {
			return true
		}
	}
	if IsAudio(r.URL.Path) || strings.HasPrefix(r.URL.Path, browserPath) {
		return true
	}
	format, bad := query{"format": r.URL.Query().Get("format")}.format(r)
	return r.URL.Path == "/api/cdrs" && bad == nil && format != formatJSON
}

// Underway yields the requests under way, each with its number.
func (q *Requests) Underway(yield func(request string, number uint64)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for number, request := range q.open {
		yield(request, number)
	}
}
