package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"flowbridge/store/record"
)

// finish is a finished call that must be written.
type finish struct {
	id     string
	record *record.Record // never changed
	done   []func(error)  // called after the commit
}

func newFinish(r *record.Record) *finish {
	if r.StartedAt.IsZero() { // lists are ordered by this time
		dated := *r
		dated.StartedAt = cmp.Or(r.EndedAt, record.TimeOf(time.Now()))
		r = &dated
	}
	return &finish{id: r.ID, record: r}
}

// recorded reports whether the call has complete recordings. The recordings of a killed process are settled later.
func (f *finish) recorded() bool {
	return f.record.Settled() && slices.ContainsFunc(f.record.Recordings, func(r record.Recording) bool {
		return r.Format != record.FormatLive
	})
}

// keeper writes finished calls: the record, the ids that are in none of its columns, and an item for each consumer. It
// uses the driver's statements: for each of them, package sql would allocate as much memory as the record takes.
type keeper struct {
	call, other, item, reported statement
	columns                     *columns
}

type statement interface {
	driver.Stmt
	driver.StmtExecContext
}

// prepareKeeper prepares the statements on a connection. They are used within Conn.Raw.
func prepareKeeper(ctx context.Context, c *sql.Conn) (k keeper, err error) {
	err = c.Raw(func(on any) (err error) {
		k, err = prepareRaw(ctx, on)
		return err
	})
	return k, err
}

func prepareRaw(ctx context.Context, on any) (k keeper, err error) {
	k.columns = &columns{}
	c, ok := on.(driver.ConnPrepareContext)
	if !ok {
		return k, fmt.Errorf("driver of type %T: %w", on, errors.ErrUnsupported)
	}
	for _, p := range []struct {
		to   *statement
		text string
	}{{&k.call, insertCall}, {&k.other, insertOther}, {&k.item, insertOutbox}, {&k.reported, insertReported}} {
		prepared, err := c.PrepareContext(ctx, p.text)
		if err != nil {
			k.close()
			return keeper{}, err
		}
		if *p.to, ok = prepared.(statement); !ok {
			k.close()
			return keeper{}, errors.Join(fmt.Errorf("statement of type %T: %w", prepared, errors.ErrUnsupported),
				prepared.Close())
		}
	}
	return k, nil
}

// keepAll keeps records in one transaction, in a database that has no writer yet.
func keepAll(ctx context.Context, db *sql.DB, consumers []string,
	run func(tx *sql.Tx, keep func(record.Record) (fresh bool, err error)) error,
) (err error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	k, err := prepareKeeper(ctx, c)
	if err != nil {
		return err
	}
	defer k.close()
	return inTx(ctx, c, func(tx *sql.Tx) error {
		return run(tx, func(r record.Record) (fresh bool, err error) {
			err = c.Raw(func(any) error {
				fresh, err = k.keep(ctx, newFinish(&r), consumers)
				return err
			})
			return fresh, err
		})
	})
}

func (k keeper) close() {
	for _, s := range []statement{k.call, k.other, k.item, k.reported} {
		if s != nil {
			_ = s.Close()
		}
	}
}

// keep writes a finished call within a transaction. If the id already has a record, that record stays, and fresh is
// false.
func (k keeper) keep(ctx context.Context, f *finish, consumers []string) (fresh bool, err error) {
	res, err := k.call.ExecContext(ctx, k.columns.of(f.record))
	if err != nil {
		return false, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	for i := range f.record.Attempts {
		if other := otherID(f.record, i); other != "" {
			if _, err := k.other.ExecContext(ctx, k.columns.texts(other, f.id)); err != nil {
				return false, err
			}
		}
	}
	if len(consumers) == 0 {
		return true, nil
	}
	now := record.TimeOf(time.Now()).String()
	for _, consumer := range consumers {
		_, err := k.item.ExecContext(ctx, k.columns.texts(consumer, f.id, record.OutboxCall, now))
		if err == nil && f.recorded() {
			_, err = k.item.ExecContext(ctx, k.columns.texts(consumer, f.id, record.OutboxRecording, now))
		}
		if err == nil {
			_, err = k.reported.ExecContext(ctx, k.columns.texts(consumer, now, f.id))
		}
		if err != nil {
			return false, fmt.Errorf("outbox: %w", err)
		}
	}
	return true, nil
}
