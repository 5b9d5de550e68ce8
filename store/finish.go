package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// finish is the end of a call, as it is written.
type finish struct {
	id     string
	record Record
	done   []func(error) // told of the commit
}

func newFinish(r Record) *finish {
	if r.StartedAt.IsZero() { // lists are ordered by it
		r.StartedAt = r.EndedAt
		if r.EndedAt.IsZero() {
			r.StartedAt = TimeOf(time.Now())
		}
	}
	return &finish{id: r.ID, record: r}
}

// recorded says whether the call has recordings that are complete. Those of a killed process are settled later.
func (f *finish) recorded() bool {
	return len(f.record.Recordings) > 0 && !slices.ContainsFunc(f.record.Recordings, func(r Recording) bool { return r.Error == killedUnknown })
}

// keeper writes finished calls: the record, the ids that its columns don't have, and an item for each consumer.
type keeper struct {
	call, other, item, reported *sql.Stmt
	columns                     *columns
}

// prepareKeeper prepares the statements on a connection or in a transaction.
func prepareKeeper(ctx context.Context, on interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
},
) (k keeper, err error) {
	k.columns = &columns{}
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{{&k.call, insertCall}, {&k.other, insertOther}, {&k.item, insertOutbox}, {&k.reported, insertReported}} {
		if *p.to, err = on.PrepareContext(ctx, p.text); err != nil { //nolint:sqlclosecheck // close does
			k.close()
			return keeper{}, err
		}
	}
	return k, nil
}

func (k keeper) close() { closeAll(k.call, k.other, k.item, k.reported) }

func closeAll(statements ...*sql.Stmt) {
	for _, s := range statements {
		if s != nil {
			_ = s.Close()
		}
	}
}

// keep writes a finished call, within a transaction. The first record of an id stays; fresh says that this is it.
func (k keeper) keep(ctx context.Context, f *finish, consumers []string) (fresh bool, err error) {
	res, err := k.call.ExecContext(ctx, k.columns.of(&f.record)...)
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	for _, other := range f.record.otherIDs() {
		if _, err := k.other.ExecContext(ctx, other, f.id); err != nil {
			return false, err
		}
	}
	now := TimeOf(time.Now())
	for _, consumer := range consumers {
		_, err := k.item.ExecContext(ctx, consumer, f.id, OutboxCall, now)
		if err == nil && f.recorded() {
			_, err = k.item.ExecContext(ctx, consumer, f.id, OutboxRecording, now)
		}
		if err == nil {
			_, err = k.reported.ExecContext(ctx, consumer, now, f.id)
		}
		if err != nil {
			return false, fmt.Errorf("outbox: %w", err)
		}
	}
	return true, nil
}
