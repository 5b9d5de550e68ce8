package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// ErrCursor means that a cursor is not from List.
var ErrCursor = errors.New("cursor is not one of a list")

// The bounds of Filter.Limit.
const (
	defaultLimit = 100
	MaxLimit     = 1000
)

// Filter says which finished calls List returns. Its zero value means all.
type Filter struct {
	// Since is the earliest started_at; zero means no limit.
	Since time.Time
	// Until is the first started_at that is too late; zero means no limit.
	Until time.Time
	// Trunk, Target and Disposition must be equal; empty means any.
	Trunk, Target, Disposition string
	// Limit is the length of a page: 0 means 100, and MaxLimit is the most.
	Limit int
	// Cursor continues a list behind its last record: next, from the List before.
	Cursor string
}

// Reader reads a database file, even while another process writes it.
type Reader struct {
	path string
	db   *sql.DB
}

// OpenRead opens an existing file for reading only, beside a running server or without one.
func OpenRead(ctx context.Context, path string) (*Reader, error) {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("store %s: %w; check store.path: the server creates the file on its first start", path, errNotThere)
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
	db, err := sql.Open("sqlite", dsn(path, "rw", "query_only(1)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	return &Reader{path: path, db: db}, nil
}

// check checks that the tables are those that this version reads.
func (r *Reader) check(ctx context.Context) error {
	var app, version int64
	if err := r.db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&app); err != nil {
		return err
	}
	if app != applicationID {
		return errForeign
	}
	const query = `SELECT max(version_id) FROM goose_db_version WHERE is_applied`
	if err := r.db.QueryRowContext(ctx, query).Scan(&version); err != nil {
		return err
	}
	newest, err := newestSchema(r.db)
	if err != nil {
		return err
	}
	if version > newest {
		return fmt.Errorf("%w (schema %d, this version knows %d)", errNewer, version, newest)
	}
	if version < newest {
		return fmt.Errorf("database has schema %d and this version reads %d; start the server of this version once", version, newest)
	}
	return nil
}

// Close closes the reading connections.
func (r *Reader) Close() error { return r.db.Close() }

// Get returns one finished call. ok is false if there is none with that id.
func (r *Reader) Get(ctx context.Context, id string) (rec Record, ok bool, err error) {
	rec, err = scan(r.db.QueryRowContext(ctx, `SELECT `+selectList+` FROM calls WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("get call %s: %w", id, err)
	}
	return rec, true, nil
}

// List returns finished calls, newest first, and a cursor for those behind them, "" at the end. Calls that end
// between two pages neither repeat nor hide others.
func (r *Reader) List(ctx context.Context, f Filter) (records []Record, next string, err error) {
	where, args, err := f.where()
	if err != nil {
		return nil, "", fmt.Errorf("list calls: %w", err)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, MaxLimit)
	rows, err := r.db.QueryContext(ctx,
		`SELECT `+selectList+` FROM calls`+where+` ORDER BY started_at DESC, id DESC LIMIT ?`, append(args, limit+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list calls: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
	records = []Record{}
	for rows.Next() {
		rec, err := scan(rows)
		if err != nil {
			return nil, "", fmt.Errorf("list calls: %w", err)
		}
		records = append(records, rec)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list calls: %w", err)
	}
	if len(records) > limit {
		records = records[:limit]
		next = cursorOf(records[limit-1])
	}
	return records, next, nil
}

func (f Filter) where() (text string, args []any, err error) {
	var terms []string
	add := func(term string, arg ...any) {
		terms = append(terms, term)
		args = append(args, arg...)
	}
	if !f.Since.IsZero() {
		add(`started_at >= ?`, ceil(f.Since))
	}
	if !f.Until.IsZero() {
		add(`started_at < ?`, ceil(f.Until))
	}
	for _, eq := range []struct{ column, value string }{
		{"trunk", f.Trunk}, {"target", f.Target}, {"disposition", f.Disposition},
	} {
		if eq.value != "" {
			add(eq.column+` = ?`, eq.value)
		}
	}
	if f.Cursor != "" {
		started, id, err := parseCursor(f.Cursor)
		if err != nil {
			return "", nil, err
		}
		add(`(started_at, id) < (?, ?)`, started, id)
	}
	if len(terms) == 0 {
		return "", nil, nil
	}
	return ` WHERE ` + strings.Join(terms, ` AND `), args, nil
}

// ceil returns the first whole millisecond that is not before t: records have no finer times.
func ceil(t time.Time) string {
	c := TimeOf(t)
	if c.Before(t) {
		c = TimeOf(c.Add(time.Millisecond))
	}
	return c.String()
}

func cursorOf(r Record) string {
	return base64.RawURLEncoding.EncodeToString([]byte(r.StartedAt.String() + " " + r.ID))
}

func parseCursor(c string) (started, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil {
		return "", "", ErrCursor
	}
	started, id, ok := strings.Cut(string(b), " ")
	if _, err := time.Parse(timeLayout, started); err != nil || !ok || id == "" {
		return "", "", ErrCursor
	}
	return started, id, nil
}
