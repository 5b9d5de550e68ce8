package store

import "database/sql"

// openRaw opens a file without our rules.
func openRaw(path string) (*sql.DB, error) { return sql.Open("sqlite", dsn(path, "rw")) }
