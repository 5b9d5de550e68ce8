package store

import (
	"context"
	"database/sql"

	"flowbridge/store/record"
)

// What was committed last may be in the pages that are lost, and a file without its schema gives nothing. The journal's
// files still have the records of the calls that ended last, although they are over: up to some thousands. So a new
// file begins with them. Only the old file knows whether their items of the outbox were delivered, so they are
// delivered again, under the same id.

// keepJournalled keeps the records of finished calls that the journal beside a database has, and that were over. A
// journal that can't be read costs only these.
func keepJournalled(ctx context.Context, db *sql.DB, path string, consumers []string) error {
	files, err := readJournal(path)
	if err != nil {
		return nil //nolint:nilerr // the journal's own reader tells of it
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
