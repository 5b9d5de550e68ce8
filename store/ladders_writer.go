package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"flowbridge/internal/processors"
	"flowbridge/store/record"
)

// ladderWriter is the goroutine that writes the ladders. It owns the writing connection.
type ladderWriter struct {
	of      *Ladders
	buf     []byte
	pause   time.Duration // pause after the next failure
	checked time.Time     // when the writer last looked for old ladders
}

func newLadderWriter(l *Ladders) *ladderWriter {
	return &ladderWriter{of: l, pause: laddersBackOff}
}

// laddersPurgeEvery is how often the writer looks for old ladders.
const laddersPurgeEvery = 10 * time.Minute

// write writes until the ladders are closed.
func (l *Ladders) write(w *ladderWriter) {
	defer close(l.done)
	defer w.end()
	tick := time.NewTicker(laddersPurgeEvery)
	defer tick.Stop()
	for {
		closing := false
		select {
		case <-l.kick:
		case <-tick.C:
		case <-l.closing:
			closing = true
		}
		err := w.step()
		switch {
		case err != nil:
			l.broken.Store(&err)
		default:
			l.broken.Store(nil)
			w.pause = laddersBackOff
		}
		if closing {
			return
		}
		pause := laddersEvery
		if err != nil {
			pause, w.pause = w.pause, min(2*w.pause, laddersBackOffMax)
			wake(l.kick)
		}
		select {
		case <-time.After(pause):
		case <-l.closing:
		}
	}
}

// step writes the pending ladders.
func (w *ladderWriter) step() error {
	defer processors.Lend()()
	w.of.writing.begin()
	defer w.of.writing.end()
	ctx := context.Background()
	w.of.ground.await()
	if f := w.of.files; f != nil && !isAt(w.of.Path, f.file) {
		_ = w.closeFiles() // a removed file has no name, so its contents can't be found any more
	}
	if w.of.files == nil {
		if err := w.of.Err(); errors.Is(err, errNewer) || errors.Is(err, errForeign) {
			w.drop()
			return err
		}
		if err := w.reopen(ctx); err != nil {
			return err
		}
	}
	batch := w.of.take()
	err := w.commit(ctx, batch)
	if err == nil {
		w.of.written(batch)
		err = w.purge(ctx, time.Now())
	}
	if isDamaged(err) {
		err = errors.Join(err, w.closeFiles())
	}
	if err != nil {
		return fmt.Errorf("ladders %s: %w", w.of.Path, err)
	}
	return nil
}

// drop discards the pending ladders.
func (w *ladderWriter) drop() {
	batch := w.of.take()
	w.of.dropped.Add(int64(len(batch)))
	w.of.written(batch)
}

func (w *ladderWriter) reopen(ctx context.Context) error {
	f, _, err := openLadderFile(ctx, w.of.Path)
	if err != nil {
		return err
	}
	w.of.mu.Lock()
	w.of.files = f
	w.of.mu.Unlock()
	return nil
}

func (w *ladderWriter) closeFiles() error {
	w.of.mu.Lock()
	f := w.of.files
	w.of.files = nil
	w.of.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.close()
}

// end discards the ladders that could not be written, and closes the file.
func (w *ladderWriter) end() {
	w.drop()
	_ = w.closeFiles() // everything is committed
}

func (w *ladderWriter) commit(ctx context.Context, batch []Ladder) error {
	if len(batch) == 0 {
		return nil
	}
	return inTx(ctx, w.of.files.write, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx,
			`INSERT INTO ladders (id, at, data) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING`)
		if err != nil {
			return err
		}
		defer func() { _ = insert.Close() }()
		at := record.TimeOf(time.Now()).String()
		for _, d := range batch {
			w.buf = d.Encode(w.buf[:0])
			if _, err := insert.ExecContext(ctx, d.ID(), at, w.buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// laddersStep is how many ladders one statement removes.
const laddersStep = 100

// purge removes ladders that are too old, and the oldest if the file is too large. SQLite reuses their pages.
func (w *ladderWriter) purge(ctx context.Context, now time.Time) error {
	size, err := w.size(ctx)
	if err != nil || now.Sub(w.checked) < laddersPurgeEvery && size <= w.of.MaxSize {
		return err
	}
	held := []byte("[]")
	if w.of.Held != nil {
		ids, err := w.of.Held()
		if err != nil {
			return fmt.Errorf("legal holds: %w", err)
		}
		held, _ = json.Marshal(ids) // a list of strings
	}
	oldest := `DELETE FROM ladders WHERE n IN (SELECT n FROM ladders WHERE id NOT IN
		(SELECT value FROM json_each(?) WHERE value IS NOT NULL) ORDER BY n LIMIT ?)`
	if now.Sub(w.checked) >= laddersPurgeEvery {
		w.checked = now
		before := record.TimeOf(now.Add(-w.of.Keep)).String()
		for n := int64(laddersStep); n == laddersStep; {
			var err error
			n, err = w.remove(ctx, oldest+` AND at < ?`, string(held), laddersStep, before)
			if err != nil {
				return err
			}
		}
	}
	for {
		size, err := w.size(ctx)
		if err != nil || size <= w.of.MaxSize {
			return err
		}
		n, err := w.remove(ctx, oldest, string(held), laddersStep)
		if err != nil || n == 0 {
			return err
		}
	}
}

func (w *ladderWriter) remove(ctx context.Context, statement string, args ...any) (int64, error) {
	res, err := w.of.files.write.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// size returns the size of the pages in use, in bytes.
func (w *ladderWriter) size(ctx context.Context) (int64, error) {
	var pages, free, each int64
	err := w.of.files.write.QueryRowContext(ctx,
		`SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).
		Scan(&pages, &free, &each)
	return (pages - free) * each, err
}
