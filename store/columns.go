package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
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
	text   []byte
}

// of returns the columns of a finished record.
func (c *columns) of(r *record.Record) []driver.NamedValue {
	c.values = c.values[:0]
	for i := range columnNames {
		switch v := r.Column(i).(type) {
		case *string:
			c.addTexts(*v)
		case *int:
			c.add(int64(*v))
		case *int64:
			c.add(*v)
		case *record.Time:
			if v.IsZero() && v != &r.StartedAt {
				c.add(nil)
			} else {
				c.addTexts(v.String())
			}
		default:
			c.text = record.AppendColumn(c.text[:0], v)
			c.addTexts(string(c.text))
		}
	}
	return c.values
}

// texts returns the arguments of a statement that takes only texts.
func (c *columns) texts(all ...string) []driver.NamedValue {
	c.values = c.values[:0]
	c.addTexts(all...)
	return c.values
}

// addTexts appends texts. Most columns have the same text as in the previous call. That text is reused, because
// otherwise each text would be allocated.
func (c *columns) addTexts(all ...string) {
	for _, s := range all {
		if n := len(c.values); n < cap(c.values) && c.values[:n+1][n].Value == s {
			c.values = c.values[:n+1]
			continue
		}
		c.add(s)
	}
}

func (c *columns) add(v driver.Value) {
	c.values = append(c.values, driver.NamedValue{Ordinal: len(c.values) + 1, Value: v})
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
