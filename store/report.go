package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"flowbridge/store/record"
)

// A call keeps its first report. Only a confirmed report replaces an unconfirmed one.
const insertReport = `INSERT INTO reports (id, received_at, report) VALUES (?, ?, ?)
	ON CONFLICT (id) DO UPDATE SET received_at = excluded.received_at, report = excluded.report
	WHERE NOT json_extract(reports.report, '$.confirmed') AND json_extract(excluded.report, '$.confirmed')`

// PutReport stores a report of the call with this id, which may still be live. kept is false if the call already has a
// report; that report stays.
func (s *Store) PutReport(ctx context.Context, id string, r record.Report) (kept bool, err error) {
	err = s.do(ctx, "report of "+id, func(wctx context.Context, c *sql.Conn) error {
		err := inTx(wctx, c, func(tx *sql.Tx) (err error) {
			if kept, err = putReport(wctx, tx, id, &r); !kept || err != nil {
				return err
			}
			return s.outboxLater(wctx, tx, record.OutboxReport, id)
		})
		if err == nil && kept {
			s.outboxFilled()
		}
		return err
	})
	if err != nil { // the job may still run and set kept
		return false, err
	}
	return kept, nil
}

// putReport stores a report with the platform's id of its call, unless the call has a report that counts.
func putReport(ctx context.Context, tx *sql.Tx, id string, r *record.Report) (kept bool, err error) {
	text, err := json.Marshal(r)
	if err != nil {
		return false, fmt.Errorf("report of %s: %w", id, err)
	}
	res, err := tx.ExecContext(ctx, insertReport, id, r.ReceivedAt.String(), string(text))
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); n == 0 || err != nil {
		return false, err
	}
	if r.CallID != "" {
		_, err = tx.ExecContext(ctx, insertOther, r.CallID, id)
	}
	return true, err
}

// Prepared returns the id and target of the latest finished call that was prepared under this id of the platform, or ""
// for both if there is none.
func (r *Reader) Prepared(ctx context.Context, platformID string) (id, target string, err error) {
	return r.oneCall(ctx, `SELECT id, target FROM calls WHERE synthflow_call_id = ? AND synthflow_call_id <> '' ORDER BY started_at DESC LIMIT 1`, platformID)
}

// Unreported returns the id and target of the finished call that was dialled without preparation, has this external id
// and has no report. They are empty if there is none, or more than one.
func (r *Reader) Unreported(ctx context.Context, externalID string) (id, target string, err error) {
	const query = `SELECT min(id), min(target), count(*) FROM calls WHERE external_id = ? AND external_id <> '' AND synthflow_call_id = ''
		AND NOT EXISTS (SELECT 1 FROM reports WHERE reports.id = calls.id)`
	var found, of sql.NullString
	n := 0
	if err := r.ready(ctx); err != nil {
		return "", "", fmt.Errorf("call with the external id %s: %w", externalID, err)
	}
	if err := r.pool().QueryRowContext(ctx, query, externalID).Scan(&found, &of, &n); err != nil {
		return "", "", fmt.Errorf("call with the external id %s: %w", externalID, err)
	}
	if n != 1 {
		return "", "", nil
	}
	return found.String, of.String, nil
}

// Dialled returns the id and target of the finished call that was dialled with this Call-ID. They are empty if there
// is none.
func (r *Reader) Dialled(ctx context.Context, targetSIPCallID string) (id, target string, err error) {
	return r.oneCall(ctx, `SELECT id, target FROM calls WHERE target_sip_call_id = ? AND target_sip_call_id <> '' LIMIT 1`,
		targetSIPCallID)
}

// oneCall returns the id and target of the call that a query finds.
func (r *Reader) oneCall(ctx context.Context, query, by string) (id, target string, err error) {
	if err := r.ready(ctx); err != nil {
		return "", "", fmt.Errorf("call %s: %w", by, err)
	}
	err = r.pool().QueryRowContext(ctx, query, by).Scan(&id, &target)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("call %s: %w", by, err)
	}
	return id, target, nil
}
