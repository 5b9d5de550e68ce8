package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"flowbridge/store/record"
)

// A full or read-only disk must not stop calls. So if the database exists but can't be opened for writing, the process
// starts without it: with the signalling key that it could read, the calls of the journal, and a writer that keeps
// trying to open the database. Until it succeeds, records wait in memory.

// refusesWrites reports whether an error means that the disk takes no writes. That may be repaired.
func refusesWrites(err error) bool {
	return takesNothing(err) || isAny(err, unix.EIO, unix.EFBIG) ||
		isCode(err, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
}

// takesNothing reports whether an error only means that the disk is full or read-only: its data is intact.
func takesNothing(err error) bool {
	return isAny(err, unix.ENOSPC, unix.EDQUOT, unix.EROFS) || isCode(err, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
}

func isAny(err error, of ...error) bool {
	return slices.ContainsFunc(of, func(is error) bool { return errors.Is(err, is) })
}

// isCode reports whether an error is one of the given SQLite errors, by primary code.
func isCode(err error, of ...int) bool {
	code, ok := errors.AsType[*sqlite.Error](err)
	return ok && slices.Contains(of, code.Code()&0xff)
}

// openWithout opens a store whose database could not be opened because its disk takes no writes. Without a key it fails
// with the error why.
func openWithout(ctx context.Context, path string, why error, consumers []string) (_ *Store, err error) {
	key := keyReadOnly(ctx, path)
	if key == nil {
		return nil, fmt.Errorf(
			"%w; the signalling key can't be read either, so the process does not start: give the disk room, make it writable, or name another file in store.path", why)
	}
	lock, err := lockFile(path)
	if err != nil {
		return nil, errors.Join(why, err)
	}
	s := newStore(path, lock, defaultQueue, consumers)
	s.key = [32]byte(key)
	s.broken.Store(&why)
	if err := s.leaveInterrupted(time.Now()); err != nil {
		return nil, errors.Join(why, err, lock.Close())
	}
	if s.Reader, err = openReader(path); err != nil {
		return nil, errors.Join(why, err, s.journal.leave(), lock.Close())
	}
	s.ground = newGround(path)
	w := &writer{s: s, backOff: firstBackOff}
	s.queue.signal()
	go s.journal.beat(s.done)
	go w.run()
	return s, nil
}

// keyReadOnly reads the signalling key of a file that can't be written, or its copy. It returns nil if neither can be
// read. If the log can't be used, the file may still have the key.
func keyReadOnly(ctx context.Context, path string) []byte {
	if key := keyOf(ctx, dsn(path, "ro")); key != nil {
		return key
	}
	if key := keyOf(ctx, unchanging(path)); key != nil {
		return key
	}
	return keyBeside(path)
}

// unchanging returns a dsn that reads the file without its log, as a file that does not change.
func unchanging(path string) string {
	return dsn(path, "ro") + "&" + url.Values{"immutable": {"1"}}.Encode()
}

// leaveInterrupted is closeInterrupted without a database. Records of calls that do not continue wait for the database,
// and all entries of the journal stay until it has them.
func (s *Store) leaveInterrupted(now time.Time) error {
	files, err := readJournal(s.path)
	if err != nil {
		return err
	}
	s.lost = errors.Join(s.lost, files.lost)
	seal, err := sealing(s.key)
	if err != nil {
		return err
	}
	states := files.lastStates()
	for _, l := range leftInFiles(states, seal) {
		l.lives(files.beat())
		switch {
		case l.ended: // its record is written once the disk takes it
		case l.state != nil:
			s.Left = append(s.Left, record.Saved{
				Record: l.record, Interrupted: l.interrupted(now), State: l.state,
				Alive: files.alive,
			})
			continue
		default:
			l.record = l.interrupted(now)
			s.Interrupted = append(s.Interrupted, l.record.ID)
		}
		if _, err := s.queue.put(newFinish(&l.record)); err != nil {
			return err
		}
	}
	s.Left = append(s.Left, owed(seal, states, map[string]lastState{})...)
	s.takeBound(seal, states, map[string]lastState{})
	if len(states) == 0 {
		s.journal = openJournal(s.path, seal)
		return nil
	}
	s.journal = newJournal(s.path, seal)
	s.journal.adopt(&files, states, states)
	return nil
}

// attach opens the database of a store that has started without it.
func (w *writer) attach(ctx context.Context) (err error) {
	s := w.s
	if err := s.lockAgain(); err != nil {
		return err
	}
	switch err := unix.Access(s.path, unix.W_OK); { // does not open the file, which would have to be closed; see held
	case errors.Is(err, fs.ErrNotExist):
		if err := create(s.path); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("store %s: %w; check its disk, and its rights", s.path, err)
	}
	db, err := openWriter(ctx, s.path)
	if err != nil {
		return err
	}
	s.db = db
	if s.file, err = os.Stat(s.path); err == nil {
		_, err = db.ExecContext(ctx, setKey, s.key[:]) // the same key, unless the file is new
	}
	if err == nil {
		_, err = s.takeUnwritten(ctx)
	}
	if err != nil {
		s.db = nil
		return errors.Join(err, db.Close())
	}
	return w.open(ctx)
}

// lockAgain makes the lock the lock on the database's name. On a read-only disk, the lock may have been on the database
// itself.
func (d *database) lockAgain() error {
	if d.lock.Name() != d.path {
		lock, err := d.relock()
		if err == nil && lock != d.lock {
			_ = d.lock.Close()
			d.lock = lock
		}
		return err
	}
	f, err := openLock(d.path)
	lock, err := holdLock(d.path, f, err)
	if err != nil {
		return err
	}
	_ = unix.Flock(int(d.lock.Fd()), unix.LOCK_UN) // the new lock is in force
	d.held, d.lock = d.lock, lock
	return nil
}
