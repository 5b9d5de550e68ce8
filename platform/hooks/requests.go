package hooks

import (
	"context"
	"net/http"
	"sync"
)

// requests tracks the requests in progress, because http.Server.Close does not wait for them.
type requests struct {
	// ctx is the parent of each request's context.
	ctx    context.Context
	cancel context.CancelFunc

	// running is locked for reading by each running handler. Ending the handlers locks it for writing.
	running sync.RWMutex
	ended   bool
}

// counted makes end wait for a handler. The handler does not run after end.
func (q *requests) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.running.RLock()
		defer q.running.RUnlock()
		if !q.ended { // else the connection is already closed
			next.ServeHTTP(w, r)
		}
	})
}

// end waits until all handlers have returned, and prevents new ones from starting.
func (q *requests) end() {
	q.running.Lock()
	defer q.running.Unlock()
	q.ended = true
}
