package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	errLocked = errors.New("database is in use by another process")
	errNewer  = errors.New("database was written by a newer version of flowbridge")
	errOlder  = errors.New("database was written by an older version of flowbridge")
	// errCorrupt means that the file is not a SQLite database, or is damaged.
	errCorrupt  = errors.New("file is not a readable database")
	errForeign  = errors.New("database belongs to another program")
	errNotThere = errors.New("no database there")
)

// applicationID marks Flowbridge's databases in the file's header: "Flow".
const applicationID = 0x466c6f77

// dsn returns the driver's name for the file. rwc creates it, rw does not; query_only keeps readers from writing.
func dsn(path, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}}
	for _, p := range append([]string{"busy_timeout(5000)"}, pragmas...) {
		q.Add("_pragma", p)
	}
	name := (&url.URL{Path: path}).EscapedPath()
	if strings.HasPrefix(name, "//") { // SQLite would take the first element for a host
		name = "/" + strings.TrimLeft(name, "/")
	}
	return "file:" + name + "?" + q.Encode()
}

// lockFile locks the database for this process.
func lockFile(path string) (*os.File, error) {
	f, err := openLock(path)
	if errors.Is(err, unix.EROFS) {
		f, err = os.Open(path)
	}
	return holdLock(path, f, err)
}

// openOwn opens a file beside the database. The server's user owns the directory, and a link there must not lead
// another user's process, such as root's restore, elsewhere.
func openOwn(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag|unix.O_NOFOLLOW, 0o600)
}

// openLock opens the lock's file. A read-only file can be locked, too.
func openLock(path string) (*os.File, error) {
	name := path + ".lock"
	f, err := openOwn(name, os.O_RDWR|os.O_CREATE)
	if errors.Is(err, unix.EROFS) {
		if f, openErr := openOwn(name, os.O_RDONLY); openErr == nil {
			return f, nil
		}
	}
	return f, err
}

// holdLock locks f. err is the error from opening it.
func holdLock(path string, f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, fmt.Errorf("store %s: lock: %w; check store.path and the rights of its directory", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 20)
		n, _ := f.ReadAt(holder, 0)
		_ = f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("store %s: lock: %w", path, err)
		}
		who := ""
		if pid, err := strconv.Atoi(strings.TrimSpace(string(holder[:n]))); err == nil {
			who = fmt.Sprintf(" (pid %d)", pid)
		}
		return nil, fmt.Errorf("store %s: %w%s; stop the other process, or set another store.path", path, errLocked, who)
	}
	sign(f)
	return f, nil
}

// sign writes this process's pid to the lock's file. It is only for people: the lock holds without it.
func sign(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
}

// create creates the file before SQLite does, so that other users can't read it. The -wal and -shm files inherit its
// mode. A link may lead to an existing database.
func create(path string) error {
	f, err := openOwn(path, os.O_RDWR|os.O_CREATE)
	if errors.Is(err, unix.ELOOP) {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return fmt.Errorf("store %s: %w; check store.path and the rights of its directory", path, err)
	}
	return f.Close()
}

// openWriter opens the writing connection and updates the schema. A new file can give back free pages (auto_vacuum);
// the setting has no effect on an existing file.
func openWriter(ctx context.Context, path string) (*sql.DB, error) {
	db, err := openDB(dsn(path, "rwc", "auto_vacuum(2)", "journal_mode(WAL)", "synchronous(NORMAL)",
		"journal_size_limit(67108864)", "wal_autocheckpoint(4000)", "foreign_keys(1)", "secure_delete(1)"))
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		_ = db.Close()
		return nil, explain(path, err)
	}
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	var app, tables int64
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&app); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	if app != applicationID {
		if app != 0 || tables != 0 {
			return errForeign
		}
		if _, err := db.ExecContext(ctx, `PRAGMA application_id = `+strconv.Itoa(applicationID)); err != nil {
			return err
		}
	}
	if tables > 0 { // goose tries for 3 s to read its table, and live calls have no audio until the store is open
		if err := db.QueryRowContext(ctx, `SELECT version_id FROM goose_db_version WHERE version_id = 0`).
			Scan(new(int64)); err != nil {
			return err
		}
	}
	p, err := provider(db)
	if err != nil {
		return err
	}
	current, newest, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > newest {
		return fmt.Errorf("%w (schema %d, this version knows %d)", errNewer, current, newest)
	}
	_, err = p.Up(ctx)
	return err
}

func provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithLogger(goose.NopLogger()))
}

// newestSchema returns the schema version after all migrations.
func newestSchema() int64 {
	files, _ := fs.Glob(migrations, "migrations/*.sql") // fails only for a bad pattern
	return int64(len(files))
}

// isDamaged reports whether an error means that the file is not a database, or is damaged.
func isDamaged(err error) bool {
	return isCode(err, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
}

// explain adds a remedy to an error from opening.
func explain(path string, err error) error {
	if isDamaged(err) {
		err = fmt.Errorf("%w (%w)", errCorrupt, err)
	}
	remedy := ""
	switch {
	case errors.Is(err, errCorrupt):
		remedy = "; restore it from a backup, or move it away to start with an empty one"
	case errors.Is(err, errNewer):
		remedy = "; start the newer version, or name another file in store.path"
	case errors.Is(err, errForeign):
		remedy = "; name another file in store.path"
	}
	return fmt.Errorf("store %s: %w%s", path, err, remedy)
}

// signalKey reads the signalling key. The first start makes a new key, or uses the copy of a removed database's key.
func signalKey(ctx context.Context, path string, db *sql.DB) ([32]byte, error) {
	fresh := keyBeside(path)
	if fresh == nil {
		fresh = make([]byte, keySize)
		_, _ = rand.Read(fresh) // never fails
	}
	const insert = `INSERT INTO meta (name, value) VALUES ('signal_key', ?) ON CONFLICT (name) DO NOTHING`
	if _, err := db.ExecContext(ctx, insert, fresh); err != nil {
		return [32]byte{}, err
	}
	var kept []byte
	if err := db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'signal_key'`).Scan(&kept); err != nil {
		return [32]byte{}, err
	}
	if len(kept) != keySize {
		return [32]byte{}, fmt.Errorf("it has %d bytes: %w", len(kept), errCorrupt)
	}
	keepKeyBeside(path, kept)
	return [32]byte(kept), nil
}

const keySize = 32

// keyName returns the name of the file with a copy of the signalling key. Without the copy, all live calls would be
// lost with a damaged or removed database.
func keyName(path string) string { return path + ".key" }

// keyBeside reads the copy of the key, or returns nil if there is none.
func keyBeside(path string) []byte {
	key, err := os.ReadFile(keyName(path))
	if err != nil || len(key) != keySize {
		return nil
	}
	return key
}

// keepKeyBeside writes the copy of the key if it is missing. An error loses only the copy; the next start tries
// again.
func keepKeyBeside(path string, key []byte) {
	if bytes.Equal(keyBeside(path), key) {
		return
	}
	fresh := keyName(path) + ".new"
	f, err := openOwn(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return
	}
	if _, err = f.Write(key); errors.Join(err, f.Close()) == nil {
		_ = os.Rename(fresh, keyName(path))
	}
}
