package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// What is deleted is overwritten (secure_delete). But when SQLite moves rows between pages, it leaves their bytes in
// the unallocated part of a page, and old pages are in its log. Tests: TestEraseLeavesNothing.

// Scrub returns when the database, its log and the journal have nothing of deleted rows and finished calls any more.
func (s *Store) Scrub(ctx context.Context) error {
	s.journal.renew()
	return scrub(ctx, s.path, s.pool(), func(run func(context.Context, *sql.Conn) error) error {
		return s.do(ctx, "scrub", run)
	}, func() (busy bool, err error) { return s.journal.renewing(), s.journal.tend() })
}

// scrub wipes the pages of a database, a few at a time, and empties its log. more says what else is waited for.
func scrub(ctx context.Context, path string, from *sql.DB, do func(func(context.Context, *sql.Conn) error) error,
	more func() (busy bool, err error),
) error {
	var dirty []int64
	var number int64
	var page sql.RawBytes
	err := eachRow(ctx, from, []any{&number, &page}, func() {
		if slices.ContainsFunc(gapOf(page, number), func(b byte) bool { return b != 0 }) {
			dirty = append(dirty, number)
		}
	}, `SELECT d.pgno, d.data FROM dbstat AS s CROSS JOIN sqlite_dbpage AS d ON d.pgno = s.pageno WHERE s.pagetype <> 'overflow'`)
	if err != nil {
		return fmt.Errorf("scrub %s: %w", path, err)
	}
	for some := range slices.Chunk(dirty, purgeStep) {
		if err := do(func(wctx context.Context, c *sql.Conn) error { return wipe(wctx, c, some) }); err != nil {
			return err
		}
	}
	for {
		again := make(chan bool, 1) // do may return before its job ends
		err := do(func(wctx context.Context, c *sql.Conn) error {
			busy, err := truncateLog(wctx, c)
			if err == nil && more != nil {
				var waits bool
				waits, err = more()
				busy = busy || waits
			}
			again <- busy
			return err
		})
		if err != nil || !<-again {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("scrub %s: a reader, like a backup, or an upgrade needs old data: %w", path, ctx.Err())
		}
	}
}

// gapOf returns the unallocated part of a page of a table or an index (SQLite's file format, section 1.6), or nil.
func gapOf(page []byte, number int64) []byte {
	at := 0
	if number == 1 { // the file's header
		at = 100
	}
	if len(page) < at+12 {
		return nil
	}
	head := 8
	switch page[at] {
	case 2, 5: // interior
		head = 12
	case 10, 13: // leaf
	default:
		return nil
	}
	from := at + head + 2*int(binary.BigEndian.Uint16(page[at+3:]))
	to := int(binary.BigEndian.Uint16(page[at+5:]))
	if from > to || to > len(page) {
		return nil
	}
	return page[from:to]
}

// wipe overwrites the unallocated parts of pages.
func wipe(ctx context.Context, c *sql.Conn, numbers []int64) error {
	return inTx(ctx, c, func(tx *sql.Tx) error {
		for _, number := range numbers {
			var page []byte
			if err := tx.QueryRowContext(ctx, `SELECT data FROM sqlite_dbpage WHERE pgno = ?`, number).Scan(&page); err != nil {
				return err
			}
			clear(gapOf(page, number))
			if _, err := tx.ExecContext(ctx, `UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?`, page, number); err != nil {
				return err
			}
		}
		return nil
	})
}

// truncateLog empties SQLite's log. It does not wait for readers that still need it.
func truncateLog(ctx context.Context, c *sql.Conn) (busy bool, err error) {
	if _, err := c.ExecContext(ctx, `PRAGMA busy_timeout = 20`); err != nil {
		return false, err
	}
	err = c.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, new(int), new(int))
	_, timeoutErr := c.ExecContext(ctx, `PRAGMA busy_timeout = 5000`)
	if err == nil {
		err = timeoutErr
	}
	return busy, err
}
