package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"flowbridge/store/record"
)

// Store writes and reads one database file. Its methods may be called from any goroutine.
type Store struct {
	*Reader // has separate connections; constant after Open, like the fields below

	key     [32]byte
	replica Replica // may be nil

	Found
	database         // owned by the writer, like the fields below
	db       *sql.DB // nil until it is open
	journal  *journal

	*connection
	bindings
	outbox

	// Atomic, written by the writer.
	writing work
	aside   atomic.Pointer[string] // name of the damaged file, if one was set aside
	broken  atomic.Pointer[error]

	condemned atomic.Bool // the writer has found the file damaged
}

// Open opens the file for writing, creates it if it is missing (mode 0600), updates its schema and closes the calls
// that a killed process left open. If the file is damaged, Open sets it aside and starts a new one. If the disk takes
// no writes, the file is opened as soon as it does, and until then Err says why it is not. Open refuses a file that
// another process writes. consumers get an item in the outbox for each finished call; SetConsumers changes them.
func Open(ctx context.Context, path string, consumers ...string) (*Store, error) {
	s, err := open(ctx, path, defaultQueue, consumers)
	if err != nil {
		s, err = openAnew(ctx, path, err, consumers)
	}
	if err != nil && refusesWrites(err) {
		return openWithout(ctx, path, err, consumers)
	}
	return s, err
}

// OpenTaken is like Open, for a file that another process has given up by Pause, with that process's lock. The calls in
// its journal continue: this process journals them again.
func OpenTaken(ctx context.Context, path string, lock *os.File, consumers ...string) (*Store, error) {
	return openLocked(ctx, path, defaultQueue, consumers, lock, true)
}

func open(ctx context.Context, path string, limit int, consumers []string) (*Store, error) {
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	return openLocked(ctx, path, limit, consumers, lock, false)
}

func newStore(path string, lock *os.File, limit int, consumers []string) *Store {
	s := &Store{
		database:   database{path: path, lock: lock},
		connection: &connection{queue: newQueue(limit), done: make(chan struct{})},
	}
	s.failing = s.Err
	s.outbox = outbox{connection: s.connection, consumers: slices.Clone(consumers), filled: make(chan struct{})}
	s.waiting = func(ctx context.Context) (map[string]int64, error) { return s.OutboxSize(ctx) }
	s.bindings = bindings{store: s}
	return s
}

func openLocked(ctx context.Context, path string, limit int, consumers []string, lock *os.File,
	taken bool,
) (_ *Store, err error) {
	s := newStore(path, lock, limit, consumers)
	defer func() {
		if err == nil {
			return
		}
		if s.journal != nil { // the next process can start with everything this one has found
			err = errors.Join(err, s.journal.leave())
		}
		err = errors.Join(err, s.release())
	}()
	if err := create(path); err != nil {
		return nil, err
	}
	if s.file, err = os.Stat(path); err != nil {
		return nil, explain(path, err)
	}
	if s.db, err = openWriter(ctx, path); err != nil {
		return nil, err
	}
	if s.key, err = signalKey(ctx, path, s.db); err != nil {
		return nil, explain(path, fmt.Errorf("signalling key: %w", err))
	}
	if s.Recovered, err = s.takeUnwritten(ctx); err != nil {
		return nil, explain(path, fmt.Errorf("%s: %w", unwrittenName(path), err))
	}
	seal, err := sealing(s.key)
	switch {
	case err != nil:
	case taken: // the old process may still continue its journal
		s.journal, err = openBeside(path, seal)
	default:
		err = s.closeInterrupted(ctx, seal, time.Now())
	}
	if err != nil {
		return nil, explain(path, fmt.Errorf("journal: %w", err))
	}
	if s.Reader, err = openReader(path); err != nil {
		return nil, explain(path, err)
	}
	s.ground = newGround(path)
	w := &writer{s: s, backOff: firstBackOff}
	if err = w.open(ctx); err != nil {
		return nil, explain(path, err)
	}
	go s.journal.beat(s.done)
	go w.run()
	return s, nil
}

// Taken records that the old process has ended, and that its calls are in this process's journal: the old journal is no
// longer needed. From now on, the lock names this process.
func (s *Store) Taken() {
	s.journal.predecessorGone()
	// Run it in the writer, which owns the lock.
	_ = s.queue.ask(job{done: make(chan error, 1), run: func(context.Context, *sql.Conn) error {
		sign(s.lock)
		return nil
	}})
}

