package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"

	"flowbridge/store/record"
)

const (
	insertOutbox = `INSERT INTO outbox (consumer, call_id, kind, created_at) VALUES (?, ?, ?, ?)`

	// insertLater adds an item for a finished call. For a live call it adds none: its items are added at its end.
	insertLater = `INSERT INTO outbox (consumer, call_id, kind, created_at) SELECT ?, id, ?, ? FROM calls WHERE id = ?`

	// insertReported adds the item for a report that came before the end of its call.
	insertReported = `INSERT INTO outbox (consumer, call_id, kind, created_at)
		SELECT ?, id, '` + record.OutboxReport + `', ? FROM reports WHERE id = ?`
)

// outbox queues changes of finished calls for its consumers.
type outbox struct {
	*connection

	waiting   func(context.Context) (map[string]int64, error) // Reader.OutboxSize
	consumers []string                                        // owned by the writer

	filledLock sync.Mutex
	filled     chan struct{} // closed and replaced when items are added
}

// outboxLater adds items for data that came after the end of a call: its report, or the end of its recordings.
func (o *outbox) outboxLater(ctx context.Context, tx *sql.Tx, kind, id string) error {
	for _, consumer := range o.consumers {
		if _, err := tx.ExecContext(ctx, insertLater, consumer, kind, record.TimeOf(time.Now()), id); err != nil {
			return fmt.Errorf("outbox: %w", err)
		}
	}
	return nil
}

// outboxFilled wakes the consumers.
func (o *outbox) outboxFilled() {
	if len(o.consumers) == 0 {
		return
	}
	o.filledLock.Lock()
	defer o.filledLock.Unlock()
	close(o.filled)
	o.filled = make(chan struct{})
}

// OutboxChanged returns a channel that is closed when the next items are added. To miss none, a consumer calls it
// before it calls Outbox. Every caller sees every change.
func (o *outbox) OutboxChanged() <-chan struct{} {
	o.filledLock.Lock()
	defer o.filledLock.Unlock()
	return o.filled
}

// SetConsumers sets the consumers that get an item for each change from now on. It deletes the items of all others;
// lost is their number, by consumer.
func (o *outbox) SetConsumers(ctx context.Context, names ...string) (lost map[string]int64, err error) {
	names = slices.Clone(names)
	err = o.do(ctx, "consumers", func(context.Context, *sql.Conn) error {
		o.consumers = names
		return nil
	})
	if err != nil {
		return nil, err
	}
	sizes, err := o.waiting(ctx)
	if err != nil {
		return nil, err
	}
	lost = map[string]int64{}
	for consumer := range sizes {
		if slices.Contains(names, consumer) {
			continue
		}
		n, err := o.inSteps(ctx, "items of "+consumer,
			`DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE consumer = ? LIMIT ?)`, consumer)
		lost[consumer] = n
		if err != nil {
			return lost, err
		}
	}
	return lost, nil
}

// Outbox returns at most limit items that are due for a consumer, oldest first. For each call it returns only the
// first item; the next one is due when that is delivered.
func (r *Reader) Outbox(ctx context.Context, consumer string, limit int) ([]record.OutboxItem, error) {
	const query = `SELECT seq, call_id, kind, tries, due_at, created_at, reason FROM outbox AS o
		WHERE consumer = ? AND due_at <= ? AND NOT EXISTS (
			SELECT 1 FROM outbox AS before
			WHERE before.consumer = o.consumer AND before.call_id = o.call_id AND before.seq < o.seq)
		ORDER BY due_at, seq LIMIT ?`
	if err := r.ready(ctx); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	var items []record.OutboxItem
	var i record.OutboxItem
	err := eachRow(ctx, r.pool(), []any{&i.Seq, &i.CallID, &i.Kind, &i.Tries, &i.DueAt, &i.CreatedAt, &i.Reason},
		func() { items = append(items, i) },
		query, consumer, record.TimeOf(time.Now()).String(), limit)
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", consumer, err)
	}
	return items, nil
}

// Delivered deletes items that their consumer has received.
func (o *outbox) Delivered(ctx context.Context, seqs []int64) error {
	return o.eachItem(ctx, `DELETE FROM outbox WHERE seq = ?`, seqs)
}

// Postpone makes items due again at until. reason is shown to operators.
func (o *outbox) Postpone(ctx context.Context, seqs []int64, until time.Time, reason string) error {
	const update = `UPDATE outbox SET tries = tries + 1, due_at = ?, reason = ? WHERE seq = ?`
	return o.eachItem(ctx, update, seqs, record.TimeOf(until).String(), reason)
}

// eachItem runs a statement for all items in one transaction. Its last argument is an item's number.
func (o *outbox) eachItem(ctx context.Context, stmt string, seqs []int64, args ...any) error {
	if len(seqs) == 0 {
		return nil
	}
	seqs = slices.Clone(seqs) // the job may run after the caller has returned
	return o.do(ctx, "outbox", func(wctx context.Context, c *sql.Conn) error {
		return inTx(wctx, c, func(tx *sql.Tx) error {
			for _, seq := range seqs {
				if _, err := tx.ExecContext(wctx, stmt, slices.Concat(args, []any{seq})...); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// PurgeOutbox deletes the items that are older than olderThan. lost is their number, by consumer.
func (o *outbox) PurgeOutbox(ctx context.Context, olderThan time.Time) (lost map[string]int64, err error) {
	// Items are numbered in the order of their time, so only the oldest need be looked at.
	const del = `DELETE FROM outbox WHERE seq IN (SELECT seq FROM (SELECT seq, created_at FROM outbox ORDER BY seq LIMIT ?2)
		WHERE created_at < ?1) RETURNING consumer`
	counts := map[string]int64{}
	for n := purgeStep; n == purgeStep; {
		err := o.do(ctx, "purge", func(wctx context.Context, c *sql.Conn) (err error) {
			n, err = countEach(wctx, c, counts, del, record.TimeOf(olderThan).String(), purgeStep)
			return err
		})
		if err != nil {
			return nil, err // the job may still run and change counts
		}
	}
	return counts, nil
}

// countEach counts the rows of a query by the value of their only column, and in total.
func countEach(ctx context.Context, c *sql.Conn, by map[string]int64, query string, args ...any) (n int, err error) {
	var name string
	err = eachRow(ctx, c, []any{&name}, func() {
		by[name]++
		n++
	}, query, args...)
	return n, err
}

// OutboxSize returns the number of waiting items, by consumer.
func (r *Reader) OutboxSize(ctx context.Context) (map[string]int64, error) {
	if err := r.ready(ctx); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	sizes := map[string]int64{}
	var consumer string
	var n int64
	err := eachRow(ctx, r.pool(), []any{&consumer, &n}, func() { sizes[consumer] = n },
		`SELECT consumer, count(*) FROM outbox GROUP BY consumer`)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return sizes, nil
}
