package store

import (
	"context"
	"database/sql"
	"fmt"
)

// What was committed last may be in the pages that are lost, and a file without its schema gives nothing. The journal's files
// still have the records of the calls that ended last, although they are over: up to some thousands. So a new file begins with them.
// Whether their items of the outbox were delivered, the old file alone knows: they wait for what it says.

const (
	// dueIfUnknown is when an item is due whose record was taken from the journal, until the old file was read: in no time that comes.
	dueIfUnknown = "9998"
	// noteUndelivered notes that the old file has an item that was made from the journal. Its arguments are those of insertSalvaged.
	noteUndelivered = `UPDATE outbox SET due_at = ?7 WHERE consumer = ?1 AND call_id = ?2 AND kind = ?3 AND due_at = ?8`
)

// keepJournalled keeps the records of finished calls that the journal beside a database has, and that were over. A journal that can't
// be read costs these alone.
func keepJournalled(ctx context.Context, db *sql.DB, path string, consumers []string) error {
	files, err := readJournal(path)
	if err != nil {
		return nil //nolint:nilerr // the journal's own reader tells of it
	}
	return keepAll(ctx, db, consumers, func(tx *sql.Tx, keep func(Record) (bool, error)) error {
		for _, e := range files.over() {
			if l := leftBy(e); l.ended {
				if _, err := keep(l.record); err != nil {
					return err
				}
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE outbox SET due_at = ?`, dueIfUnknown)
		return err
	})
}

// over are the last entries of finished calls that have their record in the database.
func (j *journalFiles) over() (all []entry) {
	ended := map[string]entry{}
	for _, text := range j.texts {
		for e, rest, ok := nextEntry(text); ok; e, rest, ok = nextEntry(rest) {
			switch e.kind {
			case callEnded:
				ended[string(e.id)] = e
			case callOver:
				if e, ok := ended[string(e.id)]; ok {
					all = append(all, e)
				}
				delete(ended, string(e.id))
			case callState, callKept, callOwes, holderBound:
			}
		}
	}
	return all
}

// askUnsure asks which calls have items that were made from the journal.
func (v *salvage) askUnsure(ctx context.Context) error {
	v.unsure = map[string]bool{}
	rows, err := v.s.pool().QueryContext(ctx, `SELECT DISTINCT call_id FROM outbox WHERE due_at = ?`, dueIfUnknown)
	if err != nil {
		return fmt.Errorf("%w: %s", errUnkept, err.Error())
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("%w: %s", errUnkept, err.Error())
		}
		v.unsure[id] = false
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%w: %s", errUnkept, err.Error())
	}
	return nil
}

// has notes that the old file has a call.
func (v *salvage) has(id string) {
	if _, ok := v.unsure[id]; ok {
		v.unsure[id] = true
	}
}

// removeDelivered removes the items of calls that the old file has without them. Those of a call that it has lost are delivered,
// because nobody knows whether they were.
func (v *salvage) removeDelivered(ctx context.Context) error {
	err := v.s.do(ctx, "keep", func(wctx context.Context, c *sql.Conn) error {
		return inTx(wctx, c, func(tx *sql.Tx) error {
			for id, has := range v.unsure {
				if !has {
					continue
				}
				for _, consumer := range v.s.consumers {
					if _, err := tx.ExecContext(wctx, `DELETE FROM outbox WHERE consumer = ? AND call_id = ? AND due_at = ?`, consumer, id, dueIfUnknown); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("%w: %s", errUnkept, err.Error())
	}
	return nil
}
