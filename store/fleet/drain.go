package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"flowbridge/store/record"
)

// Consumer is the drain's name in the outbox.
const Consumer = "fleet"

// Outbox is the store: the waiting records, and notes that outlive a restart.
type Outbox interface {
	record.Outbox

	Note(ctx context.Context, name, value string) error
	Noted(ctx context.Context, name string) (string, error)
}

const (
	// maxBatch and minBatch bound the number of records in a transaction. If the database is too slow for a batch, the
	// next ones are smaller.
	maxBatch = 500
	minBatch = 10
	// batchEvery is the time between transactions that are not full.
	batchEvery = time.Second
	// lookEvery is how often the outbox is read when there was no change, to find postponed items.
	lookEvery = 5 * time.Second
	// firstWait and lastWait bound the time between attempts to reach the database.
	firstWait = time.Second
	lastWait  = 30 * time.Second
	// firstAside and lastAside bound how long a record that the database refuses is set aside.
	firstAside = time.Minute
	lastAside  = 6 * time.Hour
)

// runDrain sends the outbox's items until ctx ends.
func (f *Fleet) runDrain(ctx context.Context) {
	wait, size, looked := firstWait, maxBatch, time.Time{}
	for ctx.Err() == nil {
		if time.Since(looked) >= lookEvery && f.drainOutage.state() == nil {
			looked = time.Now()
			f.eraseOthers(ctx)
		}
		changed := f.outbox.OutboxChanged()
		n, err := f.drainOnce(ctx, size)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			f.drainOutage.begin(err)
			if isSlow(err) {
				size = max(minBatch, size/2)
			}
			sleep(ctx, wait/2+rand.N(wait)) // random, so that the nodes don't return all at once
			wait = min(2*wait, lastWait)
		case n == 0:
			f.drainOutage.end()
			wait = firstWait
			select {
			case <-changed:
			case <-time.After(lookEvery):
			case <-ctx.Done():
			}
		default:
			f.drainOutage.end()
			wait = firstWait
			if n < size {
				sleep(ctx, batchEvery)
			}
			size = min(size+size/4+1, maxBatch)
		}
	}
}

// sleep waits until d has passed or ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// drainOnce sends one batch and returns how many items it handled.
func (f *Fleet) drainOnce(ctx context.Context, size int) (int, error) {
	f.draining.Lock()
	defer f.draining.Unlock()
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	if err := f.ready(ctx); err != nil {
		return 0, err
	}
	items, err := f.outbox.Outbox(ctx, Consumer, size)
	if err != nil {
		return 0, err
	}
	batch, gone, refused := f.stage(ctx, items)
	if err := ctx.Err(); err != nil { // otherwise records that could not be read in time would be set aside
		return 0, fmt.Errorf("read records of the outbox: %w", err)
	}
	sent, more, err := send(ctx, f.write, batch)
	refused = append(refused, more...)
	if err != nil {
		f.unready(err)
		err = explain(err)
	} else if len(sent) == 0 && len(more) > 1 { // then the records are not to blame
		refused = nil
		err = explain(more[0].err)
	}
	for _, s := range sent {
		gone = append(gone, s.seqs...)
	}
	// Committed items leave the outbox even if the rest failed or ctx has ended.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	err = errors.Join(err, f.outbox.Delivered(settle, gone), f.setAside(settle, refused))
	if err == nil {
		f.delivered.Store(new(time.Now()))
	}
	f.drained.Add(int64(len(sent)))
	return len(items), err
}

// refusal is a record that the database has refused.
type refusal struct {
	staged
	err error
}

// stage reads the records of items. gone has the items without a record. Either the record was removed, or the item is
// about a live call's report; that item is added again at the call's end.
func (f *Fleet) stage(ctx context.Context, items []record.OutboxItem) (batch []staged, gone []int64,
	refused []refusal,
) {
	for _, item := range items {
		s := staged{id: item.CallID, seqs: []int64{item.Seq}, try: item.Tries}
		r, ok, err := f.outbox.Get(ctx, item.CallID)
		if err == nil && ok {
			s.text, err = textOf(&r)
		}
		switch {
		case err != nil:
			refused = append(refused, refusal{s, err})
		case !ok:
			gone = append(gone, item.Seq)
		default:
			batch = append(batch, s)
		}
	}
	return batch, gone, refused
}

// send writes a batch. If the database refuses it, send halves the batch until the refused record is alone. err is set
// if the database is at fault.
func send(ctx context.Context, write func(context.Context, []staged) error, batch []staged) (sent []staged,
	refused []refusal, err error,
) {
	if len(batch) == 0 {
		return nil, nil, nil
	}
	err = write(ctx, batch)
	switch {
	case err == nil:
		return batch, nil, nil
	case !isRefusal(err):
		return nil, nil, err
	case len(batch) == 1:
		return nil, []refusal{{batch[0], err}}, nil
	}
	half := len(batch) / 2
	sent, refused, err = send(ctx, write, batch[:half])
	if err != nil {
		return sent, refused, err
	}
	more, others, err := send(ctx, write, batch[half:])
	return append(slices.Clip(sent), more...), append(refused, others...), err
}

// setAside postpones the refused records, so that the other records are not held up.
func (f *Fleet) setAside(ctx context.Context, refused []refusal) error {
	for _, r := range refused {
		aside := min(firstAside<<min(r.try, 10), lastAside)
		if err := f.outbox.Postpone(ctx, r.seqs, time.Now().Add(aside), r.err.Error()); err != nil {
			return err
		}
		f.log.Warn().Err(r.err).Str("call", r.id).Stringer("again_in", aside).
			Msg("record refused by the fleet's database: set aside")
	}
	return nil
}
