package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

// journalAt returns a journal in a new directory.
func journalAt(t testing.TB) *journal {
	t.Helper()
	j := openJournal(filepath.Join(t.TempDir(), "f.db"), testSeal)
	if j.err != nil {
		t.Fatal(j.err)
	}
	return j
}

// noteCalls notes the state of each call in the journal.
func noteCalls(j *journal, ids ...string) {
	for _, id := range ids {
		r := sample(id)
		j.note(callState, &r, nil, start)
	}
}

// turnFile makes the journal start another file.
func turnFile(j *journal) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.turn()
}

// wantLive compares the calls in the files with the live ones.
func wantLive(t *testing.T, j *journal, ids ...string) {
	t.Helper()
	states, err := statesAt(j.path)
	if got := slices.Sorted(maps.Keys(states)); err != nil || !slices.Equal(got, ids) {
		t.Fatalf("%v: the files have %d calls %v; want %d", err, len(got), got, len(ids))
	}
}

// A state is in the file when Journal returns. The newest state counts, and states of calls that are over
// are ignored.
func TestJournal(t *testing.T) {
	j := journalAt(t)
	one, two := sample("one"), sample("two")
	j.note(callState, &one, nil, start)
	wantLive(t, j, "one")
	j.note(callState, &two, nil, start)
	one.Cause = "newest"
	j.note(callState, &one, nil, start.Add(time.Second))
	wantLive(t, j, "one", "two")
	states, err := statesAt(j.path)
	if text := string(states["one"].state); err != nil || !strings.HasPrefix(text, "2026-11-20T08:00:01.123Z{") || !strings.Contains(text, `"cause":"newest"`) {
		t.Errorf("%v: %s", err, text)
	}
	j.over([]*finish{{id: "one"}, {id: "never seen"}})
	wantLive(t, j, "two")
	must(t, j.close())
	wantLive(t, j, "two")
	if st, err := os.Stat(j.path + ".live-a"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%+v, %v", st, err)
	}
	again := openJournal(j.path, testSeal)
	must(t, again.close())
	for _, name := range journalNames(j.path) {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v; want no file without live calls", name, err)
		}
	}
}

// The files stay short, however many calls there are. Calls that stay live are moved to the next file.
func TestJournalTurns(t *testing.T) {
	j := journalAt(t)
	stays := make([]string, 100)
	for i := range stays {
		stays[i] = fmt.Sprintf("stays%02d", i)
		r := sample(stays[i])
		j.note(callState, &r, nil, start)
	}
	slices.Sort(stays)
	turns, before := 0, j.file
	for i := range 60_000 {
		r := sample(fmt.Sprint("goes", i))
		j.note(callState, &r, nil, start)
		j.over([]*finish{{id: r.ID}})
		must(t, j.tend())
		if j.file != before {
			turns, before = turns+1, j.file
		}
		if j.old != nil {
			t.Fatal("the old file is there, and nobody writes")
		}
	}
	if turns < 2 || j.file.written > journalFile+4096 || len(j.live) != len(stays) {
		t.Errorf("%d turns, %d bytes, %d live", turns, j.file.written, len(j.live))
	}
	wantLive(t, j, stays...)
	st, err := os.Stat(j.file.name)
	if err != nil || st.Size() != j.file.end {
		t.Errorf("%v: the file has %d bytes; want %d", err, st.Size(), j.file.end)
	}
	must(t, j.close())
}

// A process that is killed while calls are being moved leaves two files. The one with the larger number is
// the newer one.
func TestJournalKilledWhileTurning(t *testing.T) {
	j := journalAt(t)
	noteCalls(j, "a", "b", "c")
	turnFile(j)
	b := sample("b")
	b.Cause = "newer"
	j.note(callState, &b, nil, start)
	j.over([]*finish{{id: "c"}})
	for _, cause := range []string{"newer", "newest"} { // in the second file, then in the first one again
		wantLive(t, j, "a", "b")
		states, _ := statesAt(j.path)
		if !bytes.Contains(states["b"].state, []byte(cause)) {
			t.Errorf("b has the state %q; want the one that is %s", states["b"].state, cause)
		}
		if err := j.tend(); err != nil || j.old != nil {
			t.Fatal(err, j.old)
		}
		turnFile(j)
		b.Cause = "newest"
		j.note(callState, &b, nil, start)
	}
	must(t, j.tend())
	wantLive(t, j, "a", "b")
	must(t, j.close())
}

// A journal that is removed, with or without its directory, is restored with all live calls.
func TestJournalRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(dir, 0o700))
	j := openJournal(filepath.Join(dir, "f.db"), testSeal)
	one, two := sample("one"), sample("two")
	j.note(callState, &one, nil, start)
	must(t, os.Remove(j.file.name))
	j.note(callState, &two, nil, start)
	must(t, j.tend())
	wantLive(t, j, "one", "two")
	must(t, os.RemoveAll(dir))
	if err := j.tend(); err == nil {
		t.Error("no error without a directory")
	}
	must(t, os.Mkdir(dir, 0o700))
	must(t, j.tend())
	wantLive(t, j, "one", "two")
	must(t, j.close())
}

