package store

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"flowbridge/store/record"
)

// openRaw opens a file without our rules.
func openRaw(path string) (*sql.DB, error) { return openDB(dsn(path, "rw")) }

// rawDB is openRaw for as long as the test.
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

// openNew opens a store in a directory of its own.
func openNew(tb testing.TB) (path string, s *Store) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "f.db")
	return path, openTest(tb, path)
}

// statesAt reads the files of a journal.
func statesAt(path string) (map[string]lastState, error) {
	files, err := readJournal(path)
	return files.lastStates(), err
}

// testSeal seals the states of tests.
var testSeal, _ = sealing([32]byte{1})

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// note notes a record as a store does that has this journal.
func (j *journal) note(kind entryKind, r *record.Record, kept []byte, now time.Time) {
	(&Store{journal: j}).note(kind, r, kept, now)
}
