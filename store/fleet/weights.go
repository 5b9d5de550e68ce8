package fleet

import (
	"context"
	"errors"
	"time"
)

const (
	readWeights = `SELECT coalesce((SELECT left(states, 1 << 20) FROM flowbridge_weights), ''), clock_timestamp()`
	// It writes only in the place of what was read before: the first node decides for all.
	writeWeights = `INSERT INTO flowbridge_weights AS w (states) VALUES ($2)
		ON CONFLICT (id) DO UPDATE SET states = excluded.states WHERE w.states = $1`
)

// Weights returns the states of all splits, or "", and the database's time.
func (f *Fleet) Weights(ctx context.Context) (states string, now time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.beatWithin)
	defer cancel()
	if err = f.ready(ctx); err == nil {
		err = explain(f.pool.QueryRow(ctx, readWeights).Scan(&states, &now))
	}
	return states, now, err
}

// SetWeights replaces the states of all splits, unless they are no longer was.
func (f *Fleet) SetWeights(ctx context.Context, was, states string) error {
	ctx, cancel := context.WithTimeout(ctx, f.beatWithin)
	defer cancel()
	done, err := f.pool.Exec(ctx, writeWeights, was, states)
	if err == nil && done.RowsAffected() == 0 {
		return errors.New("another node has changed weights at the same time") //nolint:err113 // told, not handled
	}
	return explain(err)
}
