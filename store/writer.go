package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// leftOver ignores an entry of a call that has its record, so a late one does no harm. A check here would cost each
// entry a statement journal.
const upsertLive = `INSERT INTO live (id, written_at, record) VALUES (?, ?, ?)
	ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at, record = excluded.record`

const deleteLive = `DELETE FROM live WHERE id = ?`

const (
	firstBackOff = 50 * time.Millisecond
	lastBackOff  = 5 * time.Second
	// closeTries is how often Close tries to write the rest.
	closeTries = 7
	// commitEvery is the time between transactions that no caller waits for. On a busy machine they then write many
	// calls at once, and one entry for a call that has changed several times.
	commitEvery = 20 * time.Millisecond
)

type writer struct {
	s    *Store
	conn *sql.Conn

	insert, upsert, remove *sql.Stmt

	backOff time.Duration
	tries   int // failures in a row since Close was called
}

func newWriter(ctx context.Context, s *Store) (*writer, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{s: s, conn: conn, backOff: firstBackOff}
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{{&w.insert, insertCall}, {&w.upsert, upsertLive}, {&w.remove, deleteLive}} {
		stmt, err := conn.PrepareContext(ctx, p.text) //nolint:sqlclosecheck // close does
		if err != nil {
			w.close()
			return nil, fmt.Errorf("prepare statement: %w", err)
		}
		*p.to = stmt
	}
	return w, nil
}

// close returns the connection. What it held was committed, or Store.Close will report it.
func (w *writer) close() {
	for _, stmt := range []*sql.Stmt{w.insert, w.upsert, w.remove} {
		if stmt != nil {
			_ = stmt.Close()
		}
	}
	_ = w.conn.Close()
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
		if err := w.write(b); err != nil {
			w.s.broken.Store(&err)
			w.s.queue.restore(b)
			if !w.pause() {
				return
			}
			continue
		}
		w.s.broken.Store(nil)
		w.backOff, w.tries = firstBackOff, 0
		w.s.queue.written()
		for _, f := range b.order {
			for _, done := range f.done {
				done <- nil
			}
		}
		for _, j := range b.jobs {
			var err error
			if j.run != nil {
				err = j.run(context.Background(), w.conn)
			}
			j.done <- err
		}
		if w.s.queue.isClosed() {
			w.s.queue.signal()
		}
		w.pace(begun)
	}
}

// pace waits until the next transaction is due.
func (w *writer) pace(begun time.Time) {
	timer := time.NewTimer(time.Until(begun.Add(commitEvery)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.s.queue.urgent:
	case <-w.s.queue.closing:
	}
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
	select {
	case <-time.After(w.backOff):
		w.backOff = min(2*w.backOff, lastBackOff)
	case <-closing:
		w.backOff = firstBackOff
	}
	return true
}

func (w *writer) write(b *batch) (err error) {
	if len(b.journal)+len(b.order) == 0 {
		return nil
	}
	ctx := context.Background() // a transaction that began is finished
	if _, err := w.conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			_, _ = w.conn.ExecContext(ctx, `ROLLBACK`) // may fail: SQLite ends some transactions itself
		}
	}()
	for id, u := range b.journal {
		u.record.Media = u.record.Media.finite()
		text, err := json.Marshal(u.record)
		if err != nil {
			w.s.lost.Add(1)
			continue
		}
		if _, err := w.upsert.ExecContext(ctx, id, TimeOf(u.at).String(), string(text)); err != nil {
			return fmt.Errorf("journal call %s: %w", id, err)
		}
	}
	for _, f := range b.order {
		if _, err := w.insert.ExecContext(ctx, f.values...); err != nil {
			return fmt.Errorf("keep call %s: %w", f.id, err)
		}
		if _, err := w.remove.ExecContext(ctx, f.id); err != nil {
			return fmt.Errorf("keep call %s: %w", f.id, err)
		}
	}
	if _, err := w.conn.ExecContext(ctx, `COMMIT`); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
