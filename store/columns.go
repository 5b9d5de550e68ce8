package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"

	"flowbridge/store/record"
)

// columnList names the columns of calls in the order of values and targets.
const columnList = `id, node, trunk, route, target, direction, "from", "to", sip_call_id, target_sip_call_id,
	synthflow_call_id, started_at, ringing_at, prepared_at, dialed_at, answered_at, ended_at, setup_ms, duration_ms,
	disposition, sip_status, q850, cause, ended_by, codec, attempts, media, recordings, lead, external_id, trace_id,
	restored, queued_ms, verstat, attest, orig_id, talk,
	variables`

// selectList is columnList with the platform's report.
const selectList = columnList + `, (SELECT report FROM reports WHERE reports.id = calls.id)`

// The number of columns of selectList, and the place of started_at among them.
const (
	selected      = 39
	startedColumn = 11
)

// A finished record does not change: a repeated Put has no effect.
const insertCall = `INSERT INTO calls (` + columnList + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
		?)
	ON CONFLICT (id) DO NOTHING`

// columns has room for the values of one statement after the other. They are good until it is used next.
type columns struct {
	values []driver.NamedValue
	text   []byte
}

// of returns the columns of a finished record.
func (c *columns) of(r *record.Record) []driver.NamedValue {
	c.text = record.AppendAttempts(c.text[:0], r.Attempts)
	attempts := string(c.text)
	c.text = record.AppendMedia(c.text[:0], &r.Media)
	media := string(c.text)
	c.text = record.AppendTalk(c.text[:0], r.Talk)
	talk := string(c.text)
	c.text = record.AppendRecordings(c.text[:0], r.Recordings)
	recordings := string(c.text)
	c.text = record.AppendVariables(c.text[:0], r.Variables)
	c.values = c.values[:0]
	c.addTexts(r.ID, r.Node, r.Trunk, r.Route, r.Target, r.Direction, r.From, r.To, r.SIPCallID, r.TargetSIPCallID,
		r.SynthflowCallID, r.StartedAt.String())
	for _, t := range [...]record.Time{r.RingingAt, r.PreparedAt, r.DialedAt, r.AnsweredAt, r.EndedAt} {
		if t.IsZero() {
			c.add(nil)
		} else {
			c.add(t.String())
		}
	}
	c.add(r.SetupMS)
	c.add(r.DurationMS)
	c.add(r.Disposition)
	c.add(int64(r.SIPStatus))
	c.add(int64(r.Q850))
	c.addTexts(r.Cause, r.EndedBy, r.Codec, attempts, media, recordings, r.Lead, r.ExternalID, r.TraceID)
	c.add(int64(r.Restored))
	c.add(r.QueuedMS)
	c.addTexts(r.Verstat, r.Attest, r.OrigID, talk, string(c.text))
	return c.values
}

// texts returns the arguments of a statement that has nothing but texts.
func (c *columns) texts(all ...string) []driver.NamedValue {
	c.values = c.values[:0]
	c.addTexts(all...)
	return c.values
}

// addTexts adds texts. Most columns of a call have the text of the call before, which is used again: each text would be
// an object of its own.
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

// insertOther adds an id that the columns don't have.
const insertOther = `INSERT OR IGNORE INTO other_ids (other, id) VALUES (?, ?)`

// otherID is the Call-ID of an attempt that came to nothing; "" for another.
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

// eachRow reads each row of a query into the same places, and calls take.
func eachRow(ctx context.Context, from querier, into []any, take func(), query string, args ...any) error {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
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
	var attempts, media, recordings, talk, variables string
	err := from.Scan(&r.ID, &r.Node, &r.Trunk, &r.Route, &r.Target, &r.Direction, &r.From, &r.To, &r.SIPCallID,
		&r.TargetSIPCallID, &r.SynthflowCallID, &r.StartedAt, &r.RingingAt, &r.PreparedAt, &r.DialedAt, &r.AnsweredAt,
		&r.EndedAt, &r.SetupMS, &r.DurationMS, &r.Disposition, &r.SIPStatus, &r.Q850, &r.Cause, &r.EndedBy, &r.Codec,
		&attempts, &media, &recordings, &r.Lead, &r.ExternalID, &r.TraceID, &r.Restored, &r.QueuedMS, &r.Verstat, &r.Attest,
		&r.OrigID, &talk, &variables, &report)
	if err != nil {
		return record.Record{}, err
	}
	for _, c := range []struct {
		name, text string
		to         any
	}{
		{"attempts", attempts, &r.Attempts},
		{"media", media, &r.Media},
		{"talk", talk, &r.Talk},
		{"variables", variables, &r.Variables},
		{"recordings", recordings, &r.Recordings},
		{"report", cmp.Or(report.String, "null"), &r.Report},
	} {
		if err := json.Unmarshal([]byte(c.text), c.to); err != nil {
			return record.Record{}, fmt.Errorf("%s of call %s: %w", c.name, r.ID, err)
		}
	}
	r.Problems = record.ProblemsOf(&r)
	return r, nil
}
