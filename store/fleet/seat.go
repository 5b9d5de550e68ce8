package fleet

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"flowbridge/store/record"
)

// A seat is a set of addresses with their calls. One node at a time has it: the owner of its newest epoch. The epoch
// counts how often the seat was taken. Every write of an owner names its epoch, and writes with an older epoch are
// refused. So an owner that was cut off can't change anything, and learns from the refusal that it has lost the seat.

// The times of a seat's lease.
const (
	// renewEvery is the time between two renewals. renewTimeout is the time limit for one.
	renewEvery   = 400 * time.Millisecond
	renewTimeout = time.Second
	// leaseFor is how long the lease holds after a renewal, by the database's clock.
	leaseFor = 1200 * time.Millisecond
	// promiseFor is how long the seat is reserved for the node to which the owner leaves it.
	promiseFor = 5 * time.Second
	// doubtAfter is how long an owner that can't renew the lease assumes that it still has the seat.
	doubtAfter = 3 * time.Second
)

// maxEpoch is the largest epoch that a node counts on from. Others, and those below 0, were forged or damaged: from the
// largest bigint no takeover could count on. Epochs are compared for equality only, so they may restart.
const maxEpoch = 1_000_000_000_000

// SeatOptions describe a seat.
type SeatOptions struct {
	Name string
	// Secret is shared by the nodes of the seat.
	Secret string
	// Patience is how long a call waits for the database to have its state.
	Patience time.Duration
}

// Seat is this node's side of a seat.
type Seat struct {
	fleet *Fleet
	name  string
	id    string   // the node's id
	node  string   // the node's name
	key   [32]byte // signalling key of the seat

	lease, promise time.Duration // leaseFor and promiseFor, except in tests

	secret string // SeatOptions.Secret
	vouch  []byte // key of Member.Proof, the same for all seats with the secret
	print  string // Member.SeatKey

	// Guarded by Fleet.beating.
	live  map[string]bool      // the seat's calls at a standby's last heartbeat
	ended map[string]time.Time // when each call was found gone
	order []string             // the ids of ended, oldest first

	states *states
	begun  sync.Once

	confirmed atomic.Pointer[time.Time] // when the last successful renewal was started
	epoch     atomic.Int64              // 0 while the node stands by
	cleared   bool                      // Take has removed the note of an epoch, or tried to; owned by Take
	look      chan struct{}             // requests a renewal now
	lost      chan Owner                // receives the seat's new owner, once
}

// Owner is the node that has a seat.
type Owner struct {
	Seat string `json:"seat"`
	// Node is the owner's name, and ID identifies it.
	Node string `json:"node"`
	ID   string `json:"-"`
	// Epoch is how often the seat was taken.
	Epoch int64 `json:"epoch"`
	// Since is when the owner took the seat; zero if the database's value can't be read.
	Since time.Time `json:"since"`
	// Unseen is the time since the owner renewed its lease, by the database's clock.
	Unseen time.Duration `json:"-"`
	// Calls counts the calls whose state the database has. Unprotected counts the answered calls whose state it does not
	// have.
	Calls       int `json:"calls"`
	Unprotected int `json:"unprotected"`
}

// Holds reports whether the owner's lease holds.
func (o *Owner) Holds() bool { return o.Node != "" && -promiseFor <= o.Unseen && o.Unseen <= leaseFor }

