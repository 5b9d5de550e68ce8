package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// ladderFile is the open file of the ladders.
type ladderFile struct {
	write, read *sql.DB
	file        os.FileInfo
}

// laddersSchema is the version of the tables below. The file has it in user_version.
const laddersSchema = 1

// Rows are numbered in the order of writing, so the oldest rows are found without an index.
const laddersTable = `CREATE TABLE IF NOT EXISTS ladders (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at TEXT NOT NULL, data BLOB NOT NULL)`

// laddersID is the SQLite application_id of the ladder file: "Flol".
const laddersID = 0x466c6f6c

// laddersPage is the page size of a new file. A ladder takes 1.4 KB, so eleven share a page. A page takes two writes
// to the log, and one more when it is moved from there; with 4 KB, two ladders would share a page. An older file keeps
// its page size.
const laddersPage = 16384

func openLadderFile(ctx context.Context, path string) (f *ladderFile, setAside string, err error) {
	f, err = tryLadderFile(ctx, path)
	if err == nil || !isDamaged(err) {
		return f, "", explainLadders(path, err)
	}
	setAside = path + ".damaged-" + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(path, setAside); err != nil {
		return nil, "", explainLadders(path, err)
	}
	for _, more := range []string{"-wal", "-shm"} { // useless without the damaged file
		_ = os.Remove(path + more)
	}
	f, err = tryLadderFile(ctx, path)
	return f, setAside, explainLadders(path, err)
}

func tryLadderFile(ctx context.Context, path string) (_ *ladderFile, err error) {
	if err := create(path); err != nil {
		return nil, err
	}
	f := &ladderFile{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	// The driver runs pragmas in alphabetical order, and _journal_mode after them. From then on, a file keeps its page
	// size.
	name := dsn(path, "rw", "page_size("+strconv.Itoa(laddersPage)+")", "synchronous(NORMAL)",
		"journal_size_limit(67108864)", "secure_delete(1)")
	f.write, err = openDB(name + "&_journal_mode=WAL")
	if err != nil {
		return nil, err
	}
	f.write.SetMaxOpenConns(1)
	if err := prepareLadders(ctx, f.write); err != nil {
		return nil, err
	}
	f.read, err = openDB(dsn(path, "rw", "query_only(1)"))
	if err != nil {
		return nil, err
	}
	f.read.SetMaxOpenConns(2)
	f.file, err = os.Stat(path)
	return f, err
}

// prepareLadders creates the tables of a new file, and checks the tables of an old one.
func prepareLadders(ctx context.Context, db *sql.DB) error {
	var app, schema, tables int64
	for query, to := range map[string]*int64{
		`PRAGMA application_id`: &app, `PRAGMA user_version`: &schema, `SELECT count(*) FROM sqlite_schema`: &tables,
	} {
		if err := db.QueryRowContext(ctx, query).Scan(to); err != nil {
			return err
		}
	}
	switch {
	case app != laddersID && (app != 0 || tables != 0):
		return errForeign
	case schema > laddersSchema:
		return fmt.Errorf("%w (schema %d, this version knows %d)", errNewer, schema, laddersSchema)
	}
	for _, statement := range []string{
		`PRAGMA busy_timeout = 1000`, `PRAGMA application_id = ` + strconv.Itoa(laddersID), laddersTable,
		`PRAGMA user_version = ` + strconv.Itoa(laddersSchema),
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (f *ladderFile) close() error {
	var errs []error
	for _, db := range []*sql.DB{f.read, f.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// explainLadders adds a remedy to an error from opening.
func explainLadders(path string, err error) error {
	if err == nil {
		return nil
	}
	remedy := "check the file, its directory and the disk; it is tried again"
	switch {
	case errors.Is(err, errNewer):
		remedy = "start the newer version, or move the file away"
	case errors.Is(err, errForeign):
		remedy = "move the file away: it is another program's"
	}
	return fmt.Errorf("ladders %s: %w; %s", path, err, remedy)
}
