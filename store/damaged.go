package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"
	"unicode/utf8"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// SetAside is the name that the damaged database was given last, by Open or later; empty: none was. Its records are
// there, and so are the items of its outbox.
func (s *Store) SetAside() string {
	if p := s.aside.Load(); p != nil {
		return *p
	}
	return ""
}

// openAnew opens a new file in the place of one that could not be opened because it is damaged. It keeps the signalling
// key if that, or its copy, can still be read.
func openAnew(ctx context.Context, path string, why error, consumers []string) (*Store, error) {
	if !isDamagedFile(ctx, path, why) {
		return nil, why
	}
	key := keyOf(ctx, dsn(path, "rw", "query_only(1)"))
	if key == nil {
		key = keyBeside(path)
	}
	name, err := replaceDamaged(ctx, path, key, consumers)
	if err != nil {
		return nil, errors.Join(why, err)
	}
	s, err := open(ctx, path, defaultQueue, consumers)
	if err != nil {
		return nil, err
	}
	if name != "" {
		s.aside.Store(&name)
	}
	return s, nil
}

// isDamagedFile says whether a file that could not be opened is a damaged database. A file of text is not: it is
// somebody else's, and store.path is wrong. Where the disk takes nothing, the file is not looked through: calls wait
// for the start.
func isDamagedFile(ctx context.Context, path string, why error) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was only read
	if isAny(why, errLocked, errNewer, errForeign) || takesNothing(why) {
		return false
	}
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	head = head[:n]
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	if !bytes.HasPrefix(head, []byte("SQLite format 3\x00")) && utf8.Valid(head) && !bytes.Contains(head, []byte{0}) {
		return false
	}
	return errors.Is(why, errCorrupt) || failsCheck(ctx, path)
}

// failsCheck says whether SQLite finds that the database is damaged. It reads all of it.
func failsCheck(ctx context.Context, path string) bool {
	db, err := openDB(dsn(path, "rw", "query_only(1)"))
	if err != nil {
		return false
	}
	defer func() { _ = db.Close() }() // it was only read
	var says string
	var app int64
	err = db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&says)
	if err == nil {
		err = db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&app)
	}
	if err != nil {
		code, ok := errors.AsType[*sqlite.Error](err)
		return isDamaged(err) || ok && code.Code() == sqlite3.SQLITE_IOERR_SHORT_READ
	}
	return says != "ok" || app != applicationID
}

// sizes are the sizes of the file and of its log.
type sizes struct{ file, wal int64 }

// truncated says whether somebody has truncated the file or its log under the process. SQLite makes them shorter, too,
// so a shorter one is looked through.
func (w *writer) truncated(ctx context.Context) bool {
	now, was := sizes{}, w.sizes
	switch st, err := os.Stat(w.s.path); {
	case err == nil && os.SameFile(st, w.s.file):
		now.file = st.Size()
	case err == nil && st.Size() > 0: // somebody else's, which is left alone
		return false
	default: // it is not there
		now.file = max(was.file, 1)
	}
	if st, err := os.Stat(w.s.path + "-wal"); err == nil {
		now.wal = st.Size()
	}
	w.sizes = now
	if now.file == 0 { // SQLite would take it for a new one, and remove its log
		return true
	}
	return (now.file < was.file || now.wal < was.wal) && failsCheck(ctx, w.s.path)
}

