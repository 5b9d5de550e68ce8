package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// said is a ladder for tests.
type said struct {
	id       string
	text     []byte
	released *int
}

func (d *said) ID() string { return d.id }

func (d *said) Encode(b []byte) []byte { return append(b, d.text...) }

func (d *said) Release() {
	if d.text = nil; d.released != nil {
		*d.released++
	}
}

// laddersAt returns ladders whose writer is run step by step by the test.
func laddersAt(t *testing.T, o LadderOptions) (*Ladders, *ladderWriter) {
	t.Helper()
	l, aside, err := newLadders(t.Context(), o)
	if err != nil || aside != "" {
		t.Fatalf("%s, %v", aside, err)
	}
	t.Cleanup(func() { _ = newLadderWriter(l).closeFiles() })
	return l, newLadderWriter(l)
}

func testLadders(t *testing.T) LadderOptions {
	return LadderOptions{Path: filepath.Join(t.TempDir(), "f-ladders.db"), Keep: time.Hour, MaxSize: 1e9}
}

func wantLadder(t *testing.T, l *Ladders, id, want string) {
	t.Helper()
	got, err := l.Get(t.Context(), id)
	if err != nil || string(got) != want {
		t.Errorf("ladder %s: %q, %v; want %q", id, got, err, want)
	}
}

// TestLadders checks that a ladder can be read from its Put on, and after a restart.
func TestLadders(t *testing.T) {
	o := testLadders(t)
	released := 0
	l, w := laddersAt(t, o)
	l.Put(&said{"a", []byte("first"), &released})
	wantLadder(t, l, "a", "first")
	wantLadder(t, l, "b", "")
	must(t, w.step())
	wantLadder(t, l, "a", "first")
	if released != 1 || len(l.pending) != 0 || len(l.order) != 0 {
		t.Errorf("%d released, %d wait", released, len(l.pending))
	}
	l.Put(&said{"a", []byte("again"), &released}) // does not replace the first one
	must(t, w.step())
	wantLadder(t, l, "a", "first")
	again, aside, err := OpenLadders(t.Context(), o)
	if err != nil || aside != "" {
		t.Fatal(aside, err)
	}
	again.Put(&said{"b", []byte("second"), &released})
	must(t, again.Close())
	if _, err := again.Get(t.Context(), "b"); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
	again.Put(&said{"c", []byte("late"), &released})
	if again.Dropped() != 1 || released != 4 {
		t.Errorf("%d dropped, %d released", again.Dropped(), released)
	}
	wantLadder(t, l, "a", "first")
	wantLadder(t, l, "b", "second")
	if st, err := os.Stat(o.Path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// TestLaddersPath checks that the file is beside the one of the records.
func TestLaddersPath(t *testing.T) {
	for path, want := range map[string]string{"flowbridge.db": "flowbridge-ladders.db", "/x.d/y": "/x.d/y-ladders", "/x.d/y.sqlite": "/x.d/y-ladders.sqlite"} {
		if got := LaddersPath(path); got != want {
			t.Errorf("%s: %s; want %s", path, got, want)
		}
	}
}

// TestLaddersPurge checks that old ladders are deleted, and the oldest ones if there are too many. The file then stops
// growing.
func TestLaddersPurge(t *testing.T) {
	o := testLadders(t)
	o.MaxSize = 400_000
	l, w := laddersAt(t, o)
	text := bytes.Repeat([]byte("x"), 1000)
	put := func(n int) {
		for i := range 300 {
			l.Put(&said{id: fmt.Sprintf("%d-%d", n, i), text: text})
		}
		must(t, w.step())
	}
	var sizes []int64
	for n := range 12 {
		put(n)
		st, err := os.Stat(o.Path)
		must(t, err)
		sizes = append(sizes, st.Size())
	}
	if used, err := w.size(t.Context()); err != nil || used > o.MaxSize || sizes[11] > 3*o.MaxSize {
		t.Errorf("%d bytes are used of at most %d, %v; files %v", used, o.MaxSize, err, sizes)
	}
	wantLadder(t, l, "0-0", "")
	wantLadder(t, l, "11-299", string(text))
	must(t, w.purge(t.Context(), time.Now().Add(2*o.Keep)))
	wantLadder(t, l, "11-299", "")
}

// TestLaddersOfNoUse checks that a damaged file is set aside. If the file is newer, foreign or not writable, the server
// continues without ladders and says what to do.
func TestLaddersOfNoUse(t *testing.T) {
	dir := t.TempDir()
	made := func(name string, statements ...string) string {
		path := filepath.Join(dir, name)
		l, _, err := OpenLadders(t.Context(), LadderOptions{Path: path, Keep: time.Hour, MaxSize: 1e9})
		must(t, err)
		l.Put(&said{id: "a", text: []byte("x")})
		_ = l.Close()
		db, err := openRaw(path)
		must(t, err)
		defer func() { _ = db.Close() }()
		for _, s := range statements {
			execute(t, db, s)
		}
		return path
	}
	damaged := made("damaged.db")
	text, err := os.ReadFile(damaged)
	must(t, err)
	copy(text, "no database any more, but something else")
	must(t, os.WriteFile(damaged, text, 0o600))
	l, aside, err := OpenLadders(t.Context(), LadderOptions{Path: damaged, Keep: time.Hour, MaxSize: 1e9})
	if err != nil || !strings.HasPrefix(aside, damaged+".damaged-") {
		t.Errorf("damaged: %q, %v", aside, err)
	}
	if kept, err := os.ReadFile(aside); err != nil || !bytes.Equal(kept, text) {
		t.Errorf("it is not kept: %v", err)
	}
	l.Put(&said{id: "b", text: []byte("new")})
	_ = l.Close()
	for _, tc := range []struct {
		name, path string
		want       error
		text       string
	}{
		{"newer", made("newer.db", `PRAGMA user_version = 99`), errNewer, "schema 99"},
		{"foreign", made("foreign.db", `PRAGMA application_id = 7`), errForeign, "move the file away"},
		{"no directory", filepath.Join(dir, "none", "f.db"), os.ErrNotExist, "tried again"},
		{"a directory", dir, nil, "tried again"},
	} {
		released := 0
		l, aside, err := OpenLadders(t.Context(), LadderOptions{Path: tc.path, Keep: time.Hour, MaxSize: 1e9})
		if err == nil || aside != "" || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), tc.path) {
			t.Errorf("%s: %q, %v", tc.name, aside, err)
		}
		l.Put(&said{"a", []byte("x"), &released})
		if _, err := l.Get(t.Context(), "other"); err == nil {
			t.Errorf("%s: no error", tc.name)
		}
		_ = l.Close()
		if released != 1 || l.Dropped() != 1 {
			t.Errorf("%s: %d released, %d dropped", tc.name, released, l.Dropped())
		}
	}
}

