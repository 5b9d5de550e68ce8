package fleet

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"flowbridge/store/record"
)

// readTimeout is the time limit for one query, whatever the caller's own deadline is.
const readTimeout = 10 * time.Second

// errShape means that the record in a row belongs to another call.
var errShape = errors.New("a record without the id of its row")

// Reader reads the records of all nodes.
type Reader struct {
	pool       *pgxpool.Pool
	unreadable record.Unreadable
	within     time.Duration // time limit for one query: readTimeout, except in tests
}

// OpenReader returns a reader that connects on first use. The database sees it under the name application.
func OpenReader(url, application string) (*Reader, error) {
	pool, err := openPool(url, application, 4)
	if err != nil {
		return nil, err
	}
	return &Reader{pool: pool, within: readTimeout}, nil
}

// Close closes the connections.
func (r *Reader) Close() { r.pool.Close() }

// Unreadable returns the ids of records that this version could not read and that lists left out, in order, at most
// 1,000.
func (r *Reader) Unreadable() []string { return r.unreadable.IDs() }

// A record that is cut off here can't be read.
const selectCalls = `SELECT left(id, 600), greatest(least(started_at, '9999-01-01'), '0001-01-02'), left(record::text, 1 << 20)
	FROM flowbridge_calls`

// Get returns one finished call. ok is false if there is none with that id. The error is an AwayError.
func (r *Reader) Get(ctx context.Context, id string) (rec record.Record, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	var shape error
	err = r.query(ctx, func(one record.Record, bad error) { rec, ok, shape = one, bad == nil, bad },
		selectCalls+` WHERE id = ?`, id)
	if err == nil && shape != nil {
		const remedy = "update this node to the version of the node that wrote it"
		err = &AwayError{"this version can't read the record of call " + id, remedy, shape}
	}
	return rec, ok, err
}

// List is like store.Reader's List, for the calls of all nodes. Its errors are record.ErrCursor or an AwayError.
func (r *Reader) List(ctx context.Context, f record.Filter) (records []record.Record, next string, err error) {
	f.ID = asIndexed(f.ID)
	where, args, err := f.SQL()
	if err != nil {
		return nil, "", fmt.Errorf("list calls of the fleet: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	limit, read, last := f.PageSize(), 0, record.Record{}
	records = []record.Record{}
	err = r.query(ctx, func(rec record.Record, bad error) {
		switch read++; {
		case read > limit:
			next = record.CursorOf(last)
			return
		case bad != nil:
			r.unreadable.Add(rec.ID)
		default:
			records = append(records, rec)
		}
		last = rec
	}, selectCalls+where+` ORDER BY started_at DESC, id DESC LIMIT ?`, append(args, limit+1)...)
	if err != nil {
		return nil, "", err
	}
	return records, next, nil
}

// Members returns the nodes in the database, in the order of their names. The error is an AwayError.
func (r *Reader) Members(ctx context.Context) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	members, err := membersOf(ctx, r.pool)
	return members, explain(err)
}

// Find returns the live node with a name; its ID is empty if there is none. proven reports that the node's address is
// listed, or was written by a node that has the secret of this node's seat. If several nodes have the name, it prefers
// a proven one.
func (f *Fleet) Find(ctx context.Context, name string, listed []netip.AddrPort) (found Member, proven bool, err error) {
	members, err := f.Members(ctx)
	for i := range members {
		m := &members[i]
		if m.Name != name || !m.Live() {
			continue
		}
		found = *m
		if slices.ContainsFunc(listed, func(a netip.AddrPort) bool { return m.API == "http://"+a.String() }) ||
			m.API != "" && f.Seat != nil && hmac.Equal([]byte(m.Proof), []byte(f.Seat.proofOf(m.Name, m.API))) {
			return found, true, nil
		}
	}
	return found, false, err
}

// query calls each with every record. A record of an unknown form, for example from a newer version, comes with an
// error and has only its place in a list.
func (r *Reader) query(ctx context.Context, each func(rec record.Record, bad error), query string, args ...any) error {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = asText(text)
		}
	}
	rows, _ := r.pool.Query(ctx, translated(query), args...) // the rows return the error
	var id, text string
	var started time.Time
	_, err := pgx.ForEachRow(rows, []any{&id, &started, &text}, func() error {
		var rec record.Record
		bad := json.Unmarshal([]byte(text), &rec)
		if bad == nil && rec.ID != id {
			bad = errShape
		}
		rec.Problems = record.ProblemsOf(&rec)
		if bad != nil {
			rec = record.Record{ID: id, StartedAt: record.TimeOf(started)}
		}
		each(rec, bad)
		return nil
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	}
	return explain(err)
}

// asText returns a text in the form in which PostgreSQL can store it. Records never have another form.
func asText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
}

// asIndexed returns an id in the form of its column.
func asIndexed(id string) string {
	n := 0
	for i := range id {
		if n++; n > maxIndexed {
			return id[:i]
		}
	}
	return id
}

// ofPostgres replaces the parts of record.Filter's SQL that differ in PostgreSQL.
var ofPostgres = strings.NewReplacer("instr(", "strpos(", "other_ids", "flowbridge_other_ids")

// translated turns a query for SQLite into one for PostgreSQL, with $1, $2 … for its question marks.
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