// release closes everything that is open. The lock comes last.
func (s *Store) release() error {
	var errs []error
	if s.Reader != nil {
		errs = append(errs, s.Reader.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.held != nil {
		errs = append(errs, s.held.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Key returns the random signalling key. It is made once and kept in the database, with a copy beside it.
func (s *Store) Key() [32]byte { return s.key }

// Err returns the current write error, or nil if the last transaction was committed and the last state of a live call
// written.
func (s *Store) Err() error {
	if p := s.broken.Load(); p != nil {
		return *p
	}
	_, err := s.journal.state()
	return err
}

// JournalErr returns why the states of live calls are not written, or nil if they are.
func (s *Store) JournalErr() error {
	_, err := s.journal.state()
	return err
}

// Dropped returns how many journal entries were dropped because the disk was too slow.
func (s *Store) Dropped() int64 {
	dropped, _ := s.journal.state()
	return dropped
}

// Journal writes the record of a live call so far to the journal, with the state from which another process can
// continue the call; state is nil if it can't. When Journal returns, both are in the file, unless another call is
// writing, which then writes them, too. It waits for nothing else.
func (s *Store) Journal(r record.Record, state []byte) {
	if r.ID != "" {
		s.note(callState, &r, state, time.Now())
	}
}

// note writes a record with its time to the journal and the replica.
func (s *Store) note(kind entryKind, r *record.Record, kept []byte, now time.Time) {
	room := takeRoom()
	defer room.release()
	room.noted = record.AppendRecord(record.TimeOf(now).AppendTo(room.noted[:0]), r)
	s.journal.keep(kind, r.ID, room, kept, now)
	s.replicate(kind, r, room.noted, kept)
}

// Owe stores for the next process the messages that a finished call owes its peers. state is nil if it owes none any
// more.
func (s *Store) Owe(id string, state []byte) {
	if state == nil {
		s.journal.paid(id)
		return
	}
	s.journal.placeSealed(callOwes, owedID(id), state)
}

// Put stores a finished call and returns when it is committed. It may be repeated: the first record of an id stays. If
// ctx ends first, Put returns ctx's error, and the record is written as soon as possible. If the queue stays full until
// ctx ends, only the journal keeps the call, for the next Open; the error says so.
func (s *Store) Put(ctx context.Context, r record.Record) error {
	done := make(chan error, 1)
	f, full, err := s.begin(&r, nil, func(err error) { done <- err })
	for ; full != nil && err == nil; full, err = s.queue.put(f) {
		select {
		case <-full:
		case <-s.done:
			return fmt.Errorf("put: record %s: %w", r.ID, errClosed)
		case <-ctx.Done():
			return fmt.Errorf("put: record %s: %w: %w", r.ID, errFull, ctx.Err())
		}
	}
	if err != nil {
		return fmt.Errorf("put: record %s: %w", r.ID, err)
	}
	return s.wait(ctx, done, "put: record "+r.ID)
}

// Keep is like Put, but does not wait: done gets the result, once, on any goroutine. If a record is still not committed
// when the store has closed, only the journal keeps it, and done is not called. r must not change any more. owes is as
// for Owe.
func (s *Store) Keep(ctx context.Context, r *record.Record, owes []byte, done func(error)) {
	if _, full, err := s.begin(r, owes, done); full != nil || err != nil {
		go func() { done(s.Put(ctx, *r)) }() // ends with the store
	}
}

// begin queues a finished call, and notes the messages that it owes. If the queue is full, it returns a channel to wait
// for room.
func (s *Store) begin(r *record.Record, owes []byte, done func(error)) (f *finish, full <-chan struct{}, err error) {
	if r.ID == "" {
		return nil, nil, errNoID
	}
	f = newFinish(r)
	f.done = []func(error){done}
	s.note(callEnded, f.record, owes, time.Now())
	full, err = s.queue.put(f)
	return f, full, err
}

// Flush returns when everything stored so far is committed, or in the journal's file.
func (s *Store) Flush(ctx context.Context) error {
	if err := s.do(ctx, "flush", s.writeBindings); err != nil {
		return err
	}
	return s.journal.wait(ctx)
}

// Alive notes that the process runs. After a kill, its live calls count as having lasted until the last such moment or
// the journal's last beat. Alive also retries entries and registrations that the disk did not take. Its error reports,
// once, which parts of the journal could not be read.
func (s *Store) Alive(ctx context.Context, now time.Time) error {
	return s.do(ctx, "alive", func(wctx context.Context, c *sql.Conn) error {
		if _, err := c.ExecContext(wctx, setAlive, s.journal.moment(now).text()); err != nil {
			return err
		}
		lost := s.lost
		s.lost = nil
		return errors.Join(s.writeBindings(wctx, c), s.journal.tend(), s.journal.lost(), lost)
	})
}

// Leave closes the store of a process that could not start. The calls that it should have continued stay in the journal
// for the next process, as after a kill.
func (s *Store) Leave() error {
	s.queue.close()
	<-s.done
	return errors.Join(s.journal.leave(), s.release())
}

// Close writes everything that is pending, refuses later work, and releases the file. If the disk refuses the rest for
// several seconds, the finished calls go to a file beside the database, which the next Open reads. The error says so,
// or says that they are lost.
func (s *Store) Close() error {
	first := s.queue.close()
	<-s.done
	if !first {
		return nil
	}
	err := errors.Join(s.journal.close(), s.release())
	if p := s.broken.Load(); p != nil {
		var left []record.Record
		for _, f := range s.queue.take().order {
			left = append(left, *f.record)
		}
		if len(left) == 0 {
			return errors.Join(fmt.Errorf("store %s: %w", s.path, *p), err)
		}
		file, saveErr := saveUnwritten(s.path, left)
		if saveErr != nil {
			return errors.Join(fmt.Errorf("store %s: %d finished calls are lost: %w", s.path, len(left), *p), saveErr, err)
		}
		return errors.Join(fmt.Errorf("store %s: %d finished calls could not be written, and are in %s: %w", s.path,
			len(left), file, *p), err)
	}
	if err != nil {
		return fmt.Errorf("store %s: close: %w", s.path, err)
	}
	return nil
}
