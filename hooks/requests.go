package hooks

import (
	"context"
	"net/http"
	"sync"
)

// requests are those under way, which http.Server.Close does not wait for.
type requests struct {
	// ctx is above the context of each.
	ctx    context.Context
	cancel context.CancelFunc

	// running is held for reading by each handler that runs, and for writing
	// to end them.
	running sync.RWMutex
	ended   bool
}

// counted has end wait for a handler, which does not run any more after it.
func (q *requests) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.running.RLock()
		defer q.running.RUnlock()
		if !q.ended { // else the connection is closed already
			next.ServeHTTP(w, r)
		}
	})
}

// end returns when no handler runs, nor will.
func (q *requests) end() {
	q.running.Lock()
	defer q.running.Unlock()
	q.ended = true
}
