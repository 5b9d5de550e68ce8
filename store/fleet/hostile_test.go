package fleet

import (
	"math"
	"strings"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// Whatever is written into the tables, each answer is small. Unreadable rows are reported as such, and hide no
// others.
func TestHostileRows(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := seated(t, url, "a"), seated(t, url, "b")
	a.take(false)
	a.keep("live", "state")
	a.put("good", "huge", "odd")
	eventually(t, "the records are there", func() bool { return count(t, url) == 3 })
	for _, bad := range []string{
		`INSERT INTO flowbridge_nodes (id, process, name, version, seen_at) VALUES ('x', '', repeat('x', 2000000), '', now())`,
		`INSERT INTO flowbridge_nodes (id, process, name, version, seen_at) VALUES ('y', repeat('x', 2000000), 'y', '', now())`,
		`INSERT INTO flowbridge_states SELECT 'east', 'id' || i, convert_to(repeat('x', 2000000), 'UTF8') FROM generate_series(1, 3) AS i`,
		`INSERT INTO flowbridge_states SELECT 'west', 'id', convert_to(repeat('x', 2000000), 'UTF8')`,
		`INSERT INTO flowbridge_seats (seat, owner, node, epoch, since, renewed_at) VALUES ('west', repeat('x', 1000000), repeat('x', 2000000), 1, 'infinity', 'infinity')`,
		`INSERT INTO flowbridge_registrations VALUES ('t', 'p', repeat('x', 2000000), '[]', 'infinity'), ('t', 'q', 'q', convert_to(repeat(' ', 2000000), 'UTF8'), now())`,
		`UPDATE flowbridge_calls SET record = record || jsonb_build_object('x', repeat('x', 2000000)) WHERE id = 'huge'`,
		`UPDATE flowbridge_calls SET started_at = 'infinity' WHERE id = 'odd'`,
		`UPDATE flowbridge_seats SET since = 'infinity' WHERE seat = 'east'`,
	} {
		pgtest.Exec(t, url, bad)
	}
	o, err := b.fleet.Overview(t.Context(), false)
	must(t, err)
	if len(o.Nodes) != 1 || len(o.Seats) != 2 || o.Seats[0].Lease != LeaseHeld || !o.Seats[0].Since.IsZero() ||
		o.Seats[1].Lease != LeaseLapsed || len(o.Seats[1].Node) > 64 {
		t.Errorf("%d nodes, seats %.500v", len(o.Nodes), o.Seats)
	}
	records, _, err := b.fleet.List(t.Context(), record.Filter{})
	must(t, err)
	if len(records) != 2 || strings.Join(b.fleet.Unreadable(), " ") != "huge" {
		t.Errorf("%d records, unreadable %v", len(records), b.fleet.Unreadable())
	}
	_, hidden, err := b.fleet.Elsewhere(t.Context())
	must(t, err)
	if hidden != 4 {
		t.Errorf("%d states hidden", hidden)
	}
	if all, err := b.fleet.bindings(t.Context(), `holder = $1`, "t"); err != nil || len(all["t"]) != 0 {
		t.Errorf("%d bindings, %v", len(all["t"]), err)
	}
	a.die() // otherwise it renews its lease
	pgtest.Exec(t, url, `UPDATE flowbridge_seats SET renewed_at = 'infinity'`)
	b.take(false)
	states, unreadable, err := b.fleet.Seat.States(t.Context())
	if err != nil || len(states) != 1 || unreadable != 3 {
		t.Errorf("%d states, %d unreadable, %v", len(states), unreadable, err)
	}
	pgtest.Exec(t, url, `ALTER TABLE flowbridge_seats ALTER calls TYPE bigint, ALTER unprotected TYPE text`)
	fresh, err := OpenReader(url, "test") // the other reader's query plans have the old types
	must(t, err)
	t.Cleanup(fresh.Close)
	if _, err := fresh.Overview(t.Context(), false); err == nil || !strings.Contains(err.Error(), "can't be read: unprotected") {
		t.Errorf("a column of another type: %v", err)
	}
}

// An epoch that no node writes does not stop takeovers: epochs restart, and the log names the row.
func TestForgedEpoch(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := seated(t, url, "a"), seated(t, url, "b")
	a.take(false)
	a.keep("live", "state")
	a.die() // otherwise it renews its lease
	for i, forged := range []int64{math.MaxInt64, math.MaxInt64 - 1, maxEpoch + 1, -1, math.MinInt64} {
		pgtest.Exec(t, url, `UPDATE flowbridge_seats SET epoch = $1`, forged)
		got, owner, err := b.fleet.Seat.Take(t.Context(), true)
		if err != nil || got.Epoch != 1 || got.Own {
			t.Errorf("after epoch %d: %+v, owner %+v, %v", forged, got, owner, err)
		}
		if n := b.log.Count("the seat's row in flowbridge_seats had an epoch"); n != i+1 {
			t.Errorf("%d lines about %d forged epochs", n, i+1)
		}
	}
	if got := b.states(); got["live"] != "state" {
		t.Errorf("states %v", got)
	}
	pgtest.Exec(t, url, `UPDATE flowbridge_seats SET epoch = $1`, int64(maxEpoch))
	if got := b.take(true); got.Epoch != maxEpoch+1 {
		t.Errorf("the epoch after the largest: %d", got.Epoch)
	}
}

// Restoring the row of an ended call's state has no effect, even if the call's record is gone. A state that is noted
// later counts, because the database had lost it.
func TestStateOfAnEndedCallIsPutBack(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := seated(t, url, "a"), seated(t, url, "b")
	a.take(false)
	a.keep("over", "state")
	a.keep("live", "state")
	before := time.Now()
	b.fleet.beatOnce(t.Context())
	pgtest.Exec(t, url, `CREATE TABLE saved AS SELECT * FROM flowbridge_states WHERE id = 'over'`)
	a.put("over")
	eventually(t, "the state is gone", func() bool { return pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_states`) == 1 })
	b.fleet.beatOnce(t.Context())
	pgtest.Exec(t, url, `DELETE FROM flowbridge_calls`)
	pgtest.Exec(t, url, `INSERT INTO flowbridge_states SELECT * FROM saved`)
	b.fleet.beatOnce(t.Context())
	b.take(true)
	if len(b.states()) != 2 {
		t.Error("the state is not there again")
	}
	s := b.fleet.Seat
	if s.Ended(t.Context(), "live", before) || s.Ended(t.Context(), "over", time.Now()) {
		t.Error("a live call, or one with a newer state, has ended")
	}
	if !s.Ended(t.Context(), "over", before) || len(b.states()) != 1 {
		t.Error("an ended call lives again")
	}
}
