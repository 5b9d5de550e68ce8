package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"flowbridge/store/record"
)

// While the file system blocks writes, nothing waits for SQLite: listing calls can be cancelled, calls are journalled,
// and the waiting records are written afterwards.
func TestFrozenDisk(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	mustPut(t, s, sample("before"))
	touched, frozen := make(chan struct{}, 100), make(chan struct{})
	err := s.do(t.Context(), "freeze", func(context.Context, *sql.Conn) error { // runs on the writer's goroutine
		s.ground.mu.Lock()
		defer s.ground.mu.Unlock()
		s.ground.touch = func(string) {
			touched <- struct{}{}
			<-frozen
		}
		return nil
	})
	must(t, err)
	put := make(chan error, 1)
	go func() { put <- s.Put(t.Context(), sample("late")) }()
	<-touched // the writer is blocked
	ctx, cancel := context.WithCancel(t.Context())
	listed := make(chan error, 1)
	go func() {
		_, _, err := s.List(ctx, record.Filter{})
		listed <- err
	}()
	<-touched // and so is the reader
	cancel()
	if err := <-listed; !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v; want it to give up", err)
	}
	s.Journal(sample("live"), nil)
	select {
	case err := <-put:
		t.Errorf("put returned %v", err)
	default:
	}
	if all := underway(s.Underway); len(all) != 1 || all[0].what != "writer" {
		t.Errorf("under way %v; want the writer", all)
	}
	close(frozen)
	must(t, <-put)
	if records, _, err := s.List(t.Context(), record.Filter{}); len(records) != 2 || err != nil {
		t.Errorf("%d records, %v", len(records), err)
	}
}
