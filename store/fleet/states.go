package fleet

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/s2"

	"flowbridge/internal/parallel"
)

const (
	// A state that a call waits for is held back for gatherFor, so that others can join its statement. Any other state is
	// held back for lagFor, because it can usually go with the state of an answer. A statement costs more than a row.
	// maxStates bounds the states in a statement.
	gatherFor = 2 * time.Millisecond
	lagFor    = 100 * time.Millisecond
	maxStates = 200
	// statesTimeout is the time limit for a write, and awayTimeout the limit for a write after a failed one. retryEvery is
	// the time between tries.
	statesTimeout = 3 * time.Second
	awayTimeout   = time.Second
	retryEvery    = 500 * time.Millisecond
	// maxStateSize bounds a state in the database, in bytes before compression.
	maxStateSize = 1 << 20
)

// writeStates writes nothing if the epoch has changed. Its lock makes a node that takes the seat wait for the commit. A
// renewal does not wait.
const (
	writeStates = `WITH mine AS (SELECT FROM flowbridge_seats WHERE seat = $1 AND owner = $2 AND epoch = $3 FOR KEY SHARE)
		INSERT INTO flowbridge_states AS s (seat, id, state)
		SELECT $1, u.id, u.state FROM mine, unnest($4::text[], $5::bytea[]) AS u(id, state)
		ON CONFLICT (seat, id) DO UPDATE SET state = excluded.state`
	removeStates = `DELETE FROM flowbridge_states WHERE seat = $1 AND id = ANY($4)
		AND EXISTS (SELECT FROM flowbridge_seats WHERE seat = $1 AND owner = $2 AND epoch = $3)`
	// A call that has a record is over.
	readLive = `SELECT left(id, 600) FROM flowbridge_states AS s
		WHERE seat = $1 AND NOT EXISTS (SELECT FROM flowbridge_calls AS c WHERE c.id = s.id) LIMIT $2`
	// The smallest states come first, so that oversized forgeries are the ones left out as unreadable.
	readStates = `SELECT left(id, 600), CASE WHEN octet_length(state) <= 1 << 20 AND total <= 1 << 28 THEN state END FROM (
			SELECT id, state, sum(octet_length(state)) OVER (ORDER BY octet_length(state), id) AS total
			FROM flowbridge_states AS s
			WHERE seat = $1 AND NOT EXISTS (SELECT FROM flowbridge_calls AS c WHERE c.id = s.id)) AS sized`
)

var errState = errors.New("not the state of a call of this seat")

// states queues rows for the database: finished records, registrations, and the states of the seat's calls, from their
// first INVITE to a target on. It keeps the newest row of each id until the database has it.
type states struct {
	seat     *Seat
	pool     *pgxpool.Pool // a pool of one connection
	seal     cipher.AEAD
	patience time.Duration
	wake     chan struct{}
	squeezed []byte // buffer for a state; owned by run

	mu         sync.Mutex // guards the fields below
	waiting    map[string]*waitingState
	written    map[string]*waitingState // states being written
	landed     chan struct{}            // closed at the end of that write
	there      map[string]bool          // ids that the database has; true if the call is answered
	lag        *time.Timer              // writes states that no call waits for
	lags       bool                     // lag is running
	away       bool                     // the last write failed, so calls don't wait for the next one
	gaveUp     bool                     // a call timed out, so calls don't wait until a write succeeds
	notAwaited int64                    // states that calls did not wait for long enough
}

// waitingState is a state on its way to the database.
type waitingState struct {
	text       []byte
	answered   bool
	told       []func() // called when the state is written, or can't be written in time
	kept       time.Time
	notAwaited bool // counted in states.notAwaited
}

