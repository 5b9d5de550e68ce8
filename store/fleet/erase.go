package fleet

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"flowbridge/store/record"
)

const (
	deleteStates = `DELETE FROM flowbridge_states WHERE id = ANY($1)`
	deleteCalls  = `DELETE FROM flowbridge_calls AS c WHERE id = ANY($1)` + notHeld
	notHeld      = ` AND NOT EXISTS (SELECT FROM flowbridge_holds AS h WHERE h.id = c.id)`
	addMember    = `INSERT INTO flowbridge_members AS m (id, name, seen_at) VALUES ($1, $2, now())
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = now() WHERE m.seen_at < now() - interval '1 hour'`
	// addErasure waits for all nodes but this one.
	addErasure = `INSERT INTO flowbridge_erasures (id, calls, salt, proof, number, waits)
		SELECT $1, $2, $3, $4, $5, array_agg(id) FROM flowbridge_members
		WHERE id <> $6 AND seen_at > now() - interval '90 days' HAVING count(*) > 0`
	otherMembers = `SELECT left(name, 64) FROM flowbridge_members
		WHERE id <> $1 AND seen_at > now() - interval '90 days' ORDER BY 1 LIMIT 10000`
	// mayBeOrdered is true for a row that a node may have written. Others are removed unread.
	mayBeOrdered = `octet_length(salt) = 32 AND octet_length(proof) = 32 AND coalesce(octet_length(number), 32) = 32
		AND coalesce(octet_length(calls::text), 0) <= 4096`
	// myErasures reads in random order: the rows of another password stay, and must not fill each of the answers.
	myErasures = `SELECT id, calls, salt, proof, number FROM flowbridge_erasures
		WHERE $1 = ANY(waits) AND ` + mayBeOrdered + ` ORDER BY random() LIMIT 1000`
	confirm    = `UPDATE flowbridge_erasures SET waits = array_remove(waits, $2) WHERE id = $1`
	forgetDone = `DELETE FROM flowbridge_erasures
		WHERE waits = '{}' OR at < now() - interval '90 days' OR NOT (` + mayBeOrdered + `)`
	// selectWaits has the names of the nodes that erasures wait for.
	selectWaits = `SELECT DISTINCT left(name, 64) FROM flowbridge_erasures, unnest(waits) AS w
		JOIN flowbridge_members AS m ON m.id = w ORDER BY 1 LIMIT 10000`
)

// MaxErased is how many calls one erasure may name: with their ids it is a row that mayBeOrdered.
const MaxErased = 100

// Subject says what to erase: calls, or the calls with a number.
type Subject struct {
	Calls []string // their ids, or nil
	// Is reports whether digits are the number's. They have neither + nor 00 before them.
	Is func(digits string) bool
}

// EraseFunc erases what a node has of a subject, and returns the calls.
type EraseFunc func(ctx context.Context, s Subject) (ids []string, err error)

// EraseWith makes the node erase what other nodes are asked to erase. Until it is called, these erasures wait.
func (f *Fleet) EraseWith(erase EraseFunc) { f.erase.Store(&erase) }

// Of reports whether a record is the subject's.
func (s Subject) Of(r *record.Record) bool {
	return slices.Contains(s.Calls, r.ID) || s.Calls == nil && r.HasNumber(s.Is)
}

// hashKey returns a key for hashes of numbers that the database does not have: its password, or else one of the
// takeover's secret. It is empty if there is neither; then a hash would tell the number to who tries them all.
func hashKey(password string, o *SeatOptions) (key []byte, err error) {
	if password != "" || o == nil {
		return []byte(password), nil
	}
	return derive(&SeatOptions{Secret: o.Secret}, "erasures")
}

// keyed returns the hash of a number.
func (f *Fleet) keyed(salt []byte, number string) []byte {
	h := hmac.New(sha256.New, f.hashKey)
	h.Write(salt)
	h.Write([]byte(number))
	return h.Sum(nil)
}

// proof shows that a node with this one's password ordered an erasure. It covers the calls and the number: someone who
// can write into the database may repeat the erasure, but can't name another call in it.
func (f *Fleet) proof(e *erasure) []byte {
	return f.keyed(e.Salt, fmt.Sprintf("%q %x", e.Calls, e.Number))
}

