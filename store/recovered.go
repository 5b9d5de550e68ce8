package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// What the recordings of a killed process have as their error. The journal knows their sizes of the moment when it was
// written, which is long before: the files themselves have to be asked.
const (
	killed        = "the process was killed"
	killedUnknown = killed + ": it is not known how the file ended"
)

// FinishedFile gives the size in bytes of a recording and when it was last written; fs.ErrNotExist: there is none.
type FinishedFile func(file string) (bytes int64, ended time.Time, err error)

// SettleRecordings gives the recordings of the calls that Open closed as interrupted the size and the end that their
// files have. What can't be found out stays unknown: without an end, of 0 bytes.
func (s *Store) SettleRecordings(ctx context.Context, look FinishedFile) error {
	settled := map[string]string{} // as JSON, by call
	for _, id := range s.interrupted {
		r, ok, err := s.Get(ctx, id)
		if err != nil {
			return fmt.Errorf("recordings of call %s: %w", id, err)
		}
		if !ok || !settleRecordings(&r, look) {
			continue
		}
		text, err := json.Marshal(r.Recordings)
		if err != nil {
			return fmt.Errorf("recordings of call %s: %w", id, err)
		}
		settled[id] = string(text)
	}
	if len(settled) == 0 {
		return nil
	}
	done := make(chan error, 1)
	err := s.queue.ask(func(wctx context.Context, c *sql.Conn) error { return updateRecordings(wctx, c, settled) }, done)
	if err != nil {
		return fmt.Errorf("recordings of killed calls: %w", err)
	}
	return s.wait(ctx, done, "recordings of killed calls")
}

// settleRecordings says whether it has changed the record.
func settleRecordings(r *Record, look FinishedFile) (changed bool) {
	for i := range r.Recordings {
		f := &r.Recordings[i]
		if f.Error != killedUnknown {
			continue
		}
		switch size, ended, err := look(f.File); {
		case errors.Is(err, fs.ErrNotExist):
			f.Error = killed + ", and " + f.File + " is not there: nothing had been written, or it was removed"
			f.File, f.EndedAt = "", r.EndedAt
		case err != nil:
			continue
		default:
			f.Bytes, f.EndedAt, f.Error = size, TimeOf(ended), killed
		}
		changed = true
	}
	return changed
}

func updateRecordings(ctx context.Context, c *sql.Conn, settled map[string]string) error {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do
	for id, recordings := range settled {
		if _, err := tx.ExecContext(ctx, `UPDATE calls SET recordings = ? WHERE id = ?`, recordings, id); err != nil {
			return err
		}
	}
	return tx.Commit()
}
