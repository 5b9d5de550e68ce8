package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The names of notes with lists of ids.
const (
	// NoteHeld has the calls under a legal hold, which Purge and Erase leave.
	NoteHeld = "legal_hold"
	// NoteErase has the live calls that are to be erased at their end.
	NoteErase = "erase_at_end"
	// NoteErased has erased calls whose rows may still be in the fleet's database.
	NoteErased = "erased_here"

	// heldIDs selects the calls under a legal hold.
	heldIDs = `(SELECT h.value FROM json_each(coalesce((SELECT value FROM meta WHERE name = 'note_` + NoteHeld + `'), '[]')) AS h WHERE h.value IS NOT NULL)`
)

// NoteIDs adds ids to a note, or removes them from it, and returns the new list.
func (s *Store) NoteIDs(ctx context.Context, name string, add bool, ids ...string) ([]string, error) {
	all, err := s.NotedIDs(ctx, name)
	if err != nil {
		return nil, err
	}
	given := make(map[string]bool, len(ids))
	for _, id := range ids {
		given[id] = true
	}
	all = slices.DeleteFunc(all, func(id string) bool { return given[id] })
	if add {
		all = append(all, ids...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return all, s.Note(ctx, name, string(text))
}

// NotedIDs returns the ids of a note.
func (r *Reader) NotedIDs(ctx context.Context, name string) (all []string, err error) {
	text, err := r.Noted(ctx, name)
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &all)
	}
	return all, err
}

// Erase deletes the records of calls that are not under a legal hold, with their reports and outbox items, and returns
// the number of records. It deletes few at a time, so that calls' writes get in between.
func (s *Store) Erase(ctx context.Context, ids []string) (erased int64, err error) {
	for some := range slices.Chunk(ids, purgeStep) {
		text, err := json.Marshal(some)
		if err != nil {
			return erased, err
		}
		done := make(chan int64, 1) // s.do may return before the job ends
		err = s.do(ctx, "erase", func(wctx context.Context, c *sql.Conn) error {
			var n int64
			err := inTx(wctx, c, func(tx *sql.Tx) (err error) {
				const free = ` IN (SELECT e.value FROM json_each(?) AS e WHERE e.value NOT IN ` + heldIDs + `)`
				for _, of := range []string{"outbox WHERE call_id", "reports WHERE id"} {
					if _, err := tx.ExecContext(wctx, `DELETE FROM `+of+free, string(text)); err != nil {
						return err
					}
				}
				n, err = deleted(wctx, tx, `DELETE FROM calls WHERE id`+free, string(text))
				return err
			})
			done <- n
			return err
		})
		if err != nil {
			return erased, err
		}
		erased += <-done
	}
	return erased, nil
}

// Erase deletes ladders, once those that wait for the disk are written. It returns their number.
func (l *Ladders) Erase(ctx context.Context, ids []string) (erased int64, err error) {
	for {
		l.mu.Lock()
		f := l.files
		waits := slices.ContainsFunc(ids, func(id string) bool { return l.pending[id] != nil })
		l.mu.Unlock()
		switch {
		case f == nil:
			return 0, l.Err()
		case !waits:
			return l.eraseFrom(ctx, f, ids)
		}
		select {
		case <-time.After(laddersEvery / 4):
		case <-ctx.Done():
			return 0, fmt.Errorf("ladders %s: %w", l.Path, ctx.Err())
		}
	}
}

func (l *Ladders) eraseFrom(ctx context.Context, f *ladderFile, ids []string) (erased int64, err error) {
	for some := range slices.Chunk(ids, laddersStep) {
		text, err := json.Marshal(some)
		if err != nil {
			return erased, err
		}
		err = f.with(ctx, func(ctx context.Context, c *sql.Conn) error {
			n, err := deleted(ctx, c, `DELETE FROM ladders WHERE id IN (SELECT value FROM json_each(?))`, string(text))
			erased += n
			return err
		})
		if err != nil {
			return erased, fmt.Errorf("ladders %s: %w", l.Path, err)
		}
	}
	return erased, nil
}

// Scrub returns when the file and its log have nothing of deleted ladders any more.
func (l *Ladders) Scrub(ctx context.Context) error {
	l.mu.Lock()
	f := l.files
	l.mu.Unlock()
	if f == nil {
		return l.Err()
	}
	do := func(run func(context.Context, *sql.Conn) error) error { return f.with(ctx, run) }
	return scrub(ctx, l.Path, f.read, do, nil)
}

// with runs a function with a writing connection.
func (f *ladderFile) with(ctx context.Context, run func(context.Context, *sql.Conn) error) error {
	c, err := f.write.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(run(ctx, c), c.Close())
}

// deleted runs a statement that deletes rows, and returns their number.
func deleted(ctx context.Context, on interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, statement string, args ...any,
) (int64, error) {
	res, err := on.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
