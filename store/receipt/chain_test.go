package receipt

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

var at = time.Date(2026, 11, 29, 9, 0, 0, 250_000_000, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openTest(t testing.TB, dir string) *Chain {
	t.Helper()
	c, err := Open(dir, "node-1", zerolog.Nop())
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

func told() record.Told {
	return record.Told{
		Sound: "ai-en", SHA256: strings.Repeat("ab", 32), Language: "en", FromMS: 20, ToMS: 3000, Whole: true, Packets: 150,
	}
}

// written returns the bytes of a directory's segments.
func written(t testing.TB, dir string) []byte {
	t.Helper()
	names, err := segments(dir)
	must(t, err)
	var all []byte
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		all = append(all, text...)
	}
	return all
}

// verified checks that the chain in a directory is whole and has n receipts.
func verified(t testing.TB, c *Chain, n int64) Summary {
	t.Helper()
	head, count := c.Head()
	s, err := Verify(bytes.NewReader(written(t, c.dir)), c.Key(), head)
	if err != nil || count != n || s.Last != n || s.Torn != 0 || s.Head != head {
		t.Fatalf("%+v of %d, %v; want %d", s, count, err, n)
	}
	return s
}

// The next process continues a chain. Only its user can read the files.
func TestChain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "receipts")
	c := openTest(t, dir)
	if head, n := c.Head(); head != "" || n != 0 {
		t.Errorf("%q, %d", head, n)
	}
	verified(t, c, 0)
	must(t, c.Write("one", at, told()))
	must(t, c.Close())
	if err := c.Write("closed", at, told()); err == nil {
		t.Error("written after Close")
	}
	c = openTest(t, dir)
	must(t, c.Write("two", at.Add(time.Minute), record.Told{Sound: "ai-de", Lost: new(int64(1))}))
	s := verified(t, c, 2)
	if s.Node != "node-1" || s.First != 1 || s.Receipts != 2 || s.From.Time != at || s.To.Time != at.Add(time.Minute) {
		t.Errorf("%+v", s)
	}
	for _, name := range []string{"key", "000000000001.jsonl"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	found, err := Find(dir, "two")
	if err != nil || len(found) != 1 || !found[0].Signed || found[0].SHA256 != s.Head ||
		found[0].Told.Sound != "ai-de" || *found[0].Told.Lost != 1 {
		t.Errorf("%+v, %v", found, err)
	}
}

// Writers that come while one writes share the next write and its fsync.
func TestWritersShareAnFsync(t *testing.T) {
	const others = 40
	c := openTest(t, t.TempDir())
	fsyncs := 0
	c.sync = func(f *os.File) error {
		if fsyncs++; fsyncs == 1 { // until all others wait
			for n := 0; n < others; runtime.Gosched() {
				c.mu.Lock()
				n = len(c.pending)
				c.mu.Unlock()
			}
		}
		return f.Sync()
	}
	var all sync.WaitGroup
	write := func(id string) {
		if err := c.Write(id, at, told()); err != nil {
			t.Error(err)
		}
		if !bytes.Contains(written(t, c.dir), []byte(`"call":"`+id+`"`)) {
			t.Errorf("%s is not in the file", id)
		}
	}
	for i := range others + 1 {
		all.Go(func() { write(fmt.Sprint("call-", i)) })
	}
	all.Wait()
	if fsyncs != 2 {
		t.Errorf("%d fsyncs", fsyncs)
	}
	verified(t, c, others+1)
}

// A kill in mid-write leaves a torn end. The next process cuts it off, and the receipts before it stay.
func TestTornEnd(t *testing.T) {
	dir := t.TempDir()
	c := openTest(t, dir)
	must(t, c.Write("one", at, told()))
	before := len(written(t, dir))
	must(t, c.Write("two", at, told()))
	file := filepath.Join(dir, c.tail.name)
	whole := written(t, dir)
	for size := before; size < len(whole); size++ {
		must(t, os.Truncate(file, int64(size)))
		next, err := Open(dir, "node-1", zerolog.Nop())
		must(t, err)
		must(t, next.Write("three", at, told()))
		verified(t, next, 2)
		must(t, next.Close())
	}
	never := bytes.Repeat([]byte{0, '\n', 7}, 3*maxLine) // blocks that were never written
	must(t, os.WriteFile(file, append(slices.Clip(whole), never...), 0o600))
	verified(t, openTest(t, dir), 2)
}

