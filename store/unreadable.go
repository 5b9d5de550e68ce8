package store

import (
	"errors"
	"slices"

	"modernc.org/sqlite"

	"flowbridge/store/record"
)

// Unreadable returns the ids of records that could not be read and were left out of lists, in order; at most 1,000.
func (r *Reader) Unreadable() []string { return r.unreadable.IDs() }

// passOver records that a row can't be read. It returns the row's id and, if known, the start of its call. An error
// means that the file is the problem, not the row.
func (r *Reader) passOver(from row, why error) (rec record.Record, err error) {
	if _, file := errors.AsType[*sqlite.Error](why); file {
		return record.Record{}, why
	}
	values := make([]any, len(columnNames)+1)
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	if err := from.Scan(into...); err != nil {
		return record.Record{}, err
	}
	started, _ := values[slices.Index(columnNames, "started_at")].(string)
	rec.ID, _ = values[0].(string)
	_ = rec.StartedAt.UnmarshalText([]byte(started)) // zero if unknown
	r.unreadable.Add(rec.ID)
	return rec, nil
}
