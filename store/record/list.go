package record

import (
	"context"
)

// eachStep is how many records Each holds at a time.
const eachStep = 200

// Lister lists finished calls, like Reader.
type Lister interface {
	List(ctx context.Context, f Filter) (records []Record, next string, err error)
}

// Each calls do with all finished calls of a filter, newest first, until do returns an error. Filter.Limit limits the
// total number; 0 means no limit. Each reads in steps and holds nothing open between them, so if do is slow, memory and
// the database's log can still be freed. A call that ends during the run may or may not be included; no call comes
// twice.
func Each(ctx context.Context, from Lister, f Filter, do func(Record) error) error {
	for left := f.Limit; ; {
		f.Limit = eachStep
		if left > 0 {
			f.Limit = min(left, eachStep)
		}
		records, next, err := List(ctx, from, f)
		if err != nil {
			return err
		}
		for _, rec := range records {
			if err := do(rec); err != nil {
				return err
			}
		}
		f.Cursor = next
		if next == "" || left > 0 && left <= len(records) {
			return nil
		}
		if left > 0 {
			left -= len(records)
		}
	}
}
