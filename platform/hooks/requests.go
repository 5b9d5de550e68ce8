package hooks

import (
	"context"
	"net/http"
	"sync"
)

// requests are the requests under way. http.Server.Close does not wait for them.
type requests struct {
	// ctx is above the context of each.
	ctx    context.Context
	cancel context.CancelFunc

	// running is locked for reading by each running handler, and for writing to end them.
	running sync.RWMutex
	ended   bool
}

// counted makes end wait for a handler. After end, the handler does not run any more.
func (q *requests) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.running.RLock()
		defer q.running.RUnlock()
		if !q.ended { // else the connection is closed already
			next.ServeHTTP(w, r)
		}
	})
}

// end returns when no handler runs, and lets none start.
func (q *requests) end() {
	q.running.Lock()
	defer q.running.Unlock()
	q.ended = true
}
