package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
)

// A damaged database has lost a few pages, and its other records are as good as before. So what can be read of a file that
// was set aside is taken into the new one, while calls go on. The new file names the old one from its begin until that is
// done: a process that is killed meanwhile leaves the rest to the next one.

const (
	// salvageNote names the file of which something is to be taken over (Note).
	salvageNote = "salvage"
	// salvageStep is how many rows are taken over in one transaction, so that calls' writes get in between.
	salvageStep = 200
	// lastRow is behind the number of any row that there could be.
	lastRow = 1 << 48
)

// Salvaged is what was taken over from a damaged database.
type Salvaged struct {
	// File is the database that was set aside; empty: there was nothing to do.
	File string
	// Records are those that were not in the new database yet.
	Records int
	// Items of the outbox, as of webhooks that were not sent.
	Items int
	// Gaps are the places where something could not be read. It is in the file still.
	Gaps int
}

// salvage reads an old file.
type salvage struct {
	s  *Store
	db *sql.DB
	Salvaged
}

// Salvage takes over what can be read of a damaged database that was set aside, by this process or one before. It may be called
// at any time, by one goroutine. After an error of writing it goes on with the next call; an error of reading is told
// once.
func (s *Store) Salvage(ctx context.Context) (Salvaged, error) {
	name, err := s.Noted(ctx, salvageNote)
	if err != nil || name == "" {
		return Salvaged{}, err
	}
	v := &salvage{s: s, Salvaged: Salvaged{File: name}}
	next, err := v.run(ctx)
	if err == nil || isDamaged(err) || errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(err, s.Note(ctx, salvageNote, next))
	}
	if err != nil {
		err = fmt.Errorf("salvage %s: %w", name, err)
	}
	return v.Salvaged, err
}

