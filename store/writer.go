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
	// tendEvery is how often the journal is looked after while the database takes nothing: live calls go on noting.
	tendEvery = 200 * time.Millisecond
	// closeTries is how often Close tries to write the rest.
	closeTries = 7
	// commitEvery is the time between two transactions, for each record of the first, up to commitMost. So a busy process
	// writes many calls at once, which share the pages they change: at 500 calls a second, a record costs two thirds of
	// what it costs in transactions 20 ms apart, and writes half the pages that it writes in those 200 ms apart.
	commitEvery = 20 * time.Millisecond
	commitMost  = 500 * time.Millisecond
	// commitAt is how many records are not waited for any longer.
	commitAt = 1000
)

type writer struct {
	s    *Store
	conn *sql.Conn

	keeper keeper

	sizes  sizes
	renews bool      // the damaged file is set aside, and the new one not there yet
	whole  time.Time // when the file was found to be, in spite of what somebody had found; zero: never

	backOff time.Duration
	tries   int // failures in a row since Close was called
}

// open takes the connection and prepares what is done with it.
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

// close returns the connection. What it held was committed, or Store.Close will report it.
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

// take writes a batch, and reports whether it could.
func (w *writer) take(b *batch) bool {
	defer processors.Lend()()
	if err := w.write(b); err != nil {
		err = hint(w.s.path, err)
		w.s.broken.Store(&err)
		w.s.queue.restore(b)
		if errors.Is(err, errCorrupt) && !w.renews {
			w.s.condemned.Store(true) // and set aside with the next try
		}
		return false
	}
	w.written(b)
	return true
}

// written tells of what is committed, and does the other work.
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
	_ = w.s.journal.tend() // Err has it
}

// pace waits until the next transaction is due, after one with a number of records.
func (w *writer) pace(begun time.Time, records int) {
	timer := time.NewTimer(time.Until(begun.Add(min(time.Duration(max(records, 1))*commitEvery, commitMost))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.s.queue.urgent:
	case <-w.s.queue.closing:
	}
}

// tend looks after the journal. Store.Err has its error.
func (w *writer) tend() {
	defer processors.Lend()()
	_ = w.s.journal.tend()
}

// pause waits before the next try, longer each time. It returns false when Close has waited long enough.
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
	ctx := context.Background() // a transaction that began is finished
	w.s.ground.await()
	if w.s.db == nil {
		if err := w.attach(ctx); err != nil {
			w.s.again() // what was opened to read while the disk was read-only keeps the writer from it
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
	if w.conn == nil { // that of a file that was put back could not be opened
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
	defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do
	if err := run(tx); err != nil {
		return err
	}
	return tx.Commit()
}
