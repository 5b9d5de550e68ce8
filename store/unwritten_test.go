package store

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

// A file of records that can't be read to its end is kept under another name. The records before the error are used,
// and the rest is reported.
func TestUnwrittenThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	one := sample("one")
	text := string(record.AppendRecord(nil, &one)) + "\n"
	var ids []string
	unread, err := eachRecord(io.MultiReader(strings.NewReader(text+text[:10]), iotest.ErrReader(unix.EIO)), func(r record.Record) error {
		ids = append(ids, r.ID)
		return nil
	})
	if err != nil || unread == nil || !slices.Equal(ids, []string{"one"}) {
		t.Errorf("%v, %v, %v", ids, unread, err)
	}
	must(t, os.Symlink(unreadableFile, unwrittenName(path)))
	s := openTest(t, path)
	if aside, err := filepath.Glob(unwrittenName(path) + ".damaged-*"); err != nil || len(aside) != 1 {
		t.Errorf("%v, %v: the file is gone", aside, err)
	}
	if err := s.Alive(t.Context(), start); err == nil || !strings.Contains(err.Error(), unwrittenName(path)+".damaged-") {
		t.Errorf("alive: %v; want the name of the damaged file", err)
	}
}

// If nothing can be written beside the database, records go to a directory of the service that survives the service.
func TestUnwrittenOutlivesTheService(t *testing.T) {
	for _, variable := range []string{"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "TMPDIR"} {
		dir := t.TempDir()
		t.Setenv("STATE_DIRECTORY", "")
		t.Setenv("RUNTIME_DIRECTORY", "")
		t.Setenv("TMPDIR", filepath.Join(dir, "none"))
		t.Setenv(variable, dir)
		file, err := saveUnwritten(filepath.Join(dir, "none", "f.db"), []record.Record{sample("one")})
		if err != nil || filepath.Dir(file) != dir {
			t.Errorf("%s: %q, %v", variable, file, err)
		}
	}
}
