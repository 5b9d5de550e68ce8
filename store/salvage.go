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
	"strings"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
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
	s      *Store
	db     *sql.DB
	unsure map[string]bool // calls with an item that may have been delivered; true: the old file has the call
	Salvaged
}

// Salvage takes over what can be read of a damaged database that was set aside, by this process or one before. It may be called
// at any time, by one goroutine. After an error of writing it goes on with the next call; damage is told once. A file whose
// tables this version can't read stays noted.
func (s *Store) Salvage(ctx context.Context) (Salvaged, error) {
	name, err := s.Noted(ctx, salvageNote)
	if err != nil || name == "" {
		return Salvaged{}, err
	}
	v := &salvage{s: s, Salvaged: Salvaged{File: name}}
	next, err := v.run(ctx)
	switch {
	case err == nil || hurt(err) || errors.Is(err, fs.ErrNotExist):
		err = errors.Join(err, s.salvaged(ctx, next, next == ""))
	case v.Items == 0 && !errors.Is(err, errUnkept): // what the files before it gave does not wait for one that may never be read
		err = errors.Join(err, s.salvaged(ctx, name, true))
	}
	if err != nil {
		err = fmt.Errorf("salvage %s: %w", name, err)
	}
	return v.Salvaged, err
}

// salvaged ends the work on a file. next is the file that comes then, due says whether what was taken over is to be delivered.
func (s *Store) salvaged(ctx context.Context, next string, due bool) error {
	return s.do(ctx, "note "+salvageNote, func(wctx context.Context, c *sql.Conn) error {
		defer s.outboxFilled()
		return inTx(wctx, c, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(wctx, `UPDATE outbox SET due_at = '' WHERE due_at IN (?, ?) AND ?`, dueWhenDone, dueIfUnknown, due); err != nil {
				return err
			}
			_, err := tx.ExecContext(wctx, upsertNote, "note_"+salvageNote, next)
			return err
		})
	})
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
	v.db.SetMaxOpenConns(2) // one passes through a table, the other asks for what belongs to its rows
	const pending = `SELECT value FROM meta WHERE name = ?`
	_ = v.db.QueryRowContext(ctx, pending, "note_"+salvageNote).Scan(&next) // empty: none, or it can't be read
	if err := v.askUnsure(ctx); err != nil {
		return next, err
	}
	if err := v.records(ctx); err != nil {
		return next, err
	}
	gaps := v.Gaps
	if err := v.items(ctx); err != nil || v.Gaps > gaps || next != "" { // the file before may have the item
		return next, err
	}
	return next, v.removeDelivered(ctx)
}

// A walk reads the rows of a table.
type walk struct {
	*salvage
	table, columns string
	read           func(row) error
	keep           func(context.Context) error
}

// all takes all rows that can be read. To pass through the tree from an end needs no number that is in it to be right, so that is
// done from both ends. What is between two damaged pages is looked for by the numbers.
func (w *walk) all(ctx context.Context) error {
	last, err := w.pass(ctx, `ORDER BY rowid`)
	if !hurt(err) {
		return err
	}
	w.Gaps++
	first, err := w.pass(ctx, `ORDER BY rowid DESC`)
	if err != nil && !hurt(err) {
		return err
	}
	if first == 0 { // the last page is damaged
		first = lastRow
	}
	for at := last; at < first; {
		next, err := w.pass(ctx, `ORDER BY rowid LIMIT ?3`, at, first, salvageStep)
		switch {
		case err == nil && next == at:
			return nil
		case err == nil || hurt(err) && next > at:
			at = next
		case !hurt(err):
			return err
		default:
			w.Gaps++
			at = w.behind(ctx, at)
		}
	}
	return nil
}