// run takes over records and items. next is the file that the old one was to take over itself.
func (v *salvage) run(ctx context.Context) (next string, err error) {
	if _, err := os.Stat(v.File); err != nil {
		return "", err
	}
	if v.db, err = openDB(dsn(v.File, "ro")); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, v.db.Close()) }()
	v.db.SetMaxOpenConns(1)
	_ = v.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = ?`, "note_"+salvageNote).Scan(&next) // empty: none, or it can't be read
	if err := v.records(ctx); err != nil {
		return next, err
	}
	return next, v.items(ctx)
}

// walk reads the rows of a table in the order of their numbers, passes over those that can't be read, and has what was read kept
// after each step.
func (v *salvage) walk(ctx context.Context, table, columns string, read func(row) error, keep func(context.Context) error) error {
	for at := int64(0); ; {
		n, last, err := v.page(ctx, table, columns, at, read)
		if n > 0 {
			if err := keep(ctx); err != nil {
				return err
			}
		}
		switch {
		case err == nil && n < salvageStep:
			return nil
		case n > 0:
			at = last
		case !isDamaged(err):
			return err
		default:
			v.Gaps++
			if at = v.behind(ctx, table, at); at >= lastRow {
				return nil
			}
		}
	}
}

// page reads the next n rows behind a number, as far as it can.
func (v *salvage) page(ctx context.Context, table, columns string, at int64, read func(row) error) (n int, last int64, err error) {
	query := `SELECT rowid, ` + columns + ` FROM ` + table + ` NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT ?`
	rows, err := v.db.QueryContext(ctx, query, at, salvageStep)
	if err != nil {
		return 0, at, err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
	for last = at; rows.Next(); n++ {
		r := numbered{rows: rows}
		if err := read(&r); err != nil {
			if isDamaged(err) {
				return n, last, err
			}
			v.Gaps++ // this row alone
		}
		if r.number <= last { // the tree leads back
			return n, last, rows.Err()
		}
		last = r.number
	}
	return n, last, rows.Err()
}

// numbered is a row behind whose number the others are.
type numbered struct {
	rows   *sql.Rows
	number int64
}

func (r *numbered) Scan(dest ...any) error { return r.rows.Scan(append([]any{&r.number}, dest...)...) }

// behind is the first number behind a place that can't be read from which on the table can be read again; lastRow: there is none.
func (v *salvage) behind(ctx context.Context, table string, at int64) int64 {
	readable := func(at int64) bool {
		var number sql.NullInt64
		err := v.db.QueryRowContext(ctx, `SELECT rowid FROM `+table+` NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT 1`, at).Scan(&number)
		return err == nil || errors.Is(err, sql.ErrNoRows)
	}
	low, high := at, at+1
	for ; !readable(high); high = at + 2*(high-at) {
		if low = high; high >= lastRow {
			return lastRow
		}
	}
	for low+1 < high {
		if mid := low + (high-low)/2; readable(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// records takes over finished calls with their reports.
func (v *salvage) records(ctx context.Context) error {
	var all []Record
	read := func(from row) error {
		r, err := scan(from)
		if err == nil {
			all = append(all, r)
		}
		return err
	}
	return v.walk(ctx, "calls", columnList+`, NULL`, read, func(ctx context.Context) error {
		for i := range all {
			all[i].Report = v.report(ctx, all[i].ID)
		}
		n, err := v.s.keepSalvaged(ctx, all)
		v.Records, all = v.Records+n, nil
		return err
	})
}

// report is what a platform has said of a call; nil: nothing, or it can't be read.
func (v *salvage) report(ctx context.Context, id string) (r *Report) {
	var text []byte
	if v.db.QueryRowContext(ctx, `SELECT report FROM reports WHERE id = ?`, id).Scan(&text) != nil || json.Unmarshal(text, &r) != nil {
		return nil
	}
	return r
}

// keepSalvaged keeps records that are over for the outbox's consumers, and says how many were not there.
func (s *Store) keepSalvaged(ctx context.Context, all []Record) (int, error) {
	var kept atomic.Int64
	err := s.do(ctx, "keep", func(wctx context.Context, c *sql.Conn) error {
		return inTx(wctx, c, func(tx *sql.Tx) error {
			err := c.Raw(func(on any) error {
				k, err := prepareKeeper(wctx, on)
				defer k.close()
				for i := range all {
					if err != nil {
						break
					}
					var fresh bool
					if fresh, err = k.keep(wctx, newFinish(&all[i]), nil); fresh {
						kept.Add(1)
					}
				}
				return err
			})
			for i := range all {
				if r := all[i].Report; r != nil && err == nil {
					_, err = putReport(wctx, tx, all[i].ID, r)
				}
			}
			return err
		})
	})
	return int(kept.Load()), err
}

// insertSalvaged adds an item of the outbox, if a process that was killed has not.
const insertSalvaged = `INSERT INTO outbox (consumer, call_id, kind, created_at, due_at, tries, reason) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
	WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE consumer = ?1 AND call_id = ?2 AND kind = ?3 AND created_at = ?4)`

// items takes over what the consumers of the outbox have yet to get.
func (v *salvage) items(ctx context.Context) error {
	var all [][]any
	read := func(from row) error {
		var consumer, call, kind, created, due, reason string
		var tries int64
		err := from.Scan(&consumer, &call, &kind, &created, &due, &tries, &reason)
		if err == nil {
			all = append(all, []any{consumer, call, kind, created, due, tries, reason})
		}
		return err
	}
	return v.walk(ctx, "outbox", `consumer, call_id, kind, created_at, due_at, tries, reason`, read, func(ctx context.Context) error {
		items := all
		all = nil
		var added atomic.Int64
		err := v.s.do(ctx, "keep", func(wctx context.Context, c *sql.Conn) error {
			defer v.s.outboxFilled()
			return inTx(wctx, c, func(tx *sql.Tx) error {
				for _, item := range items {
					if !slices.Contains(v.s.consumers, item[0].(string)) {
						continue
					}
					res, err := tx.ExecContext(wctx, insertSalvaged, item...)
					if err != nil {
						return err
					}
					n, _ := res.RowsAffected() // never fails
					added.Add(n)
				}
				return nil
			})
		})
		v.Items += int(added.Load())
		return err
	})
}
