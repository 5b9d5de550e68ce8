package store

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

// filled returns a database with records, a live call and a log, in the state in which a killed process leaves it.
func filled(t *testing.T) (path string, key [32]byte) {
	t.Helper()
	from, path := filepath.Join(t.TempDir(), "f.db"), filepath.Join(t.TempDir(), "f.db")
	s := openTest(t, from)
	for i := range 50 {
		mustPut(t, s, sample(fmt.Sprint(i)))
	}
	pragma(t, s, `PRAGMA wal_checkpoint(TRUNCATE)`)
	live := sample("live")
	live.EndedAt = record.Time{}
	s.Journal(live, nil)
	must(t, s.Flush(t.Context()))
	for _, name := range []string{"", "-wal", ".live-a", ".live-b"} {
		b, err := os.ReadFile(from + name)
		if err == nil {
			err = os.WriteFile(path+name, b, 0o600)
		}
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return path, s.Key()
}

// A damaged database does not prevent a start: it is set aside, and a new one is created. The live calls of the
// previous process have records, and the key is the same if it could be read. The start does not wait for this, because
// live calls have no audio until it is done.
func TestDamagedAtStart(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(b []byte) []byte
		key    bool // whether the key can be read
	}{
		"cut off": {func(b []byte) []byte { return b[:len(b)/2] }, false},
		"all but the schema and the key": {func(b []byte) []byte {
			for at := 4096; at < len(b); at += 4096 {
				if page := b[at : at+4096]; !bytes.Contains(page, []byte("signal_key")) && !bytes.Contains(page, []byte("CREATE TABLE")) {
					copy(page, bytes.Repeat([]byte("damage! "), 512))
				}
			}
			return b
		}, true},
		"all but one page":  {func(b []byte) []byte { copy(b[4096:], bytes.Repeat([]byte("damage! "), len(b)/8)); return b }, false},
		"the head is zeros": {func(b []byte) []byte { clear(b[:4096]); return b }, false},
		"a few bytes":       {func(b []byte) []byte { return b[:60] }, false},
		"two pages":         {func(b []byte) []byte { copy(b[8192:], bytes.Repeat([]byte("damage! "), 1024)); return b }, true},
	} {
		t.Run(name, func(t *testing.T) {
			path, key := filled(t)
			b, err := os.ReadFile(path)
			must(t, err)
			b = tt.damage(b)
			must(t, os.WriteFile(path, b, 0o600))
			synctest.Test(t, func(t *testing.T) { startsAnew(t, path, key, tt.key) })
		})
	}
}

// startsAnew opens a damaged database in a synctest bubble, whose clock advances only while all goroutines wait.
func startsAnew(t *testing.T, path string, key [32]byte, readable bool) {
	t.Helper()
	began := time.Now()
	s := openTest(t, path)
	if waited := time.Since(began); waited != 0 {
		t.Errorf("live calls are silent for another %v, which is a wait", waited)
	}
	if _, err := os.Stat(s.SetAside()); err != nil {
		t.Error(err)
	}
	if readable && s.Key() != key {
		t.Error("another key")
	}
	if r, ok, err := s.Get(t.Context(), "live"); !ok || err != nil || r.Disposition != record.DispositionInterrupted {
		t.Errorf("the call that was live: %v, %v, %s", ok, err, r.Disposition)
	}
	mustPut(t, s, sample("new"))
}

// The key survives if the database is damaged anywhere or removed, so calls continue. It also survives a kill between
// the two renames of a damaged file.
func TestKeyOutlivesTheDatabase(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"damaged":                     func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{0xff, 0}, 50_000), 0o600) },
		"removed":                     os.Remove,
		"removed, with another begun": func(path string) error { return os.Rename(path, path+".new") },
	} {
		t.Run(name, func(t *testing.T) {
			path, s := openNew(t)
			s.Journal(sample("lives"), []byte("a state"))
			key := s.Key()
			kill(t, s)
			must(t, spoil(path))
			again := openTest(t, path)
			if got := leftOf(again); again.Key() != key || !slices.Equal(got, []string{"lives a state"}) {
				t.Errorf("another key: %v; left are %q", again.Key() != key, got)
			}
			if st, err := os.Stat(keyName(path)); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", st, err)
			}
		})
	}
}

// A damaged database that is removed before it can be set aside is still replaced.
func TestDamagedAndRemoved(t *testing.T) {
	path, s := openNew(t)
	mustPut(t, s, sample("before"))
	must(t, os.Remove(path))
	s.condemned.Store(true)
	mustPut(t, s, sample("after"))
	if _, ok, err := s.Get(t.Context(), "after"); err != nil || !ok || s.SetAside() != "" {
		t.Errorf("%v, %v, set aside %q", ok, err, s.SetAside())
	}
}