const (
	// A forged time, such as infinity, must not prevent a seat from being taken or shown.
	selectSeats = `SELECT left(seat, 64), left(node, 64), left(owner, 64), epoch,
		CASE WHEN since BETWEEN 'epoch' AND clock_timestamp() + interval '1 day' THEN since ELSE '0001-01-01 00:00Z' END,
		clock_timestamp() - greatest(least(renewed_at, clock_timestamp() + interval '1 day'), 'epoch'), calls, unprotected
		FROM flowbridge_seats`
	// The lock waits for transactions that write with an epoch, which hold FOR KEY SHARE until their commit.
	lockSeat = selectSeats + ` WHERE seat = $1 FOR UPDATE`
	takeSeat = `INSERT INTO flowbridge_seats AS s (seat, owner, node, epoch, since, renewed_at)
		VALUES ($1, $2, $3, 1, clock_timestamp(), clock_timestamp())
		ON CONFLICT (seat) DO UPDATE SET owner = excluded.owner, node = excluded.node,
			epoch = CASE WHEN s.epoch BETWEEN 0 AND $7 THEN s.epoch + 1 ELSE 1 END,
			since = excluded.since, renewed_at = excluded.renewed_at, promised = ''
		WHERE $4 OR s.promised = $3 OR s.owner = $2 AND s.node = $3 AND s.promised = ''
			OR s.renewed_at < clock_timestamp() - CASE s.promised WHEN '' THEN $5::interval ELSE $6::interval END
			OR s.renewed_at > clock_timestamp() + $6::interval
		RETURNING epoch`
	standIn = `UPDATE flowbridge_nodes SET standby = true WHERE id = $1 AND id <> $2`
	// A renewal need not survive a crash of the database, so it waits neither for the database's disk nor for its standby.
	renewSeat = `UPDATE flowbridge_seats SET renewed_at = clock_timestamp(), calls = $4, unprotected = $5
		FROM set_config('synchronous_commit', 'off', true)
		WHERE seat = $1 AND owner = $2 AND epoch = $3 AND renewed_at > 'epoch'`
	leaveSeat = `UPDATE flowbridge_seats SET renewed_at = CASE WHEN $4 = '' THEN 'epoch' ELSE clock_timestamp() END,
		promised = $4 WHERE seat = $1 AND owner = $2 AND node = $5 AND epoch = $3`
	staySeat = `UPDATE flowbridge_seats SET renewed_at = clock_timestamp(), promised = '' WHERE seat = $1 AND owner = $2 AND epoch = $3`
)

// noteSeat names the note of the last epoch in which this node had the seat.
const noteSeat = "fleet_seat"

func newSeat(f *Fleet, o *SeatOptions) (*Seat, error) {
	s := &Seat{
		lease: leaseFor, promise: promiseFor,
		fleet: f, name: o.Name, secret: o.Secret, id: f.member.id, node: f.member.name,
		ended: map[string]time.Time{}, look: make(chan struct{}, 1), lost: make(chan Owner, 1),
	}
	signalling, err := derive(o, "signalling")
	if err != nil {
		return nil, err
	}
	s.key = [32]byte(signalling)
	shown, err := derive(o, "shown")
	if err != nil {
		return nil, err
	}
	s.print = hex.EncodeToString(shown[:8])
	if s.vouch, err = derive(&SeatOptions{Secret: o.Secret}, "nodes"); err != nil {
		return nil, err
	}
	sealed, err := derive(o, "states")
	if err != nil {
		return nil, err
	}
	s.states, err = newStates(s, sealed, o.Patience)
	return s, err
}

// SameSecret reports whether a node of the seat has the same secret as this one, as far as is known.
func (s *Seat) SameSecret(m *Member) bool { return m.SeatKey == "" || m.SeatKey == s.print }

// proofOf returns a node's Member.Proof.
func (s *Seat) proofOf(name, api string) string {
	mac := hmac.New(sha256.New, s.vouch)
	mac.Write([]byte(name + "\x00" + api))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// derive derives a key of the seat from its secret.
func derive(o *SeatOptions, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(o.Secret), nil, "flowbridge seat "+o.Name+" "+use, 32)
}

// Name returns the seat's name.
func (s *Seat) Name() string { return s.name }

// Key returns the signalling key, which is the same on all nodes of the seat.
func (s *Seat) Key() [32]byte { return s.key }

// Lost returns a channel that receives the new owner of the seat, once.
func (s *Seat) Lost() <-chan Owner { return s.lost }

// Doubtful reports whether the lease has been unconfirmed for so long that another node may have the seat.
func (s *Seat) Doubtful() bool {
	at := s.confirmed.Load()
	return s.epoch.Load() != 0 && (at == nil || time.Since(*at) > doubtAfter)
}

// Serves reports whether the node has the seat, as far as it knows.
func (s *Seat) Serves() bool { return s.epoch.Load() != 0 }

