package fleet

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// member is this node in the database.
type member struct {
	id      string // of the node: that of its own database
	process string // of this start
	name    string
	version string
	joined  bool
}

// found is what a member sees of the others.
type found struct {
	leases []lease
	nodes  int    // members that are there, this one included
	known  int    // those that may have calls
	twin   string // the name's other holder; empty: there is none
	stolen bool   // another process has this member's id
}

const (
	lockLedger = `SELECT pg_advisory_xact_lock($1, $2)`

	// enter takes the row of an earlier process of this node: only one can have the node's own database.
	enter = `INSERT INTO flowbridge_nodes (id, process, name, version, seen_at, expires_at)
		VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + $5)
		ON CONFLICT (id) DO UPDATE SET process = excluded.process, name = excluded.name, version = excluded.version,
			seen_at = excluded.seen_at, expires_at = excluded.expires_at`
	dropOwn    = `DELETE FROM flowbridge_leases WHERE node = $1`
	dropOld    = `DELETE FROM flowbridge_nodes WHERE seen_at < clock_timestamp() - $1::interval`
	stay       = `UPDATE flowbridge_nodes SET seen_at = clock_timestamp(), expires_at = clock_timestamp() + $3 WHERE id = $1 AND process = $2`
	leave      = `DELETE FROM flowbridge_nodes WHERE id = $1 AND process = $2`
	selectSelf = `SELECT process FROM flowbridge_nodes WHERE id = $1`

	selectMembers = `SELECT count(*) FILTER (WHERE expires_at > clock_timestamp()), count(*),
		coalesce(max(id) FILTER (WHERE expires_at > clock_timestamp() AND name = $2 AND id <> $1), '') FROM flowbridge_nodes`
	selectLeases = `SELECT callee, name, rate, node, permits, wanted FROM flowbridge_leases
		WHERE node <> $1 AND expires_at > clock_timestamp()`

	// replaceLeases writes the orders, and removes the leases of caps that are none any more.
	replaceLeases = `WITH mine AS (
			SELECT * FROM unnest($2::boolean[], $3::text[], $4::boolean[], $5::integer[], $6::integer[])
				AS m (callee, name, rate, permits, wanted)
		), gone AS (
			DELETE FROM flowbridge_leases AS l WHERE node = $1
				AND NOT EXISTS (SELECT 1 FROM mine AS m WHERE (m.callee, m.name, m.rate) = (l.callee, l.name, l.rate))
		)
		INSERT INTO flowbridge_leases (callee, name, rate, node, permits, wanted, expires_at)
		SELECT callee, name, rate, $1, permits, wanted, clock_timestamp() + $7 FROM mine
		ON CONFLICT (callee, name, rate, node) DO UPDATE
			SET permits = excluded.permits, wanted = excluded.wanted, expires_at = excluded.expires_at`
)

// renew shows that the member is there, and has decide say what it takes, while no other member changes anything. It
// returns when that is committed.
func (m *member) renew(ctx context.Context, pool *pgxpool.Pool, decide func(found) []order) (seen found, err error) {
	err = inTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockLedger, lockClass, lockLeases); err != nil {
			return err
		}
		if seen, err = m.look(ctx, tx); err != nil || seen.stolen {
			return err
		}
		return m.take(ctx, tx, decide(seen))
	})
	switch {
	case err != nil:
		return found{}, err
	case seen.stolen: // two processes have copies of one database: this one goes on as a node of its own
		m.id, m.joined = uuid.NewString(), false
	default:
		m.joined = true
	}
	return seen, nil
}

// look enters the member, or shows that it is still there, and reads what the others have.
func (m *member) look(ctx context.Context, tx pgx.Tx) (seen found, err error) {
	if m.joined {
		tag, err := tx.Exec(ctx, stay, m.id, m.process, leaseFor)
		if err != nil {
			return seen, err
		}
		if tag.RowsAffected() == 0 {
			m.joined = false
			var other string
			err := tx.QueryRow(ctx, selectSelf, m.id).Scan(&other)
			if err == nil {
				return found{stolen: true}, nil
			}
		}
	}
	batch := &pgx.Batch{}
	if !m.joined {
		batch.Queue(dropOld, rememberMembers)
		batch.Queue(enter, m.id, m.process, m.name, m.version, leaseFor)
		batch.Queue(dropOwn, m.id)
	}
	batch.Queue(selectMembers, m.id, m.name).
		QueryRow(func(row pgx.Row) error { return row.Scan(&seen.nodes, &seen.known, &seen.twin) })
	batch.Queue(selectLeases, m.id).Query(func(rows pgx.Rows) (err error) {
		seen.leases, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l lease, err error) {
			err = row.Scan(&l.Callee, &l.Name, &l.Rate, &l.node, &l.permits, &l.wanted)
			return l, err
		})
		return err
	})
	return seen, tx.SendBatch(ctx, batch).Close()
}

// take writes what the member has from now on.
func (m *member) take(ctx context.Context, tx pgx.Tx, orders []order) error {
	callees, names, rates := []bool{}, []string{}, []bool{}
	permits, wanted := []int{}, []int{}
	for _, o := range orders {
		callees, names, rates = append(callees, o.Callee), append(names, o.Name), append(rates, o.Rate)
		permits, wanted = append(permits, o.permits), append(wanted, o.wanted)
	}
	_, err := tx.Exec(ctx, replaceLeases, m.id, callees, names, rates, permits, wanted, leaseFor)
	return err
}

// leave gives everything back.
func (m *member) leave(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, leave, m.id, m.process)
	return err
}

// renewTimeout bounds one renewal: the lease must not run out while it waits.
const renewTimeout = 4 * time.Second
