package hooks

import (
	"context"
	"net/http"
	"sync"
)

// requests tracks the requests under way, because http.Server.Close does not wait for them.
type requests struct {
	// ctx is the parent of each request's context.
	ctx    context.Context
	cancel context.CancelFunc

	// running is locked for reading by each running handler, and for writing to end them.
	running sync.RWMutex
	ended   bool
}

// counted makes end wait for a handler. After end, the handler no longer runs.
func (q *requests) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.running.RLock()
		defer q.running.RUnlock()
		if !q.ended { // else the connection is already closed
			next.ServeHTTP(w, r)
		}
	})
}

// end waits until no handler runs, and lets none start.
func (q *requests) end() {
	q.running.Lock()
	defer q.running.Unlock()
	q.ended = true
}
