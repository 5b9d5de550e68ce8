package store

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"flowbridge/store/record"
)

// openRaw opens a file without the store's rules.
func openRaw(path string) (*sql.DB, error) { return openDB(dsn(path, "rw")) }

// rawDB is openRaw for the duration of the test.
func rawDB(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := openRaw(path)
	must(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// execute runs a statement.
func execute(tb testing.TB, db execer, stmt string, args ...any) {
	tb.Helper()
	_, err := db.ExecContext(tb.Context(), stmt, args...)
	must(tb, err)
}

// execer is a database, or a connection to one.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// openNew opens a store in a new directory.
func openNew(tb testing.TB) (path string, s *Store) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "f.db")
	return path, openTest(tb, path)
}

// statesAt reads the states in the files of a journal.
func statesAt(path string) (map[string]lastState, error) {
	files, err := readJournal(path)
	return files.lastStates(), err
}

// testSeal seals the states in tests.
var testSeal, _ = sealing([32]byte{1})

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// note adds a record to the journal as a store does.
func (j *journal) note(kind entryKind, r *record.Record, kept []byte, now time.Time) {
	(&Store{journal: j}).note(kind, r, kept, now)
}
