package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/store/record"
)

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	made := func(name, stmt string) string {
		path := filepath.Join(dir, name)
		s, err := Open(t.Context(), path)
		must(t, err)
		must(t, s.Close())
		db, err := openRaw(path)
		must(t, err)
		defer func() { _ = db.Close() }()
		execute(t, db, stmt)
		return path
	}
	for _, tc := range []struct {
		name, path string
		want       error
		text       string
	}{
		{"garbage", write("garbage.db", strings.Repeat("no database ", 100)), errCorrupt, "backup"},
		{"newer", made("newer.db", `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`), errNewer, "schema 99999"},
		{"foreign", made("foreign.db", `PRAGMA application_id = 7`), errForeign, "store.path"},
		{"no directory", filepath.Join(dir, "none", "f.db"), os.ErrNotExist, "store.path"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Open(t.Context(), tc.path)
			if s != nil {
				_ = s.Close()
			}
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("open: got %v; want %v with the path and %q", err, tc.want, tc.text)
			}
			r, err := OpenRead(t.Context(), tc.path)
			if r != nil {
				_ = r.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("open to read: got %v; want an error with the path", err)
			}
		})
	}
}

// A relative file name means a different file in each working directory, so the error shows the full path.
func TestNoFileOfARelativeName(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	must(t, err)
	_, err = OpenRead(t.Context(), "f.db")
	if !errors.Is(err, errNotThere) || !strings.Contains(err.Error(), filepath.Join(here, "f.db")) || !strings.Contains(err.Error(), "relative") {
		t.Errorf("got %v", err)
	}
}

func TestSecondWriterIsRefusedReaderIsNot(t *testing.T) {
	path, s := openNew(t)
	if _, err := Open(t.Context(), path); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second open: got %v; want %v with the pid", err, errLocked)
	}
	r, err := OpenRead(t.Context(), path)
	must(t, err)
	defer func() { _ = r.Close() }()
	mustPut(t, s, sample("one"))
	if records, _, err := r.List(t.Context(), record.Filter{}); err != nil || len(records) != 1 {
		t.Errorf("beside a writer: %d records, %v; want 1", len(records), err)
	}
	if _, err := r.pool().ExecContext(t.Context(), `DELETE FROM calls`); err == nil {
		t.Error("the reader could write")
	}
	must(t, s.Close())
	if _, ok, err := r.Get(t.Context(), "one"); err != nil || !ok {
		t.Errorf("without a writer: %v, %v", ok, err)
	}
}