// Erase deletes the records of a subject from the fleet's database, and has the other nodes erase what they have.
// ids are the calls that this node has found; digits are the number's, if there is one. dry only counts. alone has the
// nodes that can't be told, because there is no key to hide the number from the database.
func (f *Fleet) Erase(ctx context.Context, s Subject, digits string, ids []string, dry bool,
) (n int64, alone []string, err error) {
	if err := f.ready(ctx); err != nil {
		return 0, nil, err
	} else if len(s.Calls) > MaxErased {
		return 0, nil, fmt.Errorf("%d calls in one erasure; at most %d", len(s.Calls), MaxErased)
	}
	untold := s.Calls == nil && len(f.hashKey) == 0
	err = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		found, err := find(ctx, tx, s, digits)
		n = int64(len(found))
		if err == nil && untold {
			rows, _ := tx.Query(ctx, otherMembers, f.own) // the rows return the error
			alone, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if dry || err != nil {
			return err
		}
		if n, err = f.remove(ctx, tx, append(found, ids...)); err != nil || untold {
			return err
		}
		e := erasure{ID: uuid.New(), Calls: s.Calls, Salt: make([]byte, sha256.Size)}
		_, _ = rand.Read(e.Salt) // never fails
		if s.Calls == nil {
			e.Number = f.keyed(e.Salt, digits)
		}
		_, err = tx.Exec(ctx, addErasure, e.ID, e.Calls, e.Salt, f.proof(&e), e.Number, f.own)
		return err
	})
	return n, alone, explain(err)
}

// find returns the calls of a subject in the database, which may have more of them than the nodes.
func find(ctx context.Context, tx pgx.Tx, s Subject, digits string) (ids []string, err error) {
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = '10min'`); err != nil {
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

// Waits returns the nodes that have not confirmed an erasure yet.
func (f *Fleet) Waits(ctx context.Context) ([]string, error) {
	rows, _ := f.pool.Query(ctx, selectWaits) // the rows return the error
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, explain(err)
}

// eraseWithin bounds how long this node takes for what other nodes were asked to erase, until it goes on with records.
const eraseWithin = 10 * time.Minute

// eraseOthers erases here what other nodes were asked to erase, and confirms it.
func (f *Fleet) eraseOthers(ctx context.Context) {
	erase := f.erase.Load()
	if erase == nil || f.ready(ctx) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, eraseWithin)
	defer cancel()
	_, err := f.pool.Exec(ctx, addMember, f.own, f.member.name)
	if err == nil {
		_, err = f.pool.Exec(ctx, forgetDone)
	}
	rows, _ := f.pool.Query(ctx, myErasures, f.own) // the rows return the error
	all, queryErr := pgx.CollectRows(rows, pgx.RowToStructByPos[erasure])
	err = errors.Join(err, queryErr)
	for i := range all {
		e := &all[i]
		if !hmac.Equal(f.proof(e), e.Proof) {
			if !errors.Is(err, errPassword) { // one of them is enough for the log
				err = errors.Join(err, fmt.Errorf("erasure %s: %w", e.ID, errPassword))
			}
			continue
		}
		ids, failed := (*erase)(ctx, Subject{Calls: e.Calls, Is: func(digits string) bool {
			return hmac.Equal(f.keyed(e.Salt, digits), e.Number)
		}})
		if failed == nil {
			failed = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
				_, err := f.remove(ctx, tx, ids)
				if err == nil {
					_, err = tx.Exec(ctx, confirm, e.ID, f.own)
				}
				return err
			})
		}
		err = errors.Join(err, failed)
	}
	if err != nil && ctx.Err() == nil {
		f.rows.Warn().Err(explain(err)).Msg("not erased: it is tried again")
	}
}

// erasure is a row that waits for this node.
type erasure struct {
	ID                  uuid.UUID
	Calls               []string
	Salt, Proof, Number []byte
}

var errPassword = errors.New(
	"its row was changed, or it was ordered at a node whose dsn_file has another password, or none: " +
		"give all nodes the same, and order it again")