// Figures returns the epoch in which this node has the seat, or 0 on a standby. It also returns how many answered calls
// the database has, and how many it should have by now but does not.
func (s *Seat) Figures() (epoch int64, protected, unprotected int) {
	protected, unprotected = s.states.counts()
	return s.epoch.Load(), protected, unprotected
}

// Look renews the lease now. It is called when the network has changed.
func (s *Seat) Look() { wake(s.look) }

// Taken is the result of taking a seat.
type Taken struct {
	Epoch int64
	// Before is the previous owner. Its Node is empty if there was none.
	Before Owner
	// Own says that this node was the last owner, so its own journal has the calls.
	Own bool
	// Alive is when the database last heard from Before, by this machine's clock. If Before has given up the seat, it is
	// too early.
	Alive time.Time
}

// Take takes the seat if its lease has ended, if this node was its last owner, or by force. Otherwise it returns the
// owner. The error is an AwayError.
func (s *Seat) Take(ctx context.Context, force bool) (t Taken, owner Owner, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.fleet.beatWithin)
	defer cancel()
	if err := s.fleet.ready(ctx); err != nil {
		return t, owner, err
	}
	begun, had := time.Now(), s.noted(ctx)
	err = pgx.BeginFunc(ctx, s.fleet.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, lockSeat, s.name) // the rows return the error
		if t.Before, err = pgx.CollectExactlyOneRow(rows, rowToOwner); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err = tx.QueryRow(ctx, takeSeat, s.name, s.id, s.node, force, s.lease, s.promise, int64(maxEpoch)).
			Scan(&t.Epoch); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, standIn, t.Before.ID, s.id)
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		if had != 0 && t.Before.ID != s.id && !s.cleared { // or, without the database, this would serve the new owner's seat
			s.cleared = true
			s.note(ctx, 0)
		}
		return Taken{}, t.Before, nil
	case err != nil:
		s.fleet.unready(err)
		return Taken{}, Owner{}, explain(err)
	}
	if t.Before.Epoch < 0 || t.Before.Epoch > maxEpoch {
		s.fleet.log.Warn().Str("seat", s.name).Int64("epoch", t.Before.Epoch).
			Msg("the seat's row in flowbridge_seats had an epoch that no node writes: its epochs restart at 1")
	}
	t.Own = t.Before.ID == s.id && t.Before.Node == s.node && t.Before.Epoch == had
	t.Alive = begun.Add(-max(t.Before.Unseen, 0))
	s.goOn(ctx, t.Epoch, begun)
	return t, owner, nil
}

func rowToOwner(row pgx.CollectableRow) (o Owner, err error) {
	err = row.Scan(&o.Seat, &o.Node, &o.ID, &o.Epoch, &o.Since, &o.Unseen, &o.Calls, &o.Unprotected)
	return o, err
}

// goOn makes the node serve the seat in an epoch.
func (s *Seat) goOn(ctx context.Context, epoch int64, at time.Time) {
	s.confirmed.Store(&at)
	s.epoch.Store(epoch)
	s.note(ctx, epoch)
}

// note stores the epoch for this node's next process; 0 means that another node has had the seat since.
func (s *Seat) note(ctx context.Context, epoch int64) {
	if err := s.fleet.outbox.Note(ctx, noteSeat, fmt.Sprintf("%d %s", epoch, s.name)); err != nil {
		s.fleet.log.Warn().Err(err).Str("seat", s.name).Msg("epoch not saved: after a restart the calls come from the database")
	}
}

// noted returns the epoch in which this node last had the seat, or 0 if it never had it.
func (s *Seat) noted(ctx context.Context) (epoch int64) {
	text, err := s.fleet.outbox.Noted(ctx, noteSeat)
	var name string
	if n, _ := fmt.Sscanf(text, "%d %s", &epoch, &name); err != nil || n != 2 || name != s.name {
		return 0
	}
	return epoch
}

// Resume serves the seat without asking the database, in two cases: the database is away and this node had the seat
// last, or this process replaces an earlier one. It reports whether an epoch was noted. The next renewal shows whether
// the epoch is still valid.
func (s *Seat) Resume(ctx context.Context) bool {
	epoch := s.noted(ctx)
	if epoch != 0 {
		now := time.Now()
		s.confirmed.Store(&now)
		s.epoch.Store(epoch)
	}
	return epoch != 0
}

