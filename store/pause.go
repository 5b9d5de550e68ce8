package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
)

// Pause commits what is pending, and has nothing written any more until resume is called. Meanwhile another process may open
// the file by OpenTaken, with the lock that Pause gives.
func (s *Store) Pause(ctx context.Context) (lock *os.File, resume func(), err error) {
	if err := s.Flush(ctx); err != nil {
		return nil, nil, err
	}
	paused, resumed := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.do(context.WithoutCancel(ctx), "pause", func(context.Context, *sql.Conn) error {
			close(paused)
			<-resumed
			return s.journal.tend() // its file may have been removed by the other process
		})
	}()
	select {
	case <-paused:
		return s.lock, func() { close(resumed) }, nil
	case <-ctx.Done():
		close(resumed)
		return nil, nil, fmt.Errorf("store %s: %w", s.path, ctx.Err())
	}
}
