package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"flowbridge/store"
)

// readTimeout bounds one query, in place of the caller's patience.
const readTimeout = 10 * time.Second

// errShape means that a record is of another call than its row.
var errShape = errors.New("a record without the id of its row")

// Reader reads the records of all nodes.
type Reader struct {
	pool       *pgxpool.Pool
	unreadable store.Unreadable
}

// OpenReader makes a reader, which connects when it is used. application names it to the database.
func OpenReader(url, application string) (*Reader, error) {
	pool, err := openPool(url, application, 4)
	if err != nil {
		return nil, err
	}
	return &Reader{pool: pool}, nil
}

// Close closes the connections.
func (r *Reader) Close() { r.pool.Close() }

// Get returns one finished call. ok is false if there is none with that id. The error is an AwayError.
func (r *Reader) Get(ctx context.Context, id string) (rec store.Record, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := r.query(ctx, selectCalls+` WHERE id = $1`, id)
	switch {
	case err != nil || len(rows) == 0:
		return store.Record{}, false, err
	case rows[0].err != nil:
		return store.Record{}, false, &AwayError{
			"this version can't read the record of call " + id, "update this node to the version of the node that wrote it", rows[0].err,
		}
	}
	return rows[0].record, true, nil
}

// Unreadable returns the ids of records that this version could not read and that lists left out, in order; 1,000 at most.
func (r *Reader) Unreadable() []string { return r.unreadable.IDs() }

// List is store.Reader's List for the calls of all nodes. Its errors are store.ErrCursor or an AwayError.
func (r *Reader) List(ctx context.Context, f store.Filter) (records []store.Record, next string, err error) {
	f.ID = asIndexed(f.ID)
	where, args, err := f.SQL()
	if err != nil {
		return nil, "", fmt.Errorf("list calls of the fleet: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	limit := f.PageSize()
	query := translated(selectCalls + where + ` ORDER BY started_at DESC, id DESC LIMIT ?`)
	rows, err := r.query(ctx, query, append(args, limit+1)...)
	if err != nil {
		return nil, "", err
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = store.CursorOf(rows[limit-1].record)
	}
	records = make([]store.Record, 0, len(rows))
	for _, c := range rows {
		if c.err == nil {
			records = append(records, c.record)
		} else {
			r.unreadable.Add(c.record.ID)
		}
	}
	return records, next, nil
}

const selectCalls = `SELECT id, started_at, record::text FROM flowbridge_calls`

// call is a row. Where the record has another shape, as that of a newer version may, err says so, and of the record only its
// place in a list is known.
type call struct {
	record store.Record
	err    error
}

func readCall(row pgx.CollectableRow) (c call, err error) {
	var id, text string
	var started time.Time
	if err := row.Scan(&id, &started, &text); err != nil {
		return c, err
	}
	c.err = json.Unmarshal([]byte(text), &c.record)
	if c.err == nil && c.record.ID != id {
		c.err = errShape
	}
	if c.err != nil {
		c.record = store.Record{ID: id, StartedAt: store.TimeOf(started)}
	}
	return c, nil
}

func (r *Reader) query(ctx context.Context, query string, args ...any) ([]call, error) {
	for i, arg := range args {
		if text, ok := arg.(string); ok { // PostgreSQL has no other text, and no record has
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
		}
	}
	rows, err := r.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, explain(err)
	}
	calls, err := pgx.CollectRows(rows, readCall)
	switch {
	case err == nil:
		return calls, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	}
	return nil, explain(err)
}

// asIndexed is an id as its column has it.
func asIndexed(id string) string {
	n := 0
	for i := range id {
		if n++; n > maxIndexed {
			return id[:i]
		}
	}
	return id
}

// ofPostgres are the words of store.Filter that PostgreSQL has other ones for.
var ofPostgres = strings.NewReplacer("instr(", "strpos(", "other_ids", "flowbridge_other_ids")

// translated writes a query for SQLite as one for PostgreSQL, with $1, $2 … for its question marks.
func translated(query string) string {
	var b strings.Builder
	n := 0
	for _, c := range ofPostgres.Replace(query) {
		if c != '?' {
			b.WriteRune(c)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	return b.String()
}
