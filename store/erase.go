package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// What is deleted is overwritten (secure_delete). Scrub removes what is left in SQLite's log and in the journal.
// Tests: TestEraseLeavesNothing, TestHold.

// The names of notes with lists of ids.
const (
	// NoteHeld has the calls under a legal hold, which Purge and Erase leave.
	NoteHeld = "legal_hold"
	// NoteErase has the live calls that are to be erased at their end.
	NoteErase = "erase_at_end"

	// heldIDs selects the calls under a legal hold.
	heldIDs = `(SELECT h.value FROM json_each(coalesce((SELECT value FROM meta WHERE name = 'note_` + NoteHeld + `'), '[]')) AS h)`
)

// NoteIDs adds ids to a note, or removes them from it, and returns the new list.
func (s *Store) NoteIDs(ctx context.Context, name string, add bool, ids ...string) ([]string, error) {
	all, err := s.NotedIDs(ctx, name)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(id string) bool { return slices.Contains(ids, id) })
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

// Erase deletes the records of calls, with their reports and outbox items, unless they are under a legal hold. It returns
// the number of records. Few calls at a time are deleted, so that the writes of others get in between.
func (s *Store) Erase(ctx context.Context, ids []string) (erased int64, err error) {
	for some := range slices.Chunk(ids, purgeStep) {
		text, err := json.Marshal(some)
		if err != nil {
			return erased, err
		}
		err = s.do(ctx, "erase", func(wctx context.Context, c *sql.Conn) error {
			return inTx(wctx, c, func(tx *sql.Tx) error {
				for _, column := range []string{"outbox WHERE call_id", "reports WHERE id", "calls WHERE id"} {
					res, err := tx.ExecContext(wctx, `DELETE FROM `+column+` IN (SELECT e.value FROM json_each(?) AS e WHERE e.value NOT IN `+heldIDs+`)`, string(text))
					if err != nil {
						return err
					}
					if n, _ := res.RowsAffected(); column == "calls WHERE id" { // the driver has no error here
						erased += n
					}
				}
				return nil
			})
		})
		if err != nil {
			return erased, err
		}
	}
	return erased, nil
}

// Scrub returns when neither SQLite's log nor the journal has anything of deleted rows and finished calls.
func (s *Store) Scrub(ctx context.Context) error {
	s.journal.renew()
	return untilTruncated(ctx, s.path, func() (busy bool, err error) {
		err = s.do(ctx, "scrub", func(wctx context.Context, c *sql.Conn) error {
			if busy, err = truncateLog(wctx, c); err != nil {
				return err
			}
			return s.journal.tend()
		})
		return busy || s.journal.renewing(), err
	})
}

// untilTruncated repeats a try until it is not busy.
func untilTruncated(ctx context.Context, path string, try func() (busy bool, err error)) error {
	for {
		busy, err := try()
		if err != nil || !busy {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("store %s: a reader, like a backup, or an upgrade still needs old data: %w", path, ctx.Err())
		}
	}
}

// truncateLog empties SQLite's log. It does not wait for readers that still need it.
func truncateLog(ctx context.Context, c interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
},
) (busy bool, err error) {
	if _, err := c.ExecContext(ctx, `PRAGMA busy_timeout = 20`); err != nil {
		return false, err
	}
	var log, moved int
	err = c.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &moved)
	_, timeoutErr := c.ExecContext(ctx, `PRAGMA busy_timeout = 5000`)
	if err == nil {
		err = timeoutErr
	}
	return busy, err
}

// Erase deletes ladders, once those that wait for the disk are written. It returns their number.
func (l *Ladders) Erase(ctx context.Context, ids []string) (erased int64, err error) {
	err = untilTruncated(ctx, l.Path, func() (busy bool, err error) {
		l.mu.Lock()
		f := l.files
		busy = slices.ContainsFunc(ids, func(id string) bool { return l.pending[id] != nil })
		l.mu.Unlock()
		if busy || f == nil {
			return busy, l.Err()
		}
		for some := range slices.Chunk(ids, laddersStep) {
			text, err := json.Marshal(some)
			if err != nil {
				return false, err
			}
			res, err := f.write.ExecContext(ctx, `DELETE FROM ladders WHERE id IN (SELECT value FROM json_each(?))`, string(text))
			if err != nil {
				return false, err
			}
			n, _ := res.RowsAffected() // the driver has no error here
			erased += n
		}
		return truncateLog(ctx, f.write)
	})
	return erased, err
}
