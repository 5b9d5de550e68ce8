package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// Report is what a platform said of a call after its end.
type Report struct {
	// CallID is the platform's id of the call: Record.SynthflowCallID.
	CallID string `json:"call_id"`
	// Status is the platform's word for how it ended: completed, failed …
	Status string `json:"status"`
	// EndReason is why it ended, in the platform's words.
	EndReason string `json:"end_reason"`
	// DurationMS is how long it lasted for the platform.
	DurationMS int64 `json:"duration_ms"`
	// ExternalID is the id that the platform was told by us or by whoever called.
	ExternalID string `json:"external_id"`
	// ReceivedAt is when it came.
	ReceivedAt Time `json:"received_at"`
	// Confirmed says that it was read from the platform's API; else it is what a webhook said, whose signature is over the
	// call id alone.
	Confirmed bool `json:"confirmed"`
}

// The first report of a call stays, whatever is sent again.
const insertReport = `INSERT INTO reports (call_id, received_at, report) VALUES (?, ?, ?) ON CONFLICT (call_id) DO NOTHING`

// PutReport keeps a report; its call may be live still. first is false when there is one of that call already, which stays.
func (s *Store) PutReport(ctx context.Context, r Report) (first bool, err error) {
	if r.CallID == "" { // it would be every call's that has none
		return false, errors.New("report without a call id")
	}
	text, err := json.Marshal(r)
	if err != nil {
		return false, fmt.Errorf("report of %s: %w", r.CallID, err)
	}
	done := make(chan error, 1)
	err = s.queue.ask(func(wctx context.Context, c *sql.Conn) error {
		res, err := c.ExecContext(wctx, insertReport, r.CallID, r.ReceivedAt.String(), string(text))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		first = n == 1
		return err
	}, done)
	if err == nil {
		err = s.wait(ctx, done, "report of "+r.CallID)
	}
	if err != nil {
		return false, err
	}
	return first, nil
}

// PlatformCall gives the target of the finished call that has this id of the platform's; known is false where there is none.
func (s *Store) PlatformCall(ctx context.Context, id string) (target string, known bool, err error) {
	const query = `SELECT target FROM calls WHERE synthflow_call_id = ? AND synthflow_call_id <> '' LIMIT 1`
	err = s.reader.db.QueryRowContext(ctx, query, id).Scan(&target)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("call %s of the platform: %w", id, err)
	}
	return target, true, nil
}
