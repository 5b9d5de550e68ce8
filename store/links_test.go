package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"flowbridge/store/record"
)

// The server's user owns the directory of the database. Its links must not make root's restore, or another process,
// create or change a file elsewhere.
func TestLinksBesideTheDatabase(t *testing.T) {
	backup, _ := backedUp(t)
	for name, run := range map[string]func(path string) error{
		".lock": func(path string) error {
			_, err := Restore(t.Context(), bytes.NewReader(backup), path, "")
			return err
		},
		"":                 func(path string) error { return create(path) },
		".unwritten.jsonl": func(path string) error { return appendRecords(unwrittenName(path), []record.Record{{ID: "1"}}) },
		".key.new": func(path string) error {
			keepKeyBeside(path, make([]byte, keySize))
			_, err := os.Stat(keyName(path))
			return err
		},
		".live-a": func(path string) error {
			_, err := oldSegment(path + ".live-a")
			return err
		},
	} {
		for _, there := range []bool{false, true} {
			if there && name == "" {
				continue // a link may lead to an existing database
			}
			dir := t.TempDir()
			path, victim := filepath.Join(dir, "f.db"), filepath.Join(dir, "victim")
			must(t, os.Symlink(victim, path+name))
			if there {
				must(t, os.WriteFile(victim, []byte("precious"), 0o600))
			}
			if err := run(path); err == nil {
				t.Errorf("%q: no error", name)
			}
			text, err := os.ReadFile(victim)
			if there && string(text) != "precious" || !there && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q leads to a file with %q, %v", name, text, err)
			}
		}
	}
	dir := t.TempDir()
	must(t, errors.Join(os.WriteFile(dir+"/there", nil, 0o600), os.Symlink(dir+"/there", dir+"/f.db"), create(dir+"/f.db")))
}
