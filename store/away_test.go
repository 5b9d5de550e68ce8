package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// waitBroken waits until the store reports that it can't write.
func waitBroken(t *testing.T, s *Store) string {
	t.Helper()
	for s.Err() == nil {
		runtime.Gosched()
	}
	return s.Err().Error()
}

// A file that is removed while the process runs is restored with its contents and its key.
func TestFileRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "f.db")
	s := openTest(t, path)
	key := s.Key()
	mustPut(t, s, sample("before"))
	if _, _, err := s.List(t.Context(), record.Filter{}); err != nil { // a reader has opened the removed file
		t.Fatal(err)
	}
	must(t, os.RemoveAll(dir))
	put := make(chan error, 1)
	go func() { put <- s.Put(t.Context(), sample("meanwhile")) }()
	if says := waitBroken(t, s); !strings.Contains(says, "the file was removed") || !strings.Contains(says, "make its directory again") {
		t.Errorf("got %s", says)
	}
	must(t, os.Mkdir(dir, 0o700))
	must(t, <-put)
	mustPut(t, s, sample("after"))
	must(t, s.Err())
	if records, _, err := s.List(t.Context(), record.Filter{}); err != nil || len(records) != 3 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, errLocked) {
		t.Errorf("a second writer: %v", err)
	}
	must(t, s.Close())
	again := openTest(t, path)
	if records, _, err := again.List(t.Context(), record.Filter{}); err != nil || len(records) != 3 || again.Key() != key {
		t.Errorf("after a restart: %d records, %v, the key is kept: %v", len(records), err, again.Key() == key)
	}
}

// The database is also restored if its lock file was not removed.
func TestOnlyFileRemoved(t *testing.T) {
	path, s := openNew(t)
	mustPut(t, s, sample("before"))
	must(t, os.Remove(path))
	mustPut(t, s, sample("after"))
	if records, _, err := s.List(t.Context(), record.Filter{}); err != nil || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, errLocked) {
		t.Errorf("a second writer: %v", err)
	}
}

// A call that was written only at the next start can be found by the Call-IDs of its attempts, like any other.
func TestUnwrittenIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	r := sample("late")
	r.Attempts = []record.Attempt{{SIPCallID: "first try"}}
	must(t, appendRecords(unwrittenName(path), []record.Record{r}))
	s := openTest(t, path)
	if records, _, err := s.List(t.Context(), record.Filter{ID: "first try"}); err != nil || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// If another file has taken the place of the database, it is not changed. Unwritten records wait in files beside it for
// the next start.
func TestFileReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.db")
	other := openTest(t, filepath.Join(dir, "backup.db"))
	mustPut(t, other, sample("old"))
	must(t, other.Close())
	s := openTest(t, path)
	must(t, os.Rename(filepath.Join(dir, "backup.db"), path))
	lost := make(chan error, 1)
	go func() { lost <- s.Put(context.Background(), sample("new")) }()
	if says := waitBroken(t, s); !strings.Contains(says, "another file") || !strings.Contains(says, "restart") {
		t.Errorf("got %s", says)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "1 finished calls could not be written, and are in "+path) {
		t.Errorf("got %v", err)
	}
	<-lost
	again, err := Open(t.Context(), path, "webhook:x")
	must(t, err)
	defer again.Close()
	if records, _, err := again.List(t.Context(), record.Filter{}); err != nil || len(records) != 2 || again.Recovered != 1 {
		t.Errorf("%d records, %v, %d recovered: %+v", len(records), err, again.Recovered, records)
	}
	if got, _ := waiting(t, again, "webhook:x"); len(got) != 1 || got[0] != "new call" {
		t.Errorf("outbox: %v", got)
	}
	if _, err := os.Stat(unwrittenName(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// If a file is damaged while the process runs, calls continue and the error says what to do. The next start, with
// another file, has the calls.
func TestFileDamaged(t *testing.T) {
	path, s := openNew(t)
	for i := range 50 {
		mustPut(t, s, sample(fmt.Sprint(i)))
	}
	pragma(t, s, `PRAGMA wal_checkpoint(TRUNCATE)`) // the log's contents would repair the file
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	st, err := f.Stat()
	must(t, err)
	for at := int64(4096); at < st.Size(); at += 4096 { // every page except the first
		if _, err := f.WriteAt([]byte(strings.Repeat("damage! ", 512)), at); err != nil {
			t.Fatal(err)
		}
	}
	must(t, f.Close())
	pragma(t, s, `PRAGMA shrink_memory`) // otherwise SQLite continues with its cache
	key := s.Key()
	mustPut(t, s, sample("late")) // goes into a new file
	aside := s.SetAside()
	if !strings.HasPrefix(aside, path+".damaged-") {
		t.Errorf("set aside as %q", aside)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	must(t, s.Err())
	if records, _, err := s.List(t.Context(), record.Filter{}); len(records) != 51 || err != nil { // the journal has the others
		t.Errorf("%d records, %v", len(records), err)
	}
	must(t, s.Close())
	again := openTest(t, path)
	if _, ok, err := again.Get(t.Context(), "late"); !ok || err != nil || again.Key() != key || again.SetAside() != "" {
		t.Errorf("%v, %v, the same key %v, set aside %q", ok, err, again.Key() == key, again.SetAside())
	}
}

// pragma runs a statement on the writing connection.
func pragma(t *testing.T, s *Store, text string) {
	t.Helper()
	err := s.do(t.Context(), "pragma", func(ctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(ctx, text)
		return err
	})
	must(t, err)
}

// Another program that locks the file delays only the records.
func TestFileLocked(t *testing.T) {
	path, s := openNew(t)
	db := rawDB(t, path)
	c, err := db.Conn(t.Context())
	must(t, err)
	defer c.Close()
	execute(t, c, `BEGIN IMMEDIATE`)
	put := make(chan error, 1)
	go func() { put <- s.Put(t.Context(), sample("one")) }()
	if _, _, err := s.List(t.Context(), record.Filter{}); err != nil {
		t.Errorf("reading meanwhile: %v", err)
	}
	begun := time.Now()
	s.Journal(sample("two"), nil) // does not block
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the journal waited %v", took)
	}
	if says := waitBroken(t, s); !strings.Contains(says, "another program") {
		t.Errorf("got %s", says)
	}
	execute(t, c, `ROLLBACK`)
	must(t, <-put)
	if err := s.Flush(t.Context()); err != nil || s.Err() != nil {
		t.Errorf("%v, %v", err, s.Err())
	}
}

// SQLite's own error for a full disk also has a remedy. TestDiskFull tests the effects of a full disk.
func TestFullHint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	db, err := openDB(dsn(path, "rwc"))
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	execute(t, db, `CREATE TABLE a (b); PRAGMA max_page_count = 2`)
	_, err = db.ExecContext(t.Context(), `INSERT INTO a VALUES (zeroblob(100000))`)
	if err == nil || !strings.Contains(hint(path, err).Error(), "free space") {
		t.Errorf("got %v", hint(path, err))
	}
}
