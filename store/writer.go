package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"flowbridge/internal/processors"
)

const (
	firstBackOff = 50 * time.Millisecond
	lastBackOff  = 5 * time.Second
	// tendEvery is how often the journal is tended while the database takes no writes, because live calls still write to
	// the journal.
	tendEvery = 200 * time.Millisecond
	// closeTries is how often Close tries to write the rest.
	closeTries = 7
	// commitEvery is the time to wait after a transaction, for each of its records, up to commitMost. So a busy process
	// writes many calls at once, which share the pages they change. At 500 calls a second, a record costs two thirds of
	// its cost in transactions 20 ms apart, and half as many pages are written as in transactions 200 ms apart.
	commitEvery = 20 * time.Millisecond
	commitMost  = 500 * time.Millisecond
	// commitAt is the number of pending records at which the writer stops waiting.
	commitAt = 1000
)

type writer struct {
	s    *Store
	conn *sql.Conn

	keeper keeper

	sizes  sizes
	renews bool      // the damaged file is set aside, but the new one is not in its place yet
	whole  time.Time // when a file that was reported damaged was last found intact, or zero

	backOff time.Duration
	tries   int // failures in a row since Close was called
}

// open takes the connection and prepares the statements on it.
func (w *writer) open(ctx context.Context) (err error) {
	if w.conn, err = w.s.db.Conn(ctx); err != nil {
		w.conn = nil
		return err
	}
	if w.keeper, err = prepareKeeper(ctx, w.conn); err != nil {
		w.close()
		return fmt.Errorf("prepare statement: %w", err)
	}
	w.s.noteLog()
	return nil
}

// close returns the connection. Either its work was committed, or Store.Close will report it.
func (w *writer) close() {
	if w.conn == nil {
		return
	}
	w.keeper.close()
	_ = w.conn.Close()
	w.conn, w.keeper = nil, keeper{}
}

// run writes until the queue is closed and empty, or the disk has refused the rest often enough.
func (w *writer) run() {
	defer close(w.s.done)
	defer w.close()
	for range w.s.queue.wake {
		begun := time.Now()
		b := w.s.queue.take()
		if b.empty() {
			if w.s.queue.isClosed() {
				return
			}
			continue
		}
		switch {
		case w.take(b):
			w.pace(begun, len(b.order))
		case !w.pause():
			return
		}
	}
}

// take writes a batch and reports whether it could.
func (w *writer) take(b *batch) bool {
	defer processors.Lend()()
	if err := w.write(b); err != nil {
		err = hint(w.s.path, err)
		w.s.broken.Store(&err)
		w.s.queue.restore(b)
		if errors.Is(err, errCorrupt) && !w.renews {
			w.s.condemned.Store(true) // the file is set aside at the next try
		}
		return false
	}
	w.written(b)
	return true
}

// written reports a batch as committed, and finishes its jobs.
func (w *writer) written(b *batch) {
	w.s.broken.Store(nil)
	w.backOff, w.tries = firstBackOff, 0
	w.s.queue.written()
	w.s.journal.over(b.order)
	if len(b.order) > 0 {
		w.s.outboxFilled()
	}
	for _, f := range b.order {
		for _, done := range f.done {
			done(nil)
		}
	}
	for _, j := range b.jobs {
		var err error
		if j.run != nil {
			w.s.writing.begin()
			w.s.ground.await()
			err = w.s.noted(j.run(context.Background(), w.conn))
			w.s.writing.end()
		}
		j.done <- err
	}
	if w.s.queue.isClosed() {
		w.s.queue.signal()
	}
	_ = w.s.journal.tend() // Err reports it
}

// pace waits until the next transaction is due. records is the number of records in the last one.
func (w *writer) pace(begun time.Time, records int) {
	timer := time.NewTimer(time.Until(begun.Add(min(time.Duration(max(records, 1))*commitEvery, commitMost))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.s.queue.urgent:
	case <-w.s.queue.closing:
	}
}

// tend tends the journal. Store.Err reports its error.
func (w *writer) tend() {
	defer processors.Lend()()
	_ = w.s.journal.tend()
}

// pause waits before the next try, each time longer. It returns false when Close has waited long enough.
func (w *writer) pause() bool {
	closing := w.s.queue.closing
	if w.s.queue.isClosed() {
		if w.tries++; w.tries >= closeTries {
			return false
		}
		closing = nil
	}
	over := time.NewTimer(w.backOff)
	defer over.Stop()
	tend := time.NewTicker(tendEvery)
	defer tend.Stop()
	for {
		w.tend()
		select {
		case <-tend.C:
			continue
		case <-over.C:
			w.backOff = min(2*w.backOff, lastBackOff)
		case <-closing:
			w.backOff = firstBackOff
		}
		return true
	}
}

func (w *writer) write(b *batch) (err error) {
	w.s.writing.begin()
	defer w.s.writing.end()
	ctx := context.Background() // a transaction that has started must finish
	w.s.ground.await()
	if w.s.db == nil {
		if err := w.attach(ctx); err != nil {
			w.s.again() // reading connections opened while the disk was read-only would keep the writer from writing
			return err
		}
	}
	if w.renews || w.s.condemned.Swap(false) || w.suspected(ctx) || w.truncated(ctx) {
		if err := w.renew(ctx); err != nil {
			return err
		}
	}
	if err := w.present(ctx); err != nil {
		return err
	}
	if w.conn == nil { // the connection to a file that was put back could not be opened
		if err := w.open(ctx); err != nil {
			return err
		}
	}
	if len(b.order) == 0 {
		return nil
	}
	if _, err := w.conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			_, _ = w.conn.ExecContext(ctx, `ROLLBACK`) // may fail: SQLite ends some transactions itself
		}
	}()
	if err := w.conn.Raw(func(any) error { return w.keepAll(ctx, b.order) }); err != nil {
		return err
	}
	if _, err := w.conn.ExecContext(ctx, `COMMIT`); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (w *writer) keepAll(ctx context.Context, all []*finish) error {
	for _, f := range all {
		if _, err := w.keeper.keep(ctx, f, w.s.consumers); err != nil {
			return fmt.Errorf("keep call %s: %w", f.id, err)
		}
	}
	return nil
}

// inTx runs statements in one transaction.
func inTx(ctx context.Context, c interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}, run func(tx *sql.Tx) error,
) error {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit
	if err := run(tx); err != nil {
		return err
	}
	return tx.Commit()
}
