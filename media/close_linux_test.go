package media

import (
	"testing"
	"time"
)

// An engine that is closed waits for sessions that are being closed, and leaves none of their sockets open.
func TestEngineWaitsForClosingSessions(t *testing.T) {
	e := openEngine(t, nil)
	s := newSession(t, e, SessionConfig{})
	must(t, s.worker.do(command{op: opSync}))
	for !s.relay.enter() { // like a worker whose packet takes long
		time.Sleep(time.Millisecond)
	}
	closed, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(closed)
		s.Close()
	}()
	for e.Totals().Sessions != 1 || len(openSessions(e)) != 0 {
		time.Sleep(time.Millisecond)
	}
	go func() {
		defer close(over)
		_ = e.Close()
	}()
	select {
	case <-over:
		t.Error("the engine is closed, and a session of it is not")
	case <-time.After(200 * time.Millisecond):
	}
	s.relay.leave()
	<-closed
	<-over
	if n := restingSockets(e); n != 0 {
		t.Errorf("%d sockets are left open", n)
	}
}

func openSessions(e *Engine) []uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []uint64
	for id := range e.sessions {
		ids = append(ids, id)
	}
	return ids
}