// A full disk is an error to the caller. What it has taken of the line goes, and the chain works again with room.
func TestFullDisk(t *testing.T) {
	for name, fail := range map[string]func(f *os.File, size int64) error{
		"half a line": func(f *os.File, size int64) error { return f.Truncate(size + 100) },
		"half a line that stays": func(f *os.File, size int64) error {
			must(t, f.Truncate(size+100))
			return f.Close()
		},
		"nothing": func(f *os.File, size int64) error { return f.Truncate(size) },
	} {
		c := openTest(t, t.TempDir())
		must(t, c.Write("one", at, told()))
		size := c.tail.size
		c.sync = func(f *os.File) error {
			must(t, fail(f, size))
			return unix.ENOSPC
		}
		for range 2 {
			if err := c.Write("refused", at, told()); err == nil || !strings.Contains(err.Error(), c.dir) {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.sync = (*os.File).Sync
		must(t, c.Write("two", at, told()))
		verified(t, c, 2)
	}
}

// In an upgrade two processes write, one after the other and back.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 2 {
		c := openTest(t, dir)
		for i := range 60 {
			all.Go(func() {
				if err := c.Write(fmt.Sprint("call-", i), at, told()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	verified(t, openTest(t, dir), 120)
}

// No receipt that Write has confirmed is lost by a kill, and the chain stays whole.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("RECEIPTS"); dir != "" { // the process that is killed
		c := openTest(t, dir)
		for {
			must(t, c.Write("call", at, told()))
			_, n := c.Head()
			fmt.Println("confirmed", n)
		}
	}
	dir := t.TempDir()
	for round := range int64(5) {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
		cmd.Env = append(os.Environ(), "RECEIPTS="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines, confirmed := bufio.NewScanner(out), int64(0)
		for i := int64(0); i < 3+2*round && lines.Scan(); i++ {
			_, _ = fmt.Sscanf(lines.Text(), "confirmed %d", &confirmed)
		}
		must(t, cmd.Process.Kill())
		for lines.Scan() {
			_, _ = fmt.Sscanf(lines.Text(), "confirmed %d", &confirmed)
		}
		_ = cmd.Wait() // it was killed
		c := openTest(t, dir)
		_, n := c.Head()
		if confirmed == 0 || n < confirmed || n > confirmed+1 {
			t.Errorf("%d receipts, %d confirmed", n, confirmed)
		}
		verified(t, c, n)
	}
}

// Old segments go, and the rest is still a chain. A call under a legal hold keeps its segment and all later ones.
func TestPurge(t *testing.T) {
	c := openTest(t, t.TempDir())
	day := func(n int) time.Time { return at.AddDate(0, 0, n) }
	for i := range 4 {
		c.now = func() time.Time { return day(i) }
		must(t, c.Write(fmt.Sprint("call-", i), day(i), told()))
		must(t, c.Write(fmt.Sprint("more-", i), day(i), told()))
	}
	old := verified(t, c, 8)
	for _, tc := range []struct {
		before time.Time
		kept   string
		gone   int64
		first  int64
	}{
		{day(0), "", 0, 1},
		{day(1), "", 2, 3},
		{day(1), "", 0, 3},
		{day(3), "more-2", 2, 5},
		{day(9), "more-2", 0, 5},
	} {
		gone, err := c.Purge(tc.before, func(call string) bool { return call == tc.kept })
		if s := verified(t, c, 8); err != nil || gone != tc.gone || s.First != tc.first || s.Head != old.Head {
			t.Errorf("%+v: %d gone, %v, %+v", tc, gone, err, s)
		}
	}
	gone, err := c.Purge(day(9), func(string) bool { return false })
	if s := verified(t, c, 8); err != nil || gone != 4 || s.Receipts != 0 || s.Head != old.Head {
		t.Errorf("%d gone, %v, %+v", gone, err, s)
	}
	must(t, c.Write("later", day(9), told()))
	if s := verified(t, c, 9); s.First != 9 || s.Receipts != 1 {
		t.Errorf("%+v", s)
	}
}

// A directory with receipts and without their key, or with another one, is not written to.
func TestKey(t *testing.T) {
	dir := t.TempDir()
	must(t, openTest(t, dir).Write("one", at, told()))
	for name, change := range map[string]func() error{
		"another": func() error { return os.WriteFile(filepath.Join(dir, keyName), make([]byte, 32), 0o600) },
		"short":   func() error { return os.WriteFile(filepath.Join(dir, keyName), make([]byte, 3), 0o600) },
		"none":    func() error { return os.Remove(filepath.Join(dir, keyName)) },
	} {
		must(t, change())
		if _, err := Open(dir, "node-1", zerolog.Nop()); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := openTest(t, t.TempDir()).Write(strings.Repeat("x", maxLine), at, told()); err == nil {
		t.Error("a line of any length is written")
	}
}
