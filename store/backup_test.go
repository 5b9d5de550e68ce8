package store

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// full is a disk that takes some bytes.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, unix.ENOSPC
	}
	return len(b), nil
}

// backedUp returns a backup of a store with records, a ladder and a recording.
func backedUp(tb testing.TB) (backup []byte, key [32]byte) {
	tb.Helper()
	path, s := openNew(tb)
	for i := range 40 {
		mustPut(tb, s, sample(fmt.Sprint(i)))
	}
	l, _, err := OpenLadders(tb.Context(), LadderOptions{Path: LaddersPath(path), Keep: time.Hour, MaxSize: 1e9})
	must(tb, err)
	l.Put(&said{id: "1", text: []byte("INVITE")})
	must(tb, l.Close())
	dir := filepath.Join(tb.TempDir(), "rec")
	must(tb, os.MkdirAll(dir+"/2026/11/27", 0o700))
	for name, text := range map[string]string{"a.wav": "sound", "b.wav.part": "half", ".lock": ""} {
		must(tb, os.WriteFile(dir+"/2026/11/27/"+name, []byte(text), 0o600))
	}
	must(tb, os.Symlink("/etc/passwd", dir+"/c.wav"))
	must(tb, os.Mkdir(ReceiptsPath(path), 0o700))
	for name, text := range map[string]string{"key": "secret", "000000000001.jsonl": "{}\n{", "key.new": "half"} {
		must(tb, os.WriteFile(filepath.Join(ReceiptsPath(path), name), []byte(text), 0o600))
	}
	var out bytes.Buffer
	got, err := Backup(tb.Context(), &out, path, dir)
	if err != nil || got.Calls != 40 || got.Recordings != 1 {
		tb.Fatalf("%+v, %v", got, err)
	}
	return out.Bytes(), s.Key()
}

// A backup has the records of one moment, while others are written.
func TestBackupWhileWriting(t *testing.T) {
	path, s := openNew(t)
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			mustPut(t, s, sample(fmt.Sprint("w", i)))
		}
	})
	for range 3 {
		var out bytes.Buffer
		made, err := Backup(t.Context(), &out, path, "")
		must(t, err)
		to := filepath.Join(t.TempDir(), "other.db")
		got, err := Restore(t.Context(), &out, to, "")
		if err != nil || got.Calls != made.Calls {
			t.Errorf("restored %+v, %v; backed up %+v", got, err, made)
		}
		back, err := Open(t.Context(), to)
		must(t, err)
		if back.Key() != s.Key() {
			t.Error("another key")
		}
		must(t, back.Close())
	}
	stop()
	writing.Wait()
}

