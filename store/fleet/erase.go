package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"flowbridge/store/record"
)

const (
	deleteStates   = `DELETE FROM flowbridge_states WHERE id = ANY($1)`
	deleteCalls    = `DELETE FROM flowbridge_calls AS c WHERE id = ANY($1)` + notHeld
	notHeld        = ` AND NOT EXISTS (SELECT FROM flowbridge_holds AS h WHERE h.id = c.id)`
	longStatements = `SET LOCAL statement_timeout = '10min'`
)

// MaxErased is how many calls one erasure may name: with their ids it is a row that mayBeOrdered.
const MaxErased = 100

// Subject says what to erase: calls, or the calls with a number.
type Subject struct {
	Calls []string // their ids, or nil
	// Is reports whether digits are the number's. They have neither + nor 00 before them.
	Is func(digits string) bool
	// Short says that the number is known to have too few digits to be sought in messages.
	Short bool
}

// EraseFunc erases what a node has of a subject, and returns the calls.
type EraseFunc func(ctx context.Context, s Subject) (ids []string, err error)

// EraseWith makes the node erase what other nodes are asked to erase. Until it is called, these erasures wait.
func (f *Fleet) EraseWith(erase EraseFunc) { f.erase.Store(&erase) }

// Of reports whether a record is the subject's.
func (s Subject) Of(r *record.Record) bool {
	return slices.Contains(s.Calls, r.ID) || s.Calls == nil && r.HasNumber(s.Is)
}

// Erase deletes the records of a subject from the fleet's database, and has the other nodes erase what they have.
// ids are the calls that this node has found; digits are the number's, if there is one. dry only counts. alone has the
// nodes that can't be told, because there is no key to hide the number from the database, and to prove the order.
func (f *Fleet) Erase(ctx context.Context, s Subject, digits string, ids []string, dry bool,
) (n int64, alone []string, err error) {
	if err := f.ready(ctx); err != nil {
		return 0, nil, err
	} else if len(s.Calls) > MaxErased {
		return 0, nil, fmt.Errorf("%d calls in one erasure; at most %d", len(s.Calls), MaxErased)
	}
	orders, alone, err := f.order(ctx, s, digits, dry) // first, because the records say which nodes there are
	if err != nil {
		return 0, nil, err
	}
	err = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		found, err := find(ctx, tx, s, digits)
		n = int64(len(found))
		if dry || err != nil {
			return err
		}
		if n, err = f.remove(ctx, tx, append(found, ids...)); err != nil {
			return err
		}
		for _, row := range orders {
			if _, err := tx.Exec(ctx, addErasure, row...); err != nil {
				return err
			}
		}
		return nil
	})
	return n, alone, explain(err)
}

// find returns the calls of a subject in the database, which may have more of them than the nodes.
func find(ctx context.Context, tx pgx.Tx, s Subject, digits string) (ids []string, err error) {
	if _, err := tx.Exec(ctx, longStatements); err != nil {
		return nil, err
	}
	where, arg := `id = ANY($1)`, any(s.Calls)
	if s.Calls == nil {
		where, arg = `record::text ~ $1`, strings.Join(strings.Split(digits, ""), `[^0-9A-Za-z]*`)
	}
	const query = `SELECT left(id, 600), left(record::text, 1 << 20) FROM flowbridge_calls AS c WHERE `
	rows, _ := tx.Query(ctx, query+where+notHeld, arg) // the rows return the error
	var id string
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
		var r record.Record
		if json.Unmarshal(text, &r) != nil || s.Of(&r) { // what this version can't read has the number somewhere
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// Remove deletes the records of calls, but those under a legal hold, from the fleet's database.
func (f *Fleet) Remove(ctx context.Context, ids []string) error {
	err := f.ready(ctx)
	if err == nil {
		err = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
			_, err := f.remove(ctx, tx, ids)
			return err
		})
	}
	return explain(err)
}

// remove deletes records that this node does not have any more.
func (f *Fleet) remove(ctx context.Context, tx pgx.Tx, ids []string) (int64, error) {
	f.draining.Lock() // a record on its way would come back
	defer f.draining.Unlock()
	if _, err := tx.Exec(ctx, deleteStates, ids); err != nil {
		return 0, err
	}
	done, err := tx.Exec(ctx, deleteCalls, ids)
	return done.RowsAffected(), err
}

// Hold sets or lifts the legal hold of a call in the database.
func (f *Fleet) Hold(ctx context.Context, id string, on bool) (err error) {
	statement := `DELETE FROM flowbridge_holds WHERE id = $1`
	if on {
		statement = `INSERT INTO flowbridge_holds (id) VALUES ($1) ON CONFLICT DO NOTHING`
	}
	if err = f.ready(ctx); err == nil {
		_, err = f.pool.Exec(ctx, statement, id)
	}
	return explain(err)
}
