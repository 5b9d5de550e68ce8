package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"flowbridge/store/record"
)

// columnList names the columns of calls; selectList adds the platform's report.
var (
	columnNames = record.Columns()
	columnList  = `"` + strings.Join(columnNames, `", "`) + `"`
	selectList  = columnList + `, (SELECT report FROM reports WHERE reports.id = calls.id)`
)

// A finished record does not change: a repeated Put has no effect.
var insertCall = `INSERT INTO calls (` + columnList + `) VALUES (?` + strings.Repeat(", ?", len(columnNames)-1) + `)
	ON CONFLICT (id) DO NOTHING`

// columns holds the values for one statement after another. The values are valid until its next use.
type columns struct {
	values []driver.NamedValue
	text   []byte // the texts that were made for a record
	made   []made
}

// made is the column of such a text, and where the text ends.
type made struct{ column, end int }

// of returns the columns of a finished record. The texts that are made for it share one string.
func (c *columns) of(r *record.Record) []driver.NamedValue {
	c.values, c.text, c.made = c.values[:0], c.text[:0], c.made[:0]
	for i := range columnNames {
		v, from := c.next(), len(c.text)
		switch at := r.Column(i).(type) {
		case *string:
			setText(v, *at)
		case *int:
			v.Value = int64(*at)
		case *int64:
			v.Value = *at
		case *record.Time:
			if v.Value = nil; !at.IsZero() {
				c.text = at.AppendTo(c.text)
			}
		default:
			c.text = r.AppendColumn(c.text, i)
		}
		if len(c.text) > from {
			c.made = append(c.made, made{i, len(c.text)})
		}
	}
	all, begin := string(c.text), 0
	for _, m := range c.made {
		setText(&c.values[m.column], all[begin:m.end])
		begin = m.end
	}
	return c.values
}

// texts returns the arguments of a statement that takes only texts.
func (c *columns) texts(all ...string) []driver.NamedValue {
	c.values = c.values[:0]
	for _, s := range all {
		setText(c.next(), s)
	}
	return c.values
}

// next adds a value. The caller must set it: it still holds the value of the previous record.
func (c *columns) next() *driver.NamedValue {
	n := len(c.values)
	c.values = slices.Grow(c.values, 1)[:n+1]
	c.values[n].Ordinal = n + 1
	return &c.values[n]
}

// setText sets a value. Most columns have the same text as in the previous call. That text is reused, because otherwise
// each text would be allocated.
func setText(v *driver.NamedValue, s string) {
	if v.Value != s {
		v.Value = s
	}
}

// insertOther adds an id that is in none of the columns.
const insertOther = `INSERT OR IGNORE INTO other_ids (other, id) VALUES (?, ?)`

// otherID returns the Call-ID of a failed attempt, or "" for the attempt whose Call-ID is in a column.
func otherID(r *record.Record, attempt int) string {
	if id := r.Attempts[attempt].SIPCallID; id != r.TargetSIPCallID {
		return id
	}
	return ""
}

type row interface{ Scan(dest ...any) error }

// querier is a connection, a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// eachRow scans each row of a query into the same variables and then calls take.
func eachRow(ctx context.Context, from querier, into []any, take func(), query string, args ...any) error {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has the error
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		take()
	}
	return rows.Err()
}

func scan(from row) (record.Record, error) {
	var r record.Record
	var report sql.NullString
	into, texts := make([]any, len(columnNames), len(columnNames)+1), make([]string, len(columnNames))
	for i := range into {
		switch v := r.Column(i).(type) {
		case *string, *int, *int64, *record.Time:
			into[i] = v
		default:
			into[i] = &texts[i]
		}
	}
	if err := from.Scan(append(into, &report)...); err != nil {
		return record.Record{}, err
	}
	for i := range into {
		if into[i] != &texts[i] {
			continue
		}
		if err := json.Unmarshal([]byte(texts[i]), r.Column(i)); err != nil {
			return record.Record{}, fmt.Errorf("%s of call %s: %w", columnNames[i], r.ID, err)
		}
	}
	if err := json.Unmarshal([]byte(cmp.Or(report.String, "null")), &r.Report); err != nil {
		return record.Record{}, fmt.Errorf("report of call %s: %w", r.ID, err)
	}
	r.Problems = record.ProblemsOf(&r)
	return r, nil
}