// What was backed up is there, with the modes and times that it had, and nothing else.
func TestRestore(t *testing.T) {
	backup, key := backedUp(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "db", "f.db")
	got, err := Restore(t.Context(), bytes.NewReader(backup), path, dir+"/rec")
	if err != nil || got.Calls != 40 || got.Recordings != 1 || got.Node == "" || time.Since(got.At) > time.Hour {
		t.Fatalf("%+v, %v", got, err)
	}
	if text, err := os.ReadFile(dir + "/rec/2026/11/27/a.wav"); string(text) != "sound" {
		t.Errorf("%q, %v", text, err)
	}
	for name, want := range map[string]string{"key": "secret", "000000000001.jsonl": "{}\n{", "key.new": ""} {
		if text, err := os.ReadFile(filepath.Join(ReceiptsPath(path), name)); string(text) != want {
			t.Errorf("receipts: %s has %q, %v", name, text, err)
		}
	}
	s, err := Open(t.Context(), path)
	must(t, err)
	if s.Key() != key {
		t.Error("another key")
	}
	l, _, err := OpenLadders(t.Context(), LadderOptions{Path: LaddersPath(path), Keep: time.Hour, MaxSize: 1e9})
	must(t, err)
	if text, err := l.Get(t.Context(), "1"); len(text) == 0 {
		t.Errorf("ladder: %v", err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(backup), path, dir+"/rec"); !errors.Is(err, errLocked) {
		t.Errorf("beside a server: %v", err)
	}
	must(t, errors.Join(l.Close(), s.Close()))
	if _, err := Restore(t.Context(), bytes.NewReader(backup), path, dir+"/rec"); !errors.Is(err, errInTheWay) {
		t.Errorf("over a database: %v", err)
	}
}

// A restore that fails says why, and leaves only the file of the lock.
func TestRestoreFails(t *testing.T) {
	backup, _ := backedUp(t)
	flipped := bytes.Clone(backup)
	flipped[len(flipped)/2] ^= 1
	newer := func(t *testing.T) []byte {
		path, _ := openNew(t)
		db := rawDB(t, path)
		execute(t, db, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
		var out bytes.Buffer
		packed := gzip.NewWriter(&out)
		all := tar.NewWriter(packed)
		must(t, errors.Join(copyPages(t.Context(), db, all, backupDatabase, nil), all.Close(), packed.Close()))
		return out.Bytes()
	}(t)
	twice := repacked(t, backup, func(h *tar.Header, text []byte) [][]byte {
		if strings.HasPrefix(h.Name, backupRecordings) {
			return [][]byte{text, []byte("other")}
		}
		return [][]byte{text}
	})
	torn := repacked(t, backup, func(h *tar.Header, text []byte) [][]byte {
		if h.Name == backupLadders {
			text = bytes.Repeat([]byte{1}, len(text))
		}
		return [][]byte{text}
	})
	for _, tc := range []struct {
		name, want string
		backup     []byte
		recordings bool
	}{
		{"a file twice", "comes twice", twice, true},
		{"damaged ladders", "the backup's ladders", torn, true},
		{"empty", "no backup", nil, true},
		{"text", "no backup", []byte("hello"), true},
		{"cut off", "cut off", backup[:len(backup)-1], true},
		{"half", "cut off", backup[:len(backup)/2], true},
		{"altered", "damaged", flipped, true},
		{"newer", "schema 99", newer, true},
		{"nowhere for recordings", "recording.path", backup, false},
	} {
		dir := t.TempDir()
		recordings := ""
		if tc.recordings {
			recordings = dir
		}
		_, err := Restore(t.Context(), bytes.NewReader(tc.backup), filepath.Join(dir, "f.db"), recordings)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if left := filesBelow(t, dir); left != "f.db.lock" {
			t.Errorf("%s leaves %s", tc.name, left)
		}
	}
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/2026/11/27", 0o700))
	must(t, os.WriteFile(dir+"/2026/11/27/a.wav", []byte("mine"), 0o600))
	if _, err := Restore(t.Context(), bytes.NewReader(backup), filepath.Join(dir, "f.db"), dir); !errors.Is(err, errInTheWay) {
		t.Errorf("over a recording: %v", err)
	}
	if text, _ := os.ReadFile(dir + "/2026/11/27/a.wav"); string(text) != "mine" {
		t.Errorf("a recording is overwritten by %q", text)
	}
}

// repacked returns a backup with other files: change returns the texts of a file, which has its name that often.
func repacked(t *testing.T, backup []byte, change func(h *tar.Header, text []byte) [][]byte) []byte {
	t.Helper()
	unpacked, err := gzip.NewReader(bytes.NewReader(backup))
	must(t, err)
	from := tar.NewReader(unpacked)
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	to := tar.NewWriter(packed)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			must(t, errors.Join(to.Close(), packed.Close()))
			return out.Bytes()
		}
		must(t, err)
		text, err := io.ReadAll(from)
		must(t, err)
		for _, text := range change(h, text) {
			must(t, addHeader(to, h.Name, int64(len(text)), h.ModTime))
			_, err := to.Write(text)
			must(t, err)
		}
	}
}

// A full disk ends a backup with the system's word.
func TestBackupFullDisk(t *testing.T) {
	path, s := openNew(t)
	for i := range 100 {
		mustPut(t, s, sample(fmt.Sprint(i)))
	}
	for _, room := range []int{0, 10, 1000} {
		if _, err := Backup(t.Context(), &full{room}, path, ""); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	if _, err := Backup(t.Context(), io.Discard, path+"x", ""); !errors.Is(err, errNotThere) {
		t.Errorf("no database: %v", err)
	}
}

// FuzzRestore restores anything: it fails, or there is a database that opens.
func FuzzRestore(f *testing.F) {
	backup, _ := backedUp(f)
	f.Add(backup)
	f.Add(backup[:100])
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "f.db")
		if _, err := Restore(t.Context(), bytes.NewReader(b), path, dir); err != nil {
			if left := filesBelow(t, dir); left != "f.db.lock" {
				t.Errorf("%v leaves %s", err, left)
			}
			return
		}
		s, err := Open(t.Context(), path)
		must(t, err)
		must(t, s.Close())
	})
}

// filesBelow lists the files below a directory.
func filesBelow(tb testing.TB, dir string) string {
	tb.Helper()
	var all []string
	must(tb, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	}))
	return strings.Join(all, " ")
}
