package store

import (
	"context"
	"database/sql"

	"flowbridge/store/record"
)

// The last commits may have been in the damaged pages, and a file without its schema yields no records. The journal's
// files still have the records of the calls that ended last, up to some thousands, although these calls are over. So a
// new file starts with these records. Only the old file knows whether their outbox items were delivered, so the items
// are delivered again, under the same ids.

// keepJournalled writes the records of finished calls that are still in the journal beside a database. If the journal
// can't be read, only these records are lost.
func keepJournalled(ctx context.Context, db *sql.DB, path string, consumers []string) error {
	files, err := readJournal(path)
	if err != nil {
		return nil //nolint:nilerr // the journal's own reader reports it
	}
	return keepAll(ctx, db, consumers, func(_ *sql.Tx, keep func(record.Record) (bool, error)) error {
		for _, e := range files.over() {
			if l := leftBy(e); l.ended {
				if _, err := keep(l.record); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// over returns the last entries of finished calls whose record is in the database.
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
