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

// SetAside returns the name that the last damaged database was given, by Open or later, or "". That file still contains
// its records and the items of its outbox.
func (s *Store) SetAside() string {
	if p := s.aside.Load(); p != nil {
		return *p
	}
	return ""
}

// openAnew replaces a file that could not be opened because it is damaged. It keeps the signalling key if it can be
// read from the file or from the key's copy.
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

// isDamagedFile reports whether a file that could not be opened is a damaged database. A text file is not: it belongs
// to another program, and store.path is wrong. If the disk takes no writes, the file is not checked, because calls wait
// for the start.
func isDamagedFile(ctx context.Context, path string, why error) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was only used for reading
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

// failsCheck reports whether SQLite finds the database damaged. It reads the whole file.
func failsCheck(ctx context.Context, path string) bool {
	db, err := openDB(dsn(path, "rw", "query_only(1)"))
	if err != nil {
		return false
	}
	defer func() { _ = db.Close() }() // it was only used for reading
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

// sizes holds the sizes of the file and of its log.
type sizes struct{ file, wal int64 }

// truncated reports whether the file or its log was truncated while the process had it open. SQLite also shortens them,
// so a shorter file is checked.
func (w *writer) truncated(ctx context.Context) bool {
	now, was := sizes{}, w.sizes
	switch st, err := os.Stat(w.s.path); {
	case err == nil && os.SameFile(st, w.s.file):
		now.file = st.Size()
	case err == nil && st.Size() > 0: // it belongs to another program, and stays as it is
		return false
	default: // the file is missing
		now.file = max(was.file, 1)
	}
	if st, err := os.Stat(w.s.path + "-wal"); err == nil {
		now.wal = st.Size()
	}
	w.sizes = now
	if now.file == 0 { // SQLite would take it for a new database and remove its log
		return true
	}
	return (now.file < was.file || now.wal < was.wal) && failsCheck(ctx, w.s.path)
}

// keyOf returns the signalling key of a damaged or unwritable file, or nil if it can't be read. name is the file's dsn.
func keyOf(ctx context.Context, name string) (key []byte) {
	db, err := openDB(name)
	if err != nil {
		return nil
	}
	defer func() { _ = db.Close() }() // it was only used for reading
	err = db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'signal_key'`).Scan(&key)
	if err != nil || len(key) != keySize {
		return nil
	}
	return key
}

// asideName returns a name that no file has. It is new even if the wall clock was set back.
func asideName(path string) string {
	for at := time.Now().UTC(); ; at = at.Add(time.Millisecond) {
		name := path + ".damaged-" + at.Format("20060102T150405.000Z")
		if _, err := os.Lstat(name); err != nil {
			return name
		}
	}
}

// setAside gives a damaged file and its log another name. The log may have data that repairs the file; SQLite's index
// of the log is useless. given is empty if the file no longer exists. If possible the file keeps its own name, too: if
// the process is killed before the new file is in place, the next one must find a file.
func setAside(path, name string) (given string, err error) {
	err = os.Link(path, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // the file system has no links
		err = os.Rename(path, name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // the file was removed
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

// replaceDamaged sets a damaged file aside and puts a new one in its place. The new file is complete before the damaged
// one is touched, because that may have the only key of the journal. After an error nothing has changed.
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

// removeDatabase removes an unfinished database file, with its log and index.
func removeDatabase(path string) {
	for _, more := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(path + more)
	}
}

const setKey = `INSERT INTO meta (name, value) VALUES ('signal_key', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`

// setSequence makes the outbox of a new file number its items from after a number.
const setSequence = `INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)`

// beginAnew creates a new file beside a database. The new file has the signalling key (if key is nil, Open makes one),
// the records that are still in the journal, and the registrations of the old file.
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
	// Items of the old file that are being delivered have other numbers. So when they have been delivered, they don't
	// delete one of these.
	_, err = db.ExecContext(ctx, setSequence, rand.Int64N(1<<52))
	if err == nil && key != nil {
		_, err = db.ExecContext(ctx, setKey, key)
	}
	if err == nil { // on a full disk this waits; any other error loses only these records
		kept := errors.Join(keepJournalled(ctx, db, path, consumers), keepRegistered(ctx, db, path))
		if refusesWrites(kept) {
			err = kept
		}
	}
	return fresh, err
}

// keepRegistered copies the registrations that can be read from a damaged file. A process that has them in memory
// writes them again.
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

// registeredIn returns the registrations that can be read from a file, by holder, as JSON.
func registeredIn(ctx context.Context, path string) map[string]string {
	all := map[string]string{}
	db, err := openDB(dsn(path, "rw", "query_only(1)"))
	if err != nil {
		return all
	}
	defer func() { _ = db.Close() }() // it was only used for reading
	var holder, bindings sql.NullString
	_ = eachRow(ctx, db, []any{&holder, &bindings}, func() {
		if holder.Valid && json.Valid([]byte(bindings.String)) {
			all[holder.String] = bindings.String
		}
	}, selectBindings) // the error is known; rows read before it are kept
	return all
}

// suspectEvery is how long a file counts as intact after a reader reported damage and the check found none. By then the
// last connections to the old file are closed.
const suspectEvery = time.Minute

// suspected reports whether a reader has reported damage and a check confirms it. A reader that started before the
// damaged file was set aside may have meant that file.
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

// renew sets the damaged file aside while the process runs, and continues with a new one. After an error it is retried.
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
	w.forgetConnections() // including those that have the old file open
	file, err := os.Stat(w.s.path)
	if err != nil {
		return err
	}
	w.s.file, w.s.wal, w.sizes = file, nil, sizes{}
	w.renews, w.whole = false, time.Now()
	return w.open(ctx)
}

// forgetConnections closes idle connections: a connection belongs to a file, not to a name.
func (w *writer) forgetConnections() {
	w.s.db.SetMaxIdleConns(0)
	w.s.db.SetMaxIdleConns(readers)
	w.s.again()
}