// Leave gives up the rest of this node's lease. In the next seconds only the node named to may take the seat, or any
// node if to is empty. The node must not serve the seat at that time.
func (s *Seat) Leave(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, s.fleet.beatWithin)
	defer cancel()
	epoch := s.epoch.Load()
	if epoch == 0 {
		epoch = s.noted(ctx)
	}
	_, err := s.fleet.pool.Exec(ctx, leaveSeat, s.name, s.id, epoch, to, s.node) // a copy of s.id has another node
	return explain(err)
}

var errTaken = errors.New("another node has taken the seat")

// Stay takes back the seat after Leave, unless the other node has taken it.
func (s *Seat) Stay(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.fleet.beatWithin)
	defer cancel()
	done, err := s.fleet.pool.Exec(ctx, staySeat, s.name, s.id, s.epoch.Load())
	if err == nil && done.RowsAffected() == 0 {
		return errTaken
	}
	return explain(err)
}

// run renews the lease until ctx ends or another node has the seat.
func (s *Seat) run(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		if owner, lost := s.renew(ctx); lost {
			s.lost <- owner
			return
		}
		select {
		case <-tick.C:
		case <-s.look:
		case <-ctx.Done():
			return
		}
	}
}

// renew renews the lease. If lost is true, owner is the node that has the seat.
func (s *Seat) renew(ctx context.Context) (owner Owner, lost bool) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	if s.fleet.ready(ctx) != nil { // the heartbeat logs the error
		return owner, false
	}
	begun := time.Now()
	protected, unprotected := s.states.counts()
	done, err := s.fleet.pool.Exec(ctx, renewSeat, s.name, s.id, s.epoch.Load(), protected, unprotected)
	switch {
	case err != nil:
		return owner, false
	case done.RowsAffected() > 0:
		s.confirmed.Store(&begun)
		return owner, false
	}
	return s.asked(ctx)
}

// Confirm renews the lease until the database has answered or ctx ends. If lost is true, owner is the node that has the
// seat.
func (s *Seat) Confirm(ctx context.Context) (owner Owner, lost bool) {
	s.fleet.pool.Reset() // older connections no longer work
	for begun := time.Now(); ctx.Err() == nil; sleep(ctx, 50*time.Millisecond) {
		owner, lost = s.renew(ctx)
		if lost {
			return owner, true
		}
		if at := s.confirmed.Load(); at.After(begun) {
			break
		}
	}
	return Owner{}, false
}

// asked looks up the owner of a seat whose renewal was refused. If the database lacks the seat, the database is new or
// an old copy. Then the node continues, and creates the seat again.
func (s *Seat) asked(ctx context.Context) (owner Owner, lost bool) {
	rows, _ := s.fleet.pool.Query(ctx, selectSeats+` WHERE seat = $1`, s.name) // the rows return the error
	owner, err := pgx.CollectExactlyOneRow(rows, rowToOwner)
	if errors.Is(err, pgx.ErrNoRows) {
		s.fleet.log.Warn().Str("seat", s.name).Msg("the fleet's database lacks the seat: creating it again")
		_, _ = s.fleet.pool.Exec(ctx, `INSERT INTO flowbridge_seats (seat, owner, node, epoch, since, renewed_at)
			VALUES ($1, $2, $3, $4, clock_timestamp(), clock_timestamp()) ON CONFLICT DO NOTHING`,
			s.name, s.id, s.node, s.epoch.Load()) // the next renewal shows whether that worked
		return owner, false
	}
	return owner, err == nil && (owner.ID != s.id || owner.Epoch != s.epoch.Load())
}

// Copied returns the name of the node that serves with a copy of this node's own database, or "" if none is known.
func (s *Seat) Copied(ctx context.Context) string {
	owners, _ := s.fleet.Seats(ctx)
	for i := range owners {
		if o := &owners[i]; o.ID == s.id && o.Node != s.node && o.Holds() {
			return o.Node
		}
	}
	return ""
}

// inviteLife bounds how long a caller repeats an INVITE that gets no answer: 64*T1 (RFC 3261 section 17.1.1.2).
const inviteLife = 32 * time.Second

