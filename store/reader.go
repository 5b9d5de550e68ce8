package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"flowbridge/store/record"
)

// readers is how many connections may read at a time.
const readers = 4

// Reader reads a database file, even while another process writes it.
type Reader struct {
	name    string // of the file
	db      atomic.Pointer[sql.DB]
	ground  *ground     // nil if another process writes
	damaged atomic.Bool // a reader or the writer has found the file damaged

	unreadable record.Unreadable
}

// ready returns when the file can be read and SQLite need not wait for the disk.
func (r *Reader) ready(ctx context.Context) error {
	if r.ground == nil {
		return nil
	}
	return r.ground.awaitFor(ctx)
}

// noted records that the file is damaged, if the error says so.
func (r *Reader) noted(err error) error {
	if isDamaged(err) {
		r.damaged.Store(true)
	}
	return err
}

// noFile returns the error for a missing database. A name without a directory means another file in each working
// directory.
func noFile(path string) error {
	where, hint := path, "the server creates the file on its first start"
	if whole, err := filepath.Abs(path); err == nil && !filepath.IsAbs(path) {
		where, hint = whole, "it is relative to the working directory, so go to that of the server, or name the file"
	}
	return fmt.Errorf("store %s: %w; check store.path: %s", where, errNotThere, hint)
}

// OpenRead opens an existing file for reading only, with or without a running server.
func OpenRead(ctx context.Context, path string) (*Reader, error) {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nil, noFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	r, err := openReader(path)
	if err != nil {
		return nil, explain(path, err)
	}
	if err := r.check(ctx); err != nil {
		_ = r.Close()
		return nil, explain(path, err)
	}
	return r, nil
}

func openReader(path string) (*Reader, error) {
	db, err := openPool(path)
	if err != nil {
		return nil, err
	}
	r := &Reader{name: path}
	r.db.Store(db)
	return r, nil
}

func openPool(path string) (*sql.DB, error) {
	db, err := openDB(dsn(path, "rw", "query_only(1)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	db.SetConnMaxLifetime(time.Minute) // after the file was put back, old connections have another file
	return db, nil
}

// pool returns the connections.
func (r *Reader) pool() *sql.DB { return r.db.Load() }

// again reopens the file by its name, because a connection belongs to a file and not to a name. Reads in progress
// continue.
func (r *Reader) again() {
	if fresh, err := openPool(r.name); err == nil { // it succeeds, because it does not open the file yet
		old := r.db.Swap(fresh)
		go func() { _ = old.Close() }() // waits for the last reader
	}
}

// check checks that this version can read the tables.
func (r *Reader) check(ctx context.Context) error {
	var app, version int64
	if err := r.pool().QueryRowContext(ctx, `PRAGMA application_id`).Scan(&app); err != nil {
		return err
	}
	if app != applicationID {
		return errForeign
	}
	const query = `SELECT max(version_id) FROM goose_db_version WHERE is_applied`
	if err := r.pool().QueryRowContext(ctx, query).Scan(&version); err != nil {
		return err
	}
	newest := newestSchema()
	if version > newest {
		return fmt.Errorf("%w (schema %d, this version knows %d)", errNewer, version, newest)
	}
	if version < newest {
		return fmt.Errorf("%w: it has schema %d and this version reads %d; start the server of this version once", errOlder,
			version, newest)
	}
	return nil
}

// Close closes the reading connections.
func (r *Reader) Close() error { return r.pool().Close() }

// Get returns one finished call. ok is false if there is none with that id.
func (r *Reader) Get(ctx context.Context, id string) (rec record.Record, ok bool, err error) {
	if err := r.ready(ctx); err != nil {
		return record.Record{}, false, fmt.Errorf("get call %s: %w", id, err)
	}
	rec, err = scan(r.pool().QueryRowContext(ctx, `SELECT `+selectList+` FROM calls WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return record.Record{}, false, nil
	}
	if err != nil {
		return record.Record{}, false, fmt.Errorf("get call %s: %w", id, r.noted(err))
	}
	return rec, true, nil
}

// List returns finished calls, newest first, and a cursor for the calls after them, or "" at the end. Calls that end
// between two pages neither repeat nor hide others. Records that can't be read are left out: Unreadable returns their
// ids.
func (r *Reader) List(ctx context.Context, f record.Filter) (records []record.Record, next string, err error) {
	query, args, err := pageQuery(f)
	if err != nil {
		return nil, "", fmt.Errorf("list calls: %w", err)
	}
	limit := f.PageSize()
	if err := r.ready(ctx); err != nil {
		return nil, "", fmt.Errorf("list calls: %w", err)
	}
	rows, err := r.pool().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, "", fmt.Errorf("list calls: %w", r.noted(err))
	}
	defer func() { _ = rows.Close() }() // rows.Err has the error
	records = []record.Record{}
	var last record.Record // gives the position in the list
	for read := 0; rows.Next(); read++ {
		if read == limit {
			next = nextCursor(last, f.Cursor)
			break
		}
		rec, err := scan(rows)
		if err == nil {
			records = append(records, rec)
		} else if rec, err = r.passOver(rows, err); err != nil {
			return nil, "", fmt.Errorf("list calls: %w", r.noted(err))
		}
		if !rec.StartedAt.IsZero() {
			last = rec
		}
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list calls: %w", r.noted(err))
	}
	return records, next, nil
}

// nextCursor returns the cursor after a page. last is the page's last record with a time. It is zero if all times are
// damaged: such records sort before all others, or at the end of the list, where it is over.
func nextCursor(last record.Record, cursor string) string {
	switch {
	case !last.StartedAt.IsZero():
		return record.CursorOf(last)
	case cursor == "":
		return record.CursorOf(record.Record{
			ID:        "~",
			StartedAt: record.TimeOf(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)),
		})
	default:
		return ""
	}
}

// pageQuery asks for one call more than the limit, to find out whether there is another page.
func pageQuery(f record.Filter) (text string, args []any, err error) {
	where, args, err := f.SQL()
	if err != nil {
		return "", nil, err
	}
	return `SELECT ` + selectList + ` FROM calls` + where + ` ORDER BY started_at DESC, id DESC LIMIT ?`,
		append(args, f.PageSize()+1), nil
}
