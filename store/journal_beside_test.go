package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// fillDisk fills the rest of a disk.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
}

// Entries that a file does not accept go to the next file.
func TestJournalLeavesAFile(t *testing.T) {
	j := journalAt(t)
	one, two := sample("one"), sample("two")
	j.note(callState, &one, nil, start)
	must(t, j.tend())
	first, good := j.file, j.file.f
	bad, err := os.Open(first.name) // opened only for reading
	must(t, err)
	j.file.f = bad
	j.note(callState, &two, nil, start)
	j.note(callState, &one, nil, start)
	j.over([]*finish{{id: "one"}})
	wantLive(t, j, "one")
	turnFile(j)
	bad.Close()
	first.f = good
	wantLive(t, j, "two")
	if err := j.tend(); err != nil || j.old != nil {
		t.Errorf("%v, %+v", err, j.old)
	}
	wantLive(t, j, "two")
	if _, err := os.Stat(first.name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file that was left: %v", err)
	}
	must(t, j.close())
}

// Without a disk, entries wait. They are written once it is back.
func TestJournalWithoutADisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	j := openJournal(filepath.Join(dir, "f.db"), testSeal)
	for _, id := range []string{"one", "two", "three"} {
		r := sample(id)
		j.note(callState, &r, nil, start)
		r.Cause = "newer"
		j.note(callState, &r, nil, start)
	}
	j.over([]*finish{{id: "two"}})
	if _, err := j.state(); err == nil || j.tend() == nil {
		t.Error("no error")
	}
	must(t, os.Mkdir(dir, 0o700))
	must(t, j.tend())
	wantLive(t, j, "one", "three")
	noteCalls(j, "one")
	wantLive(t, j, "one", "three")
	must(t, j.close())
}

// Files of an earlier process that can't be written stay, and are used again once they can be.
func TestJournalThatCannotBeWritten(t *testing.T) {
	j := journalAt(t)
	noteCalls(j, "one")
	must(t, j.close())
	files, err := readJournal(j.path)
	must(t, err)
	is := files.names[1]
	files.names[1] += ".elsewhere" // can't be opened
	states := files.lastStates()
	again := newJournal(j.path, testSeal)
	if again.adopt(&files, states, states); again.err == nil {
		t.Fatal("no error")
	}
	must(t, again.close())
	wantLive(t, j, "one")
	again = newJournal(j.path, testSeal)
	again.adopt(&files, states, states)
	noteCalls(again, "two")
	if err := again.tend(); err == nil {
		t.Fatal("no error")
	}
	must(t, os.Rename(is, files.names[1]))
	must(t, again.tend())
	must(t, os.Rename(files.names[1], is))
	wantLive(t, j, "one", "two")
	again.over([]*finish{{id: "one"}})
	wantLive(t, j, "two")
	must(t, again.close())
}

// The process that replaces another one writes its own journal beside the other's. A kill at any moment preserves the
// last states of both. A failed upgrade leaves nothing of the new journal.
func TestJournalBesideAnother(t *testing.T) {
	j := journalAt(t)
	noteCalls(j, "one", "two")
	must(t, j.tend())
	beside, err := openBeside(j.path, testSeal)
	must(t, err)
	wantLive(t, j, "one", "two")
	two := sample("two")
	two.Cause = "newer"
	beside.note(callState, &two, nil, start)
	must(t, beside.tend())
	wantLive(t, j, "one", "two")
	if states, _ := statesAt(j.path); states["two"].in != 1 {
		t.Error("the older state counts")
	}
	if err := beside.leave(); err != nil { // the upgrade failed
		t.Fatal(err)
	}
	j.removeStray()
	wantLive(t, j, "one", "two")
	if states, _ := statesAt(j.path); states["two"].in != 1 { // in only one file
		t.Errorf("two is in file %d; want file 1, the only one", states["two"].in)
	}
	if text, err := os.ReadFile(j.otherName(j.file)); err == nil && len(text) > 0 {
		t.Errorf("the other process has left a file of %d bytes", len(text))
	}
	must(t, j.tend())

	beside, err = openBeside(j.path, testSeal)
	must(t, err)
	noteCalls(beside, "one", "two")
	beside.over([]*finish{{id: "one"}})
	wantLive(t, j, "two")
	beside.predecessorGone()
	if err := beside.tend(); err != nil || beside.old != nil {
		t.Fatalf("%v, %+v", err, beside.old)
	}
	wantLive(t, j, "two")
	must(t, beside.close())
	must(t, j.leave())
}

// A process that is to replace another one does not start if a full disk has no room for its file. The other one
// continues.
func TestJournalBesideAnotherOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("flowbridge", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("needs root, for a disk of its own: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	j := openJournal(filepath.Join(dir, "f.db"), testSeal)
	one, two := sample("one"), sample("two")
	j.note(callState, &one, nil, start)
	fillDisk(t, dir)
	if _, err := openBeside(j.path, testSeal); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v; want that the disk is full", err)
	}
	must(t, os.Remove(filepath.Join(dir, "filler")))
	j.removeStray()
	j.note(callState, &two, nil, start)
	must(t, j.tend())
	wantLive(t, j, "one", "two")
	must(t, j.close())
}
