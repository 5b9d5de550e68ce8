package fleet

import (
	"context"
	"time"
)

const (
	readWeights = `SELECT coalesce((SELECT left(states, 1 << 20) FROM flowbridge_weights), ''), clock_timestamp()`
	// writeWeights writes only in the place of what was read before: the first node decides for all.
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

// SetWeights replaces the states of all splits. If they are no longer was, it changes nothing and returns false.
func (f *Fleet) SetWeights(ctx context.Context, was, states string) (set bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.beatWithin)
	defer cancel()
	done, err := f.pool.Exec(ctx, writeWeights, was, states)
	return done.RowsAffected() > 0, explain(err)
}
