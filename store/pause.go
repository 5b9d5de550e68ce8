package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// Pause commits everything that is pending, and stops writing until resume is called. Until then another process may
// open the file with OpenTaken, using the lock that Pause returns.
func (s *Store) Pause(ctx context.Context) (lock *os.File, resume func(), err error) {
	if err := s.Flush(ctx); err != nil {
		return nil, nil, err
	}
	paused, resumed, refused := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_ = s.do(context.WithoutCancel(ctx), "pause", func(context.Context, *sql.Conn) error {
			err := s.journal.tend()
			if err == nil && s.journal.moves() {
				err = errMoves
			}
			if err != nil {
				refused <- err
				return err
			}
			close(paused)
			<-resumed
			return s.journal.tend() // the other process may have removed its file
		})
	}()
	select {
	case <-paused:
		return s.lock, func() {
			s.journal.removeStray()
			close(resumed)
		}, nil
	case err := <-refused:
		return nil, nil, fmt.Errorf("store %s: %w", s.path, err)
	case <-ctx.Done():
		close(resumed)
		return nil, nil, fmt.Errorf("store %s: %w", s.path, ctx.Err())
	}
}

// errMoves means that the journal has two files, so another process could not tell which one it needs.
var errMoves = errors.New("the states of live calls are being moved from one file to the other")
