package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

// leftOf returns the ids of the calls that a store passes to its process.
func leftOf(s *Store) (ids []string) {
	for _, l := range s.Left {
		id := l.Record.ID
		if l.Owed {
			id += " owes"
		}
		ids = append(ids, id+" "+string(l.State))
	}
	slices.Sort(ids)
	return ids
}

// kill copies the files of a store's journal, closes the store and restores them, as a kill would leave them.
func kill(t *testing.T, s *Store) {
	t.Helper()
	var texts [2][]byte
	names := journalNames(s.path)
	for i, name := range names {
		texts[i], _ = os.ReadFile(name)
	}
	must(t, s.Close())
	for i, name := range names {
		if texts[i] == nil {
			continue
		}
		must(t, os.WriteFile(name, texts[i], 0o600))
	}
}

// The next process gets the calls' states, which are sealed on the disk, and keeps them until the calls are over. A
// second kill loses none.
func TestLeft(t *testing.T) {
	path, s := openNew(t)
	for _, id := range []string{"one", "two", "three"} {
		s.Journal(sample(id), []byte("first secret of "+id))
	}
	s.Journal(sample("two"), []byte("secret of two"))
	s.Journal(sample("none"), nil)
	s.Owe("gone", []byte("owes a secret"))
	s.Owe("paid", []byte("owed"))
	s.Owe("paid", nil)
	mustPut(t, s, sample("three"))
	text, err := os.ReadFile(journalNames(path)[0])
	if err != nil || bytes.Contains(text, []byte("secret")) {
		t.Errorf("%v, or a state is in the file as it is", err)
	}
	kill(t, s)
	want := []string{"gone owes owes a secret", "one first secret of one", "two secret of two"}
	for range 3 {
		s = openTest(t, path)
		if got := leftOf(s); !slices.Equal(got, want) {
			t.Fatalf("left are %q; want %q", got, want)
		}
		kill(t, s)
	}
	s = openTest(t, path)
	for _, l := range s.Left {
		if l.Owed {
			s.Owe(l.Record.ID, nil)
			continue
		}
		if l.Interrupted.Disposition != record.DispositionInterrupted || l.Interrupted.EndedAt.IsZero() || l.Record.Disposition == record.DispositionInterrupted {
			t.Errorf("left %+v; want only its record of an interruption to end it", l)
		}
		mustPut(t, s, l.Interrupted)
	}
	if err := s.Alive(t.Context(), start); err != nil { // what is paid is written with something else
		t.Fatal(err)
	}
	kill(t, s)
	s = openTest(t, path)
	if got := leftOf(s); len(got) != 0 || len(s.Interrupted) != 0 {
		t.Errorf("left are %q, %d interrupted; want none", got, len(s.Interrupted))
	}
	if r, ok, err := s.Get(t.Context(), "none"); err != nil || !ok || r.Disposition != record.DispositionInterrupted {
		t.Errorf("a call without a state: %v, %v, %+v", err, ok, r)
	}
}

// If a state is damaged or sealed with another key, only its call is lost.
func TestLeftDamaged(t *testing.T) {
	path, s := openNew(t)
	for i := range 3 {
		s.Journal(sample(fmt.Sprint("call", i)), []byte("a state"))
	}
	kill(t, s)
	name := journalNames(path)[0]
	text, err := os.ReadFile(name)
	must(t, err)
	files, err := readJournal(path)
	must(t, err)
	text[bytes.Index(text, files.lastStates()["call1"].kept)+20] ^= 1
	must(t, os.WriteFile(name, text, 0o600))
	s = openTest(t, path)
	if got := leftOf(s); !slices.Equal(got, []string{"call0 a state", "call2 a state"}) || len(s.Interrupted) != 1 {
		t.Errorf("left are %q, %d interrupted", got, len(s.Interrupted))
	}
	kill(t, s)
	other := s.key
	other[0] ^= 1
	db, err := openRaw(path)
	must(t, err)
	execute(t, db, `UPDATE meta SET value = ? WHERE name = 'signal_key'`, other[:])
	must(t, db.Close())
	s = openTest(t, path)
	if got := leftOf(s); len(got) != 0 || len(s.Interrupted) != 2 {
		t.Errorf("left are %q, %d interrupted; want all of them", got, len(s.Interrupted))
	}
}

// A kill while calls are being moved leaves two files. The next process uses both and merges them into one.
func TestLeftInTwoFiles(t *testing.T) {
	path, s := openNew(t)
	s.Journal(sample("old"), []byte("old state"))
	s.Journal(sample("both"), []byte("old state"))
	s.journal.mu.Lock()
	s.journal.turn()
	s.journal.mu.Unlock()
	s.Journal(sample("both"), []byte("new state"))
	s.Journal(sample("new"), []byte("new state"))
	kill(t, s)
	want := []string{"both new state", "new new state", "old old state"}
	s = openTest(t, path)
	if got := leftOf(s); !slices.Equal(got, want) {
		t.Fatalf("left are %q; want %q", got, want)
	}
	must(t, s.Alive(t.Context(), start))
	if s.journal.old != nil {
		t.Error("the old file is still there")
	}
	kill(t, s)
	s = openTest(t, path)
	if got := leftOf(s); !slices.Equal(got, want) {
		t.Errorf("left are %q; want %q", got, want)
	}
}

// After a takeover, the lock names the new process and not the one that has ended.
func TestTakenLockNamesItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	before := openTest(t, path)
	lock, resume, err := before.Pause(t.Context())
	must(t, err)
	defer resume()
	if _, err := lock.WriteAt([]byte("4711\n"), 0); err != nil { // the id of another process
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(lock.Fd()))
	must(t, err)
	s, err := OpenTaken(t.Context(), path, os.NewFile(uintptr(fd), lock.Name()))
	must(t, err)
	defer func() { _ = s.Leave() }()
	s.Taken()
	must(t, s.Flush(t.Context()))
	if _, err := Open(t.Context(), path); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Errorf("%v; want it to name %d", err, os.Getpid())
	}
}
