package store

import (
	"database/sql"
	"testing"
)

// openRaw opens a file without our rules.
func openRaw(path string) (*sql.DB, error) { return openDB(dsn(path, "rw")) }

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
