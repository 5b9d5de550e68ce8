package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"flowbridge/store/record"
)

// maxIndexed is how many characters of an id its column has: see left() below. Peers choose ids as long as a SIP
// message allows, and PostgreSQL refuses a row with more than 2,704 bytes in an index. The record has the whole id.
const maxIndexed = 600

const createStaging = `CREATE TEMP TABLE IF NOT EXISTS flowbridge_staging (id text, record text) ON COMMIT DELETE ROWS`

// columns lists the columns of flowbridge_calls that are filled from members of the record with the same names.
const columns = `node, trunk, route, target, direction, "from", "to", lead, sip_call_id, target_sip_call_id, synthflow_call_id,
	external_id, trace_id, started_at, answered_at, ended_at, setup_ms, duration_ms, disposition, sip_status, q850,
	cause, ended_by, codec`

// upsert writes the staged records. An existing record is not touched if it is the same.
const upsert = `INSERT INTO flowbridge_calls (id, ` + columns + `, record)
	SELECT s.id, r.node, r.trunk, r.route, r.target, r.direction, r."from", r."to", r.lead, left(r.sip_call_id, 600),
		left(r.target_sip_call_id, 600), left(r.synthflow_call_id, 600), left(r.external_id, 600), coalesce(r.trace_id, ''),
		r.started_at, r.answered_at, r.ended_at, r.setup_ms, r.duration_ms, r.disposition, r.sip_status, r.q850,
		r.cause, r.ended_by, r.codec, s.record::jsonb
	FROM flowbridge_staging AS s, jsonb_to_record(s.record::jsonb)
	AS r(node text, trunk text, route text, target text, direction text,
		"from" text, "to" text, lead text, sip_call_id text, target_sip_call_id text, synthflow_call_id text,
		external_id text,
		trace_id text, started_at timestamptz, answered_at timestamptz, ended_at timestamptz, setup_ms bigint,
		duration_ms bigint,
		disposition text, sip_status integer, q850 integer, cause text, ended_by text, codec text)
	ON CONFLICT (id) DO UPDATE SET (` + columns + `, record) = (excluded.node, excluded.trunk, excluded.route, excluded.target,
		excluded.direction, excluded."from", excluded."to", excluded.lead, excluded.sip_call_id, excluded.target_sip_call_id,
		excluded.synthflow_call_id, excluded.external_id, excluded.trace_id, excluded.started_at, excluded.answered_at,
		excluded.ended_at, excluded.setup_ms, excluded.duration_ms, excluded.disposition, excluded.sip_status, excluded.q850,
		excluded.cause, excluded.ended_by, excluded.codec, excluded.record)
	WHERE flowbridge_calls.record <> excluded.record
		AND coalesce((flowbridge_calls.record ->> 'restored')::int, 0) <= coalesce((excluded.record ->> 'restored')::int, 0)
		AND (excluded.disposition <> 'interrupted' OR flowbridge_calls.disposition = 'interrupted')`

// insertOther writes the ids of the staged records that are in none of the columns.
const insertOther = `INSERT INTO flowbridge_other_ids (other, id)
	SELECT left(o.other, 600), s.id FROM flowbridge_staging AS s, LATERAL (
		SELECT a ->> 'sip_call_id' AS other FROM jsonb_array_elements(s.record::jsonb -> 'attempts') AS a
		UNION SELECT s.record::jsonb -> 'report' ->> 'call_id'
	) AS o
	WHERE o.other NOT IN ('', s.record::jsonb ->> 'target_sip_call_id')
	ON CONFLICT DO NOTHING`

// staged is a record on its way to the database.
type staged struct {
	id   string
	text string
	seqs []int64 // items in the outbox
	try  int     // how often the database has refused it
}

// textOf returns a record in the form for the database. PostgreSQL's text can't contain NUL, so it is replaced by
// U+FFFD, like bytes that are not valid text.
func textOf(r *record.Record) (string, error) {
	if r.Attempts == nil { // an empty list, as in the store
		r.Attempts = []record.Attempt{}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("record %s: %w", r.ID, err)
	}
	return string(withoutNUL(text)), nil
}

// withoutNUL replaces \u0000, but not an escaped backslash followed by u0000.
func withoutNUL(text []byte) []byte {
	const nul = `\u0000`
	if !bytes.Contains(text, []byte(nul)) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\' || i+1 == len(text):
			out = append(out, text[i])
		case bytes.HasPrefix(text[i:], []byte(nul)):
			out = append(out, `\ufffd`...)
			i += len(nul) - 1
		default:
			out = append(out, text[i], text[i+1])
			i++
		}
	}
	return out
}

// withhold removes the staged records of calls that another owner of the seat has continued, because that node writes
// them. settle removes the states of the other calls, which are over.
const (
	holdSeat = `SELECT FROM flowbridge_seats WHERE seat = $1 FOR KEY SHARE`
	withhold = `DELETE FROM flowbridge_staging AS r USING flowbridge_states AS s, flowbridge_seats AS t
		WHERE s.seat = $1 AND s.id = r.id AND t.seat = s.seat AND t.owner <> $2 RETURNING r.id`
	settle = `DELETE FROM flowbridge_states AS s USING flowbridge_staging AS r WHERE s.seat = $1 AND s.id = r.id`
)

// settled replaces the states of a seat's calls by their records. withheld receives the calls that another node has
// continued.
func (s *Seat) settled(b *pgx.Batch, withheld *[]string) {
	b.Queue(holdSeat, s.name)
	b.Queue(withhold, s.name, s.id).Query(func(rows pgx.Rows) (err error) {
		*withheld, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	b.Queue(settle, s.name)
}

func idsOf(batch []staged) (ids []string) {
	for _, s := range batch {
		ids = append(ids, s.id)
	}
	return ids
}

// write writes all records to the database or, after an error, none. seat is the seat of their calls, or nil.
func write(ctx context.Context, pool *pgxpool.Pool, batch []staged, seat *Seat) error {
	var withheld []string
	if seat != nil {
		seat.states.over(ctx, idsOf(batch))
		defer func() {
			if len(withheld) > 0 {
				seat.fleet.log.Info().Strs("calls", withheld[:min(len(withheld), 20)]).Int("count", len(withheld)).
					Msg("records left to the node that has the seat now")
			}
		}()
	}
	return pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		if err = stageIn(ctx, tx, batch); err == nil {
			// Sent as one message: if the machine died between messages, the seat would stay locked.
			b := &pgx.Batch{}
			if seat != nil {
				seat.settled(b, &withheld)
			}
			b.Queue(upsert)
			b.Queue(insertOther)
			b.Queue(`COMMIT`)
			err = tx.SendBatch(ctx, b).Close()
		}
		if err != nil {
			_ = tx.Rollback(context.WithoutCancel(ctx)) // the first error matters more
		}
		return err
	})
}

// stageIn copies the records into a staging table of the transaction.
func stageIn(ctx context.Context, tx pgx.Tx, batch []staged) error {
	var version int64
	if err := tx.QueryRow(ctx, querySchema).Scan(&version); err != nil {
		return err
	}
	if err := checkSchema(version); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, createStaging); err != nil {
		return err
	}
	rows := pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) { return []any{batch[i].id, batch[i].text}, nil })
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"flowbridge_staging"}, []string{"id", "record"}, rows)
	return err
}