// pass takes the rows between two numbers, as far as it can, and gives the number of the last one.
func (w *walk) pass(ctx context.Context, order string, between ...any) (last int64, err error) {
	query := `SELECT rowid, ` + w.columns + ` FROM ` + w.table + ` NOT INDEXED `
	if len(between) > 0 {
		last = between[0].(int64)
		query += `WHERE rowid > ?1 AND rowid < ?2 `
	}
	rows, err := w.db.QueryContext(ctx, query+order, between...)
	if err != nil {
		return last, err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
	for n := 1; rows.Next(); n++ {
		r := numbered{rows: rows}
		if err := w.read(&r); isDamaged(err) {
			return last, errors.Join(w.kept(ctx), err)
		} else if err != nil {
			w.Gaps++ // this row alone
		}
		if last = r.number; n%salvageStep == 0 {
			if err := w.kept(ctx); err != nil {
				return last, err
			}
		}
	}
	return last, errors.Join(w.kept(ctx), rows.Err())
}

// errUnkept means that the new database did not take what was read, whatever that says of it.
var errUnkept = errors.New("not taken over")

func (w *walk) kept(ctx context.Context) error {
	if err := w.keep(ctx); err != nil {
		return fmt.Errorf("%w: %s", errUnkept, err.Error())
	}
	return nil
}

// hurt says whether the old file could not be read on for its damage.
func hurt(err error) bool {
	code, ok := errors.AsType[*sqlite.Error](err)
	unreadable := ok && code.Code()&0xff == sqlite3.SQLITE_IOERR
	return (isDamaged(err) || unreadable) && !errors.Is(err, errUnkept)
}

// numbered is a row behind whose number the others are.
type numbered struct {
	rows   *sql.Rows
	number int64
}

func (r *numbered) Scan(dest ...any) error { return r.rows.Scan(append([]any{&r.number}, dest...)...) }

// behind is the first number behind a place that can't be read from which on the table can be read again; lastRow: there is none.
func (w *walk) behind(ctx context.Context, at int64) int64 {
	query := `SELECT rowid FROM ` + w.table + ` NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT 1`
	readable := func(at int64) bool {
		var number int64
		err := w.db.QueryRowContext(ctx, query, at).Scan(&number)
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

// columnsOf gives the columns of a table of a database, with the defaults of those that have one.
func columnsOf(ctx context.Context, db *sql.DB, table string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT name, coalesce(dflt_value, '') FROM pragma_table_info(?)`, table)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
	all := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		all[name] = value
	}
	return all, rows.Err()
}

// callColumns is columnList for the old file. An earlier version may have made it: what that did not know has its default.
func (v *salvage) callColumns(ctx context.Context) (string, error) {
	now, err := columnsOf(ctx, v.s.pool(), "calls")
	if err != nil {
		return "", fmt.Errorf("%w: %s", errUnkept, err.Error())
	}
	had, err := columnsOf(ctx, v.db, "calls")
	if err != nil || len(had) == 0 {
		return "", err
	}
	list := strings.Split(columnList, ",")
	for i, name := range list {
		name = strings.TrimSpace(name)
		if _, ok := had[name]; !ok && now[name] != "" {
			list[i] = now[name]
		}
	}
	return strings.Join(list, ","), nil
}

// records takes over finished calls with their reports.
func (v *salvage) records(ctx context.Context) error {
	columns, err := v.callColumns(ctx)
	if columns == "" { // there is no such table, or it can't be read
		v.Gaps++
		return err
	}
	var all []Record
	read := func(from row) error {
		r, err := scan(from)
		if err == nil {
			all = append(all, r)
			v.has(r.ID)
		}
		return err
	}
	return (&walk{v, "calls", columns + `, NULL`, read, func(ctx context.Context) error {
		for i := range all {
			all[i].Report = v.report(ctx, all[i].ID)
		}
		n, err := v.s.keepSalvaged(ctx, all)
		v.Records, all = v.Records+n, nil
		return err
	}}).all(ctx)
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

// dueWhenDone is when an item is due until all is taken over: in no time that comes. Were it delivered before, who begins with the
// file again after an error or a kill, or goes on with one before, which may have the item, too, would add it again.
const dueWhenDone = "9999"

// insertSalvaged adds an item of the outbox, if it is not there yet. A call whose record was written again has another time of its
// end, and one end.
const insertSalvaged = `INSERT INTO outbox (consumer, call_id, kind, created_at, tries, reason, due_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
	WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE consumer = ?1 AND call_id = ?2 AND kind = ?3 AND (kind <> '` + OutboxReport + `' OR created_at = ?4))`

// items takes over what the consumers of the outbox have yet to get.
func (v *salvage) items(ctx context.Context) error {
	if had, err := columnsOf(ctx, v.db, "outbox"); err != nil || len(had) == 0 { // an earlier version, or it can't be read
		clear(v.unsure) // nobody knows whether they were delivered
		return err
	}
	var all [][]any
	read := func(from row) error {
		var consumer, call, kind, created, reason string
		var tries int64
		err := from.Scan(&consumer, &call, &kind, &created, &tries, &reason)
		if err == nil {
			all = append(all, []any{consumer, call, kind, created, tries, reason, dueWhenDone, dueIfUnknown})
		}
		return err
	}
	return (&walk{v, "outbox", `consumer, call_id, kind, created_at, tries, reason`, read, func(ctx context.Context) error {
		items := all
		all = nil
		var added atomic.Int64
		err := v.s.do(ctx, "keep", func(wctx context.Context, c *sql.Conn) error {
			return inTx(wctx, c, func(tx *sql.Tx) error {
				for _, item := range items {
					if !slices.Contains(v.s.consumers, item[0].(string)) {
						continue
					}
					for _, statement := range []string{noteUndelivered, insertSalvaged} {
						res, err := tx.ExecContext(wctx, statement, item...)
						if err != nil {
							return err
						}
						n, _ := res.RowsAffected() // never fails
						added.Add(n)
					}
				}
				return nil
			})
		})
		v.Items += int(added.Load())
		return err
	}}).all(ctx)
}
