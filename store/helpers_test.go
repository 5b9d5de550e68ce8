package store

import "database/sql"

// openRaw opens a file without our rules.
func openRaw(path string) (*sql.DB, error) { return openDB(dsn(path, "rw")) }
