package store

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"flowbridge/store/record"
)

// purgeStep limits how many records one transaction deletes, so that calls' writes get in between.
const purgeStep = 250

// Purge deletes the records of calls that started before olderThan and returns their number. It also deletes reports
// that are older. SQLite reuses the free pages. If they are more than a quarter of the file, most of them are returned
// to the disk.
func (s *Store) Purge(ctx context.Context, olderThan time.Time) (int64, error) {
	limit := record.TimeOf(olderThan).String()
	calls, err := s.inSteps(ctx, "purge",
		`DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls WHERE started_at < ? AND id NOT IN `+heldIDs+` ORDER BY started_at LIMIT ?)`, limit)
	if err != nil {
		return calls, err
	}
	_, err = s.inSteps(ctx, "purge",
		`DELETE FROM reports WHERE id IN (SELECT id FROM reports WHERE received_at < ? AND id NOT IN `+heldIDs+` ORDER BY received_at LIMIT ?)`, limit)
	if err != nil {
		return calls, err
	}
	return calls, s.giveBack(ctx)
}

// giveBackStep is how many pages, of 4 KB, one transaction returns to the disk.
const giveBackStep = 500

// giveBack shortens the file while a quarter of it is free. A file from before auto_vacuum keeps its length.
func (c *connection) giveBack(ctx context.Context) error {
	for before := int64(-1); ; {
		var free, pages int64
		err := c.do(ctx, "give back pages", func(wctx context.Context, w *sql.Conn) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			const query = `SELECT f.freelist_count, p.page_count FROM pragma_freelist_count AS f, pragma_page_count AS p`
			if err := w.QueryRowContext(wctx, query).Scan(&free, &pages); err != nil || free < giveBackStep || free*4 < pages {
				return err
			}
			_, err := w.ExecContext(wctx, `PRAGMA incremental_vacuum(`+strconv.Itoa(giveBackStep)+`)`)
			return err
		})
		if err != nil || free < giveBackStep || free*4 < pages || free == before {
			return err
		}
		before = free
	}
}

// inSteps repeats a deleting statement until it finds no more rows, so that calls' writes get in between. The
// statement's arguments are arg and how many rows to delete. It returns the total.
func (c *connection) inSteps(ctx context.Context, what, del, arg string) (int64, error) {
	var total int64
	for {
		var n int64
		err := c.do(ctx, what, func(wctx context.Context, w *sql.Conn) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			res, err := w.ExecContext(wctx, del, arg, purgeStep)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
		if n < purgeStep {
			return total, nil
		}
	}
}
