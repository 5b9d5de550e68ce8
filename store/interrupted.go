package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// q850Unspecified is the ISDN cause (ITU-T Q.850) for an end that nobody asked for.
const q850Unspecified = 31

// setAlive and getAlive keep the last moment that the process is known to have lived.
const (
	setAlive = `INSERT INTO meta (name, value) VALUES ('alive_at', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`
	getAlive = `SELECT value FROM meta WHERE name = 'alive_at'`
)

func lastAlive(ctx context.Context, db *sql.DB) (at Time, err error) {
	err = db.QueryRowContext(ctx, getAlive).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return Time{}, nil
	}
	return at, err
}

// closeInterrupted finishes what a killed process left in the journal, and gives the ids of these calls.
func closeInterrupted(ctx context.Context, db *sql.DB, now time.Time) ([]string, error) {
	alive, err := lastAlive(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	left, err := leftOver(ctx, db, alive, now)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do
	var ids []string
	for i := range left {
		vals, err := left[i].values()
		if err != nil {
			return nil, fmt.Errorf("journal: call %s: %w", left[i].ID, err)
		}
		if _, err := tx.ExecContext(ctx, insertCall, vals...); err != nil {
			return nil, fmt.Errorf("journal: call %s: %w", left[i].ID, err)
		}
		ids = append(ids, left[i].ID)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM live`); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return ids, nil
}

// leftOver reads the journalled calls that have no record yet, ended as interrupted.
func leftOver(ctx context.Context, db *sql.DB, alive Time, now time.Time) ([]Record, error) {
	const query = `SELECT id, written_at, record FROM live
		WHERE NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = live.id)`
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
	var all []Record
	for rows.Next() {
		var id, text string
		var written Time
		if err := rows.Scan(&id, &written, &text); err != nil {
			return nil, err
		}
		var r Record
		if json.Unmarshal([]byte(text), &r) != nil {
			r = Record{} // the call took place: its id and time are worth a record
		}
		r.ID = id
		if alive.After(written.Time) {
			written = alive
		}
		all = append(all, interrupted(r, written, now))
	}
	return all, rows.Err()
}

// interrupted ends a record at the last moment that the process is known to have lived.
func interrupted(r Record, written Time, now time.Time) Record {
	r.EndedAt = written
	if r.EndedAt.IsZero() {
		r.EndedAt = TimeOf(now)
	}
	if r.StartedAt.IsZero() {
		r.StartedAt = r.EndedAt
	}
	r.Disposition, r.Cause, r.EndedBy = DispositionInterrupted, CauseProcessRestart, EndedBySystem
	r.DurationMS = 0
	for i := range r.Recordings {
		if f := &r.Recordings[i]; f.EndedAt.IsZero() {
			f.Bytes, f.Error = 0, killedUnknown
		}
	}
	if !r.AnsweredAt.IsZero() {
		r.SIPStatus, r.Q850 = 200, q850Unspecified
		r.DurationMS = max(0, r.EndedAt.Sub(r.AnsweredAt.Time).Milliseconds())
	}
	return r
}
