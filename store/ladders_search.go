package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
)

// Each calls see for each ladder, the newest first, until ctx ends. It returns how many ladders were left then. It may
// see a ladder twice that is written at that time, and does not see one that is put after Each was called.
func (l *Ladders) Each(ctx context.Context, see func(id string, data []byte)) (left int64, err error) {
	l.mu.Lock()
	f := l.files
	l.mu.Unlock()
	if f == nil {
		return 0, fmt.Errorf("ladders %s: %w", l.Path, cmp.Or(l.Err(), errClosed))
	}
	for _, d := range l.take() {
		if data := d.Encode(nil); len(data) > 0 { // otherwise it is in the file now
			see(d.ID(), data)
		}
	}
	before := int64(math.MaxInt64)
	for more := true; more && ctx.Err() == nil && err == nil; {
		more, err = f.some(ctx, &before, see)
	}
	if ctx.Err() != nil {
		// The + has the count made by the index of ids, which is small.
		const count = `SELECT count(*) FROM ladders WHERE +n < ?`
		err = f.read.QueryRowContext(context.WithoutCancel(ctx), count, before).Scan(&left)
	}
	if err != nil {
		return left, fmt.Errorf("ladders %s: %w", l.Path, err)
	}
	return left, nil
}

// some calls see for the next ladders below the number before, and moves it. They are read first, so that no reader
// keeps old data for long. It reports whether there are more.
func (f *ladderFile) some(ctx context.Context, before *int64, see func(id string, data []byte)) (more bool, err error) {
	type row struct {
		n    int64
		id   string
		data []byte
	}
	var next row
	var rows []row
	err = eachRow(ctx, f.read, []any{&next.n, &next.id, &next.data}, func() {
		rows = append(rows, next)
		next.data = nil
	}, `SELECT n, id, data FROM ladders WHERE n < ? ORDER BY n DESC LIMIT ?`, *before, laddersStep)
	if err != nil {
		return false, err
	}
	for _, r := range rows {
		if ctx.Err() != nil {
			return true, nil
		}
		see(r.id, r.data)
		*before = r.n
	}
	return len(rows) == laddersStep, nil
}