// sealOf returns the cipher for states with a key.
func sealOf(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// tell calls the functions that wait for the state; w may be nil.
func (w *waitingState) tell() {
	if w != nil {
		for _, told := range w.told {
			told()
		}
	}
}

func newStates(s *Seat, key []byte, patience time.Duration) (*states, error) {
	seal, err := sealOf(key)
	if err != nil {
		return nil, err
	}
	pool, err := statesPool(s.fleet.pool)
	if err != nil {
		return nil, err
	}
	all := &states{
		seat: s, pool: pool, seal: seal, patience: patience, wake: make(chan struct{}, 1),
		waiting: map[string]*waitingState{}, there: map[string]bool{}, landed: make(chan struct{}),
	}
	close(all.landed)
	all.lag = time.AfterFunc(time.Hour, all.hurry)
	all.lag.Stop()
	return all, nil
}

// statesPool returns a pool for the same database. Its writes count as safe once the database's standby has them in
// memory: waiting for the standby's disk would take longer, and would only help if both machines died at once.
func statesPool(like *pgxpool.Pool) (*pgxpool.Pool, error) {
	if like == nil { // there is no database
		return nil, nil
	}
	cfg := like.Config()
	cfg.MaxConns = 1
	if _, set := cfg.ConnConfig.RuntimeParams["synchronous_commit"]; !set {
		cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "remote_write"
	}
	return pgxpool.NewWithConfig(context.Background(), cfg)
}

// Keep replaces a call's state, or another text, in the database. It does not block. answered says that the call is
// answered and so must be protected.
func (s *Seat) Keep(id string, text []byte, answered bool) {
	all := s.states
	all.mu.Lock()
	defer all.mu.Unlock()
	all.keep(id, text, answered)
}

// Over replaces the state of a finished call by its record. If the database has no state of the call, the record is not
// written: while the database is away, such records would pile up.
func (s *Seat) Over(id string, text []byte) {
	all := s.states
	all.mu.Lock()
	_, there := all.there[id]
	w := all.waiting[id]
	if there || all.written[id] != nil {
		all.keep(id, text, false)
		w = nil
	}
	if w != nil {
		delete(all.waiting, id)
	}
	all.mu.Unlock()
	w.tell()
}

// keep queues a text. The caller holds the lock.
func (all *states) keep(id string, text []byte, answered bool) {
	if _, there := all.there[id]; there && !answered {
		all.there[id] = false
	}
	if before := all.waiting[id]; before != nil {
		before.text, before.answered = text, answered
		return
	}
	all.waiting[id] = &waitingState{text: text, answered: answered, kept: time.Now()}
	if !all.lags {
		all.lags = true
		all.lag.Reset(lagFor)
	}
}

// hurry starts a write of everything that waits.
func (all *states) hurry() { wake(all.wake) }

// wake puts a token into a channel, unless it holds one.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Await calls told once, on another goroutine, when the database has the call's newest state, or when the patience
// ends. If the database already has the state or is away, it returns false and does not call told.
func (s *Seat) Await(id string, told func()) bool {
	all := s.states
	all.mu.Lock()
	defer all.mu.Unlock()
	w := all.waiting[id]
	if w == nil {
		w = all.written[id]
	}
	if w == nil {
		return false
	}
	if all.away || all.gaveUp || all.patience <= 0 {
		all.countNotAwaited(w)
		return false
	}
	once := sync.OnceFunc(told)
	late := time.AfterFunc(all.patience, func() {
		all.mu.Lock()
		if all.waiting[id] == w || all.written[id] == w { // otherwise it has just been written
			all.gaveUp = true
			all.countNotAwaited(w)
		}
		all.mu.Unlock()
		once()
	})
	w.told = append(w.told, func() { late.Stop(); once() })
	all.hurry()
	return true
}

// countNotAwaited counts a state whose call goes on before the database has it. The caller holds the lock.
func (all *states) countNotAwaited(w *waitingState) {
	if !w.notAwaited {
		w.notAwaited = true
		all.notAwaited++
	}
}

// NotAwaited returns how many states the database lacked when their calls went on.
func (s *Seat) NotAwaited() int64 {
	s.states.mu.Lock()
	defer s.states.mu.Unlock()
	return s.states.notAwaited
}

// lateAfter is how long a state may be on its way before it counts as unprotected. On a busy node, some states are
// always on their way.
const lateAfter = time.Second

// counts returns how many answered calls the database has, and how many it should have by now but does not.
func (all *states) counts() (protected, unprotected int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, some := range []map[string]*waitingState{all.waiting, all.written} {
		for id, w := range some {
			if !all.there[id] && w.answered && time.Since(w.kept) > lateAfter {
				unprotected++
			}
		}
	}
	for _, answered := range all.there {
		if answered {
			protected++
		}
	}
	return protected, unprotected
}

// run writes states until ctx ends.
func (all *states) run(ctx context.Context) {
	for {
		select {
		case <-all.wake:
		case <-ctx.Done():
			return
		}
		sleep(ctx, gatherFor)
		for more := true; more && all.take(); {
			err := all.write(ctx)
			more = all.settle(err)
			if err != nil {
				sleep(ctx, retryEvery)
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// take takes states for the next write, and reports whether there are any.
func (all *states) take() bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.lags = false
	all.lag.Stop()
	all.written = map[string]*waitingState{}
	for id, w := range all.waiting {
		if len(all.written) == maxStates {
			break
		}
		all.written[id] = w
		delete(all.waiting, id)
	}
	all.landed = make(chan struct{})
	if len(all.written) == 0 {
		close(all.landed)
	}
	return len(all.written) > 0
}

func (all *states) write(ctx context.Context) error {
	timeout := statesTimeout
	if all.away { // only this goroutine changes it
		timeout = awayTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	f, n := all.seat.fleet, len(all.written)
	ids, sealed := make([]string, 0, n), make([][]byte, 0, n)
	for id, w := range all.written { // only this goroutine changes it
		ids, sealed = append(ids, id), append(sealed, all.sealed(id, w.text))
	}
	if err := f.ready(ctx); err != nil {
		return err
	}
	done, err := all.pool.Exec(ctx, writeStates, all.seat.name, all.seat.id, all.seat.epoch.Load(), ids, sealed)
	switch {
	case err != nil:
		reset(all.pool, err)
		f.unready(err)
	case done.RowsAffected() == 0:
		all.seat.Look()
		err = errState
	}
	return explain(err)
}

func (all *states) sealed(id string, text []byte) []byte {
	all.squeezed = s2.Encode(all.squeezed, text)
	return all.seal.Seal(nil, nil, all.squeezed, bound(all.seat.name, id))
}

// bound returns the associated data with which a state is sealed.
func bound(seat, id string) []byte { return []byte(seat + "\x00" + id) }

// settle ends a write. After an error its states wait again, unless there are newer ones. more reports that the next
// write is due. States that arrived during the write are not due unless a call waits for them; that call hurries the
// write.
func (all *states) settle(err error) (more bool) {
	all.mu.Lock()
	written := all.written
	all.written = nil
	if begun := err != nil && !all.away; begun {
		all.seat.fleet.log.Warn().Err(err).Int("states", len(written)).Msg("answered calls are unprotected: can't write their states to the fleet's database")
	} else if err == nil && all.away {
		all.seat.fleet.log.Info().Msg("writing call states to the fleet's database again")
	}
	all.away, all.gaveUp = err != nil, false
	var told []func()
	for id, w := range written {
		told = append(told, w.told...)
		w.told = nil
		if err == nil {
			all.there[id] = w.answered
		} else if all.waiting[id] == nil {
			all.waiting[id] = w
		}
	}
	close(all.landed)
	all.mu.Unlock()
	for _, tell := range told {
		tell()
	}
	return err != nil || len(written) == maxStates
}

// over forgets calls whose records are about to be written while their states are deleted. It returns when no write of
// their states is in progress.
func (all *states) over(ctx context.Context, ids []string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for {
		busy := false
		for _, id := range ids {
			delete(all.waiting, id)
			delete(all.there, id)
			busy = busy || all.written[id] != nil
		}
		if !busy || ctx.Err() != nil {
			return
		}
		landed := all.landed
		all.mu.Unlock()
		select {
		case <-landed:
		case <-ctx.Done():
		}
		all.mu.Lock()
	}
}

// Flush returns when the database has every state and binding kept so far.
func (s *Seat) Flush(ctx context.Context) error {
	if err := s.fleet.share(ctx); err != nil {
		return err
	}
	all := s.states
	for all.hurry(); ; all.hurry() {
		all.mu.Lock()
		landed, left := all.landed, len(all.waiting)+len(all.written)
		all.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-landed:
			sleep(ctx, gatherFor)
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the fleet's database lacks %d states: %w", left, ctx.Err())
		}
	}
}

// State is the state of a call, in the form given to Keep.
type State struct {
	ID   string
	Text []byte
}

// States reads the states of the seat's calls. unreadable counts the states that are damaged or sealed with another
// secret. They are removed, so that the old owner may write the records of these calls. They are not removed if no
// state at all can be read, because then this node may have the wrong secret. The error is an AwayError.
func (s *Seat) States(ctx context.Context) (read []State, unreadable int, err error) {
	rows, _ := s.fleet.pool.Query(ctx, readStates, s.name) // the rows return the error
	read, err = pgx.CollectRows(rows, pgx.RowToStructByPos[State])
	if err != nil {
		s.fleet.unready(err)
		return nil, 0, explain(err)
	}
	_ = parallel.Do(len(read), func(i int) error {
		read[i].Text = s.states.opened(s.states.seal, s.name, read[i].ID, read[i].Text)
		return nil
	})
	var lost []string
	good := slices.DeleteFunc(read, func(one State) bool {
		if one.Text == nil {
			lost = append(lost, one.ID)
		}
		return one.Text == nil
	})
	if len(good) > 0 && len(lost) > 0 { // if this fails, the seat's next owner removes them
		_, _ = s.fleet.pool.Exec(ctx, removeStates, s.name, s.id, s.epoch.Load(), lost)
	}
	return good, len(lost), nil
}

// opened returns a state that was sealed for a seat, or nil if it is damaged or was sealed with another secret.
func (all *states) opened(seal cipher.AEAD, seat, id string, sealed []byte) []byte {
	squeezed, err := seal.Open(nil, nil, sealed, bound(seat, id))
	if err != nil {
		return nil
	}
	if n, err := s2.DecodedLen(squeezed); err != nil || n > maxStateSize {
		return nil
	}
	text, err := s2.Decode(nil, squeezed)
	if err != nil {
		return nil
	}
	return text
}

// Has records which calls the database already has, and whether they were answered.
func (s *Seat) Has(calls map[string]bool) {
	s.states.mu.Lock()
	defer s.states.mu.Unlock()
	maps.Copy(s.states.there, calls)
}
