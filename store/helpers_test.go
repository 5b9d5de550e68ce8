package store

import "database/sql"

// openRaw opens a file without our rules.
func openRaw(path string) (*sql.DB, error) { return openDB(dsn(path, "rw")) }

// statesAt reads the files of a journal.
func statesAt(path string) (map[string]lastState, error) {
	files, err := readJournal(path)
	return files.lastStates(), err
}

// testSeal seals the states of tests.
var testSeal, _ = sealing([32]byte{1})