// TestLaddersWhileLocked checks that ladders wait while another process locks the file, and are written afterwards.
func TestLaddersWhileLocked(t *testing.T) {
	l, w := laddersAt(t, testLadders(t))
	other, err := openRaw(l.Path)
	must(t, err)
	defer func() { _ = other.Close() }()
	conn, err := other.Conn(t.Context())
	must(t, err)
	execute(t, conn, `BEGIN IMMEDIATE`)
	l.Put(&said{id: "a", text: []byte("x")})
	if err := w.step(); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("got %v", err)
	}
	wantLadder(t, l, "a", "x")
	execute(t, conn, `ROLLBACK`)
	must(t, errors.Join(conn.Close(), w.step()))
	if len(l.pending) != 0 {
		t.Error("it still waits")
	}
	wantLadder(t, l, "a", "x")
}

// TestLaddersRemoved checks that a new file is created if the file or its directory is removed or moved. Only the
// ladders in the old file are lost.
func TestLaddersRemoved(t *testing.T) {
	o := testLadders(t)
	dir := filepath.Join(t.TempDir(), "dir")
	o.Path = filepath.Join(dir, "f-ladders.db")
	must(t, os.Mkdir(dir, 0o700))
	l, w := laddersAt(t, o)
	for i, away := range []func() error{
		func() error { return os.Remove(o.Path) },
		func() error { return os.Rename(o.Path, o.Path+".old") },
		func() error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) },
		func() error { return os.RemoveAll(dir) },
	} {
		l.Put(&said{id: fmt.Sprint("before", i), text: []byte("x")})
		if err := errors.Join(w.step(), away()); err != nil {
			t.Fatal(i, err)
		}
		l.Put(&said{id: fmt.Sprint("after", i), text: []byte("x")})
		err := w.step()
		if _, gone := os.Stat(dir); gone != nil {
			if err == nil || !strings.Contains(err.Error(), "tried again") {
				t.Errorf("%d: %v", i, err)
			}
			err = errors.Join(os.Mkdir(dir, 0o700), w.step())
		}
		if err != nil {
			t.Fatal(i, err)
		}
		again, _, err := newLadders(t.Context(), o)
		must(t, err)
		wantLadder(t, again, fmt.Sprint("after", i), "x")
		wantLadder(t, again, fmt.Sprint("before", i), "")
		wantLadder(t, l, fmt.Sprint("after", i), "x")
		must(t, newLadderWriter(again).closeFiles())
	}
}