// If the database, its log or the log's index is truncated while the process runs, neither the process nor its later
// records are lost.
func TestTruncatedUnderLoad(t *testing.T) {
	for _, which := range []string{"", "-wal", "-shm"} {
		t.Run("f.db"+which, func(t *testing.T) {
			path, s := openNew(t)
			for i := range 20 {
				mustPut(t, s, sample(fmt.Sprint(i)))
			}
			must(t, os.Truncate(path+which, 0))
			mustPut(t, s, sample("late1"))
			mustPut(t, s, sample("late2"))
			records, _, err := s.List(t.Context(), record.Filter{ID: "late2"})
			if err != nil || len(records) != 1 {
				t.Errorf("%d records, %v; set aside %q", len(records), err, s.SetAside())
			}
			must(t, s.Close())
			again := openTest(t, path)
			if _, ok, err := again.Get(t.Context(), "late2"); !ok || err != nil {
				t.Errorf("after the next start: %v, %v; set aside %q", ok, err, again.SetAside())
			}
		})
	}
}

// A text file in the database's place is not ours, and stays where it is.
func TestTextIsNotSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	must(t, os.WriteFile(path, []byte("sip: {}\n"), 0o600))
	if s, err := Open(t.Context(), path); err == nil {
		_ = s.Close()
		t.Error("opened")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "sip: {}\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// A text file in the place of the database, whose log was removed, is treated as another program's file and not as a
// damaged database.
func TestAnotherFileIsNotDamaged(t *testing.T) {
	path, s := openNew(t)
	mustPut(t, s, sample("one"))
	w := &writer{s: s}
	if w.truncated(t.Context()) {
		t.Error("it is whole")
	}
	must(t, os.WriteFile(path+".text", []byte("a list\n"), 0o600))
	must(t, os.Rename(path+".text", path))
	s.removeLog()
	if w.truncated(t.Context()) {
		t.Error("it is taken for a damaged one")
	}
}

// A disk that refuses writes proves nothing about the file, so the file is not checked: a start would take minutes. A
// disk that can't be read may have damaged it.
func TestFullDiskIsNoDamage(t *testing.T) {
	path, _ := filled(t)
	b, err := os.ReadFile(path)
	must(t, err)
	copy(b[len(b)-4096:], bytes.Repeat([]byte("damage! "), 512))
	must(t, os.WriteFile(path, b, 0o600))
	fails := func(pragma, stmt string) error {
		db, err := openDB(dsn(filepath.Join(t.TempDir(), "other.db"), "rwc", pragma))
		must(t, err)
		defer db.Close()
		_, err = db.ExecContext(t.Context(), stmt)
		return err
	}
	full := fails("max_page_count(1)", `CREATE TABLE t AS SELECT zeroblob(100000) AS a`)
	readOnly := fails("query_only(1)", `CREATE TABLE t (a)`)
	for _, why := range []error{full, readOnly, unix.ENOSPC, unix.EDQUOT, unix.EROFS} {
		if isDamagedFile(t.Context(), path, fmt.Errorf("store: %w", why)) {
			t.Errorf("%v: the file was looked through", why)
		}
	}
	if !isDamagedFile(t.Context(), path, unix.EIO) {
		t.Error("after an I/O error it was not looked through")
	}
}

// Files that are set aside at the same moment, or after the clock was set back, get different names.
func TestAsideName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	for range 5 {
		name := asideName(path)
		must(t, os.WriteFile(name, nil, 0o600))
	}
	if all, err := filepath.Glob(path + ".damaged-*"); err != nil || len(all) != 5 {
		t.Errorf("%q, %v", all, err)
	}
}

// A reader that started on a damaged file reports damage of that file, not of the new one. An intact file is not set
// aside.
func TestLateWordOfDamage(t *testing.T) {
	for _, renewed := range []bool{true, false} {
		s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
		mustPut(t, s, sample("old"))
		s.condemned.Store(renewed)
		mustPut(t, s, sample("new"))
		aside := s.SetAside()
		for i := range 3 {
			s.damaged.Store(true)
			mustPut(t, s, sample(fmt.Sprint(i)))
		}
		if got := s.SetAside(); got != aside || renewed == (aside == "") {
			t.Errorf("set aside: %q, and then %q", aside, got)
		}
	}
}

// A list that is being read while the damaged file is set aside can be read to its end. The next reader uses the new
// file.
func TestListOverASetAside(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	mustPut(t, s, sample("old"))
	var open []*sql.Conn // as many as the pool allows
	for range readers {
		c, err := s.pool().Conn(t.Context())
		if err != nil || c.PingContext(t.Context()) != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	forgetEnded(t, s.path)
	s.condemned.Store(true)
	mustPut(t, s, sample("new"))
	for _, c := range open {
		n := 0
		if err := c.QueryRowContext(t.Context(), `SELECT count(*) FROM calls`).Scan(&n); n != 1 || err != nil {
			t.Errorf("%d records, %v", n, err)
		}
		must(t, c.Close())
	}
	for range 2 * readers {
		if _, ok, err := s.Get(t.Context(), "new"); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	}
}
