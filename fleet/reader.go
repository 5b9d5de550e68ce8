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

// Reader reads the records of all nodes.
type Reader struct{ pool *pgxpool.Pool }

// OpenReader makes a reader, which connects when it is used. application names it to the database.
func OpenReader(url, application string) (*Reader, error) {
	pool, err := openPool(url, application, 4)
	if err != nil {
		return nil, err
	}
	return &Reader{pool}, nil
}

// Close closes the connections.
func (r *Reader) Close() { r.pool.Close() }

// Get returns one finished call. ok is false if there is none with that id. The error is an AwayError.
func (r *Reader) Get(ctx context.Context, id string) (rec store.Record, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := r.query(ctx, `SELECT record::text FROM flowbridge_calls WHERE id = $1`, id)
	if err != nil || len(rows) == 0 {
		return store.Record{}, false, err
	}
	return rows[0], true, nil
}

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
	query := translated(`SELECT record::text FROM flowbridge_calls` + where + ` ORDER BY started_at DESC, id DESC LIMIT ?`)
	if records, err = r.query(ctx, query, append(args, limit+1)...); err != nil {
		return nil, "", err
	}
	if len(records) > limit {
		records = records[:limit]
		next = store.CursorOf(records[limit-1])
	}
	return records, next, nil
}

func (r *Reader) query(ctx context.Context, query string, args ...any) ([]store.Record, error) {
	for i, arg := range args {
		if text, ok := arg.(string); ok { // PostgreSQL has no other text, and no record has
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
		}
	}
	rows, err := r.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, explain(err)
	}
	records, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (rec store.Record, err error) {
		var text string
		if err := row.Scan(&text); err != nil {
			return rec, err
		}
		err = json.Unmarshal([]byte(text), &rec)
		return rec, err
	})
	switch {
	case err == nil:
		return records, nil
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