// TestLaddersFullDisk checks that ladders wait while the disk is full, up to a number, and that further ones are
// dropped. Calls do not wait.
func TestLaddersFullDisk(t *testing.T) {
	l, w := laddersAt(t, testLadders(t))
	limit := func(pages int) {
		if _, err := l.files.write.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(10)
	for i := range laddersPending + 10 {
		l.Put(&said{id: fmt.Sprint(i), text: []byte("x")})
	}
	if l.Dropped() != 10 {
		t.Errorf("%d dropped; want 10", l.Dropped())
	}
	if err := w.step(); err == nil || !strings.Contains(err.Error(), "full") || len(l.pending) != laddersPending {
		t.Errorf("%v, %d wait", err, len(l.pending))
	}
	limit(100_000)
	if err := w.step(); err != nil || len(l.pending) != 0 {
		t.Errorf("%v, %d wait", err, len(l.pending))
	}
	wantLadder(t, l, "0", "x")
}

// BenchmarkLadders measures the cost of storing a ladder.
func BenchmarkLadders(b *testing.B) {
	l, _, err := newLadders(context.Background(), LadderOptions{Path: filepath.Join(b.TempDir(), "f.db"), Keep: time.Hour, MaxSize: 1e9})
	must(b, err)
	w := newLadderWriter(l)
	text := bytes.Repeat([]byte("x"), 1400)
	for i := 0; b.Loop(); i++ {
		l.Put(&said{id: fmt.Sprintf("01a1fdf6-a112-732d-b00d-%012d", i), text: text})
		if i%150 == 149 {
			must(b, w.step())
		}
	}
	_ = w.closeFiles()
}

// A new file has large pages. An older file keeps its page size.
func TestLaddersPages(t *testing.T) {
	for name, want := range map[string]int{"new": laddersPage, "older": 4096} {
		path := filepath.Join(t.TempDir(), name)
		if name == "older" {
			db, err := openDB(dsn(path, "rwc", "journal_mode(WAL)"))
			must(t, err)
			must(t, errors.Join(prepareLadders(t.Context(), db), db.Close()))
		}
		f, _, err := openLadderFile(t.Context(), path)
		must(t, err)
		var size int
		var mode string
		must(t, errors.Join(f.write.QueryRowContext(t.Context(), `PRAGMA page_size`).Scan(&size), f.write.QueryRowContext(t.Context(), `PRAGMA journal_mode`).Scan(&mode)))
		if size != want || mode != "wal" {
			t.Errorf("%s: pages of %d, %s; want %d, wal", name, size, mode, want)
		}
		must(t, f.close())
	}
}

// Each sees ladders in the file and before it, the newest first, and counts those that it had no time for.
func TestEachLadder(t *testing.T) {
	l, w := laddersAt(t, testLadders(t))
	for i := range 2*laddersStep + 10 {
		if i > 0 && i%laddersStep == 0 {
			must(t, w.step())
		}
		l.Put(&said{id: strconv.Itoa(i), text: []byte("text " + strconv.Itoa(i))})
	}
	seen, last := map[string]bool{}, ""
	left, err := l.Each(t.Context(), func(id string, data []byte) {
		if seen[id], last = true, id; string(data) != "text "+id {
			t.Errorf("%s: %q", id, data)
		}
	})
	if left != 0 || err != nil || len(seen) != 2*laddersStep+10 || last != "0" {
		t.Errorf("%d seen, the last %s, %d left, %v", len(seen), last, left, err)
	}
	must(t, w.step())
	for _, at := range []int{0, 1, laddersStep, laddersStep + 3} {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		if at == 0 {
			cancel()
		}
		left, err := l.Each(ctx, func(string, []byte) {
			if n++; n == at {
				cancel()
			}
		})
		cancel()
		if n != at || left != int64(2*laddersStep+10-at) || err != nil {
			t.Errorf("stopped after %d: %d seen, %d left, %v", at, n, left, err)
		}
	}
}