// keyOf is the signalling key of a file that is damaged or can't be written, by its dsn; nil: it can't be read.
func keyOf(ctx context.Context, name string) (key []byte) {
	db, err := openDB(name)
	if err != nil {
		return nil
	}
	defer func() { _ = db.Close() }() // it was only read
	err = db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'signal_key'`).Scan(&key)
	if err != nil || len(key) != keySize {
		return nil
	}
	return key
}

// asideName is a name that no file has: the wall clock may have been set back.
func asideName(path string) string {
	for at := time.Now().UTC(); ; at = at.Add(time.Millisecond) {
		name := path + ".damaged-" + at.Format("20060102T150405.000Z")
		if _, err := os.Lstat(name); err != nil {
			return name
		}
	}
}

// setAside gives a damaged file another name, with its log, which may have what mends it; empty: there is no such file
// any more. SQLite's index of the log is useless. The file keeps its own name, too, where it can: a process that is
// killed before another one is in its place must find one.
func setAside(path, name string) (given string, err error) {
	err = os.Link(path, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a file system without links
		err = os.Rename(path, name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // somebody has removed it
		name = ""
		_ = os.Remove(path + "-wal")
	case err != nil:
		return "", fmt.Errorf("set the damaged file aside: %w", err)
	default:
		if err := os.Rename(path+"-wal", name+"-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set the damaged file's log aside: %w", err)
		}
	}
	_ = os.Remove(path + "-shm")
	return name, nil
}

// replaceDamaged sets a damaged file aside and puts a new one in its place. The new one is whole before the other,
// which may have the only key of the journal, is touched: after an error everything is as it was.
func replaceDamaged(ctx context.Context, path string, key []byte, consumers []string) (name string, err error) {
	fresh, err := beginAnew(ctx, path, key, consumers)
	if err != nil {
		removeDatabase(fresh)
		return "", err
	}
	if name, err = setAside(path, asideName(path)); err != nil {
		return "", err
	}
	return name, os.Rename(fresh, path)
}

// removeDatabase removes what is left of a file that was begun.
func removeDatabase(path string) {
	for _, more := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(path + more)
	}
}

const setKey = `INSERT INTO meta (name, value) VALUES ('signal_key', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`

// setSequence has the outbox of a new file number its items from behind a number.
const setSequence = `INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)`

// beginAnew makes a new file beside a database, with a signalling key, or without one, which Open makes; with the
// records that the journal still has; and with the registrations of the old file.
func beginAnew(ctx context.Context, path string, key []byte, consumers []string) (fresh string, err error) {
	fresh = path + ".new"
	removeDatabase(fresh)
	if err := create(fresh); err != nil {
		return fresh, err
	}
	db, err := openWriter(ctx, fresh)
	if err != nil {
		return fresh, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// An item of the old file that is under way has another number: once delivered, it must not take one of these.
	_, err = db.ExecContext(ctx, setSequence, rand.Int64N(1<<52))
	if err == nil && key != nil {
		_, err = db.ExecContext(ctx, setKey, key)
	}
	if err == nil { // a disk that takes nothing is waited for; another error costs these records alone
		kept := errors.Join(keepJournalled(ctx, db, path, consumers), keepRegistered(ctx, db, path))
		if refusesWrites(kept) {
			err = kept
		}
	}
	return fresh, err
}

// keepRegistered keeps the registrations of a damaged file, as far as they can be read. A process that has them keeps
// them once more.
func keepRegistered(ctx context.Context, db *sql.DB, path string) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		for holder, bindings := range registeredIn(ctx, path) {
			if _, err := tx.ExecContext(ctx, insertBindings, holder, bindings); err != nil {
				return err
			}
		}
		return nil
	})
}

// registeredIn gives what can be read of the registrations of a file, by holder, as JSON.
func registeredIn(ctx context.Context, path string) map[string]string {
	all := map[string]string{}
	db, err := openDB(dsn(path, "rw", "query_only(1)"))
	if err != nil {
		return all
	}
	defer func() { _ = db.Close() }() // it was only read
	var holder, bindings sql.NullString
	_ = eachRow(ctx, db, []any{&holder, &bindings}, func() {
		if holder.Valid && json.Valid([]byte(bindings.String)) {
			all[holder.String] = bindings.String
		}
	}, selectBindings) // the damage is known, and what came before it is kept
	return all
}

// suspectEvery is how long a file counts as whole that was looked through because somebody has found it damaged.
// Until then the last connections to the old file are closed.
const suspectEvery = time.Minute

// suspected says whether a reader has found that the file is damaged, and it is. Who began to read before the damaged
// one was set aside speaks of that.
func (w *writer) suspected(ctx context.Context) bool {
	if !w.s.damaged.Swap(false) || time.Since(w.whole) < suspectEvery {
		return false
	}
	if failsCheck(ctx, w.s.path) {
		return true
	}
	w.whole = time.Now()
	return false
}

// renew sets the damaged file aside under the process, and goes on with a new one. After an error it is tried again.
func (w *writer) renew(ctx context.Context) error {
	if !w.renews {
		w.close()
		name, err := replaceDamaged(ctx, w.s.path, w.s.key[:], w.s.consumers)
		if err != nil {
			w.s.condemned.Store(true)
			return err
		}
		w.renews = true
		if name != "" {
			w.s.aside.Store(&name)
		}
	}
	w.forgetConnections() // with those that see the old file
	file, err := os.Stat(w.s.path)
	if err != nil {
		return err
	}
	w.s.file, w.s.wal, w.sizes = file, nil, sizes{}
	w.renews, w.whole = false, time.Now()
	return w.open(ctx)
}

// forgetConnections has new ones opened: connections know files, not names.
func (w *writer) forgetConnections() {
	w.s.db.SetMaxIdleConns(0)
	w.s.db.SetMaxIdleConns(readers)
	w.s.again()
}