const selectUnknown = `SELECT id
	FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::boolean[]) AS u(id, sip_call_id, started, answered)
	WHERE NOT EXISTS (SELECT FROM flowbridge_calls AS c WHERE c.id = u.id)
	AND NOT EXISTS (SELECT FROM flowbridge_states AS s WHERE s.seat = $5 AND s.id = u.id)
	AND NOT EXISTS (SELECT FROM flowbridge_calls AS c WHERE NOT u.answered AND u.sip_call_id <> ''
		AND c.sip_call_id = left(u.sip_call_id, 600)
		AND c.started_at BETWEEN u.started - $6::interval AND u.started + $6::interval)`

// Unknown returns the calls of this node's journal whose records it must write: the database has neither a state nor a
// record of them. A call without an answer is not returned if the database has another call with the same INVITE: if
// this node was cut off, the caller heard no answer and repeated its INVITE to the next owner. live has the calls whose
// states are there. The error is an AwayError.
func (s *Seat) Unknown(ctx context.Context, calls, live []record.Saved) (unknown []string, err error) {
	var ids, callIDs []string
	var started []time.Time
	var answered []bool
	for i := range calls {
		r := &calls[i].Record
		if calls[i].Owed || slices.ContainsFunc(live, func(l record.Saved) bool { return isRepeated(r, &l.Record) }) {
			continue
		}
		ids, callIDs = append(ids, r.ID), append(callIDs, r.SIPCallID)
		started, answered = append(started, r.StartedAt.Time), append(answered, !r.AnsweredAt.IsZero())
	}
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.fleet.beatWithin)
	defer cancel()
	rows, _ := s.fleet.pool.Query(ctx, selectUnknown, ids, callIDs, started, answered, s.name, inviteLife)
	unknown, err = pgx.CollectRows(rows, pgx.RowTo[string]) // also returns the error of the query
	return unknown, explain(err)
}

// isRepeated reports whether the INVITE of a call that was not answered has made another call elsewhere.
func isRepeated(r, elsewhere *record.Record) bool {
	return r.AnsweredAt.IsZero() && r.SIPCallID != "" && r.SIPCallID == elsewhere.SIPCallID &&
		elsewhere.StartedAt.Sub(r.StartedAt.Time).Abs() <= inviteLife
}

// maxWatched bounds the calls of a seat that a standby remembers, and also the ended ones.
const maxWatched = 100_000

// watch remembers for a day which calls of the seat end while this node stands by, because anyone who can write to the
// database may put an old state back.
func (s *Seat) watch(ctx context.Context) {
	rows, _ := s.fleet.pool.Query(ctx, readLive, s.name, maxWatched) // the rows return the error
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(ids) == maxWatched { // if there are more, it is unknown which ones are gone
		return
	}
	gone, now := s.live, time.Now()
	s.live = map[string]bool{}
	for _, id := range ids {
		s.live[id] = true
		delete(gone, id)
	}
	for id := range gone {
		s.ended[id] = now
		s.order = append(s.order, id)
	}
	for len(s.order) > maxWatched || len(s.order) > 0 && now.Sub(s.ended[s.order[0]]) > 24*time.Hour {
		delete(s.ended, s.order[0])
		s.order = s.order[1:]
	}
}

// Ended reports whether this node saw a call end after its state was noted. If so, it removes the state.
func (s *Seat) Ended(ctx context.Context, id string, noted time.Time) bool {
	s.fleet.beating.Lock()
	defer s.fleet.beating.Unlock()
	if !noted.Before(s.ended[id]) {
		return false
	}
	_, _ = s.fleet.pool.Exec(ctx, removeStates, s.name, s.id, s.epoch.Load(), []string{id}) // else the next owner does
	return true
}

// Seats returns all seats, in the order of their names. The error is an AwayError.
func (r *Reader) Seats(ctx context.Context) ([]Owner, error) {
	ctx, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	rows, _ := r.pool.Query(ctx, selectSeats+` ORDER BY seat LIMIT 10000`) // the rows return the error
	owners, err := pgx.CollectRows(rows, rowToOwner)
	return owners, explain(err)
}