// Entries that the disk does not accept wait, up to a limit, and are written once it accepts them.
func TestJournalFullDisk(t *testing.T) {
	j := journalAt(t)
	good := j.file.f
	bad, err := os.Open(j.file.name) // opened only for reading
	must(t, err)
	defer bad.Close()
	noteCalls(j, "first")
	j.file.f = bad
	long := sample("long")
	long.Cause = strings.Repeat("x", maxState/2)
	kept := []string{"first"}
	for i := 0; j.dropped == 0; i++ {
		long.ID = fmt.Sprintf("long%03d", i)
		if j.note(callState, &long, nil, start); j.dropped == 0 {
			kept = append(kept, long.ID)
		}
	}
	if len(j.waiting) > journalWaiting+maxState {
		t.Errorf("%d bytes wait", len(j.waiting))
	}
	if j.tend() == nil {
		t.Error("no error")
	}
	wantLive(t, j, "first")
	j.file.f = good
	must(t, j.tend())
	if _, err := j.state(); err != nil {
		t.Error(err)
	}
	wantLive(t, j, kept...)
	huge := sample("huge")
	huge.Cause = strings.Repeat("x", maxState)
	j.note(callState, &huge, nil, start)
	wantLive(t, j, kept...)
	must(t, j.close())
}

// Many calls write concurrently while the files turn. The last state of each is in the files.
func TestJournalTogether(t *testing.T) {
	j := journalAt(t)
	var all sync.WaitGroup
	var want []string
	for w := range 8 {
		for i := range 50 {
			if i%5 == 0 {
				want = append(want, fmt.Sprintf("%d-%d", w, i))
			}
		}
		all.Go(func() {
			for i := range 50 {
				r := sample(fmt.Sprintf("%d-%d", w, i))
				for _, r.Cause = range []string{"first", "second", "last"} {
					j.note(callState, &r, nil, start)
				}
				if i%5 != 0 {
					j.over([]*finish{{id: r.ID}})
				}
			}
		})
	}
	for range 50 {
		j.mu.Lock()
		if j.old == nil && !j.writing && len(j.waiting) == 0 {
			j.turn()
		}
		j.mu.Unlock()
		must(t, j.tend())
	}
	all.Wait()
	must(t, j.tend())
	slices.Sort(want)
	wantLive(t, j, want...)
	states, _ := statesAt(j.path)
	for id, state := range states {
		if !bytes.Contains(state.state, []byte(`"cause":"last"`)) {
			t.Errorf("%s: %s", id, state.state)
		}
	}
	must(t, j.close())
}

// A kill after the commit of a record, but before the journal's note of it, does not create a second
// record.
func TestJournalKilledAfterCommit(t *testing.T) {
	path, s := openNew(t)
	want := sample("one")
	s.Journal(want, nil)
	names := journalNames(path)
	before, err := os.ReadFile(names[0])
	must(t, err)
	mustPut(t, s, want)
	must(t, s.Close())
	must(t, os.WriteFile(names[0], before, 0o600))
	again := openTest(t, path)
	if got, _, err := again.Get(t.Context(), "one"); err != nil || got.Disposition != record.DispositionAnswered || len(again.Interrupted) != 0 {
		t.Errorf("%v, %d interrupted: %+v", err, len(again.Interrupted), got)
	}
}

// A finished call whose record waits for the database is recorded with its real end, not as interrupted.
func TestJournalOfFinishedCalls(t *testing.T) {
	path, s := openNew(t)
	mend := breakDisk(t, path)
	want := sample("one")
	s.Journal(want, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(gone, want); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	name := path + ".live-a"
	killed, err := os.ReadFile(name)
	must(t, err)
	mend()
	must(t, s.Close())
	for _, again := range []int{1, 0} { // the second time, the record is in the database
		must(t, os.WriteFile(name, killed, 0o600))
		if again == 1 {
			for _, more := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(path + more)
			}
		}
		next := openTest(t, path)
		got, _, err := next.Get(t.Context(), "one")
		if diff := cmp.Diff(asRead(want), got); err != nil || diff != "" || len(next.Interrupted) != 0 || next.Recovered != again {
			t.Errorf("%v, %d interrupted, %d recovered\n%s", err, len(next.Interrupted), next.Recovered, diff)
		}
		must(t, next.Close())
	}
}

// FuzzJournal checks that all other entries are read, whatever a broken disk puts between entries or in
// place of one.
func FuzzJournal(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add([]byte("\xfb\xf1\x01\x05\x00\x00\x00abcdefghi"), uint16(3))
	f.Add(bytes.Repeat([]byte("\xfb\xf1\x01\xff\xff\x00\x00"), 9), uint16(70))
	f.Add(make([]byte, 4096), uint16(200))
	f.Fuzz(func(t *testing.T, junk []byte, tear uint16) {
		text := func(id string) []byte {
			b := append(beginEntry(nil, callState, id), "state of "...)
			b = append(b, id...)
			endEntry(b, 0)
			return b
		}
		torn := text("torn")
		torn = torn[:int(tear)%len(torn)]
		file := slices.Concat(text("one"), junk, text("two"), torn, text("three"), junk)
		found := map[string]string{}
		for e, rest, ok := nextEntry(file); ok; e, rest, ok = nextEntry(rest) {
			found[string(e.id)] = string(e.state)
		}
		for _, id := range []string{"one", "two", "three"} {
			if found[id] != "state of "+id {
				t.Errorf("%s: %q", id, found[id])
			}
		}
	})
}

// BenchmarkJournal measures one state of a call with its share of the file changes.
func BenchmarkJournal(b *testing.B) {
	j := journalAt(b)
	recs := make([]record.Record, 64)
	for i := range recs {
		recs[i] = sample(fmt.Sprint("call", rand.IntN(1000), "-", i))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		j.note(callState, &recs[i%len(recs)], nil, start)
		if i++; i%64 == 0 {
			must(b, j.tend())
		}
	}
	b.StopTimer()
	must(b, j.close())
}
