package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// fillDisk takes what is left of a disk.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
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

// On a full disk, live calls go on noting: the file and the one after it have their room already, and give it to nobody.
func TestJournalHasRoomOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("flowbridge", dir, "tmpfs", 0, "size=128m"); err != nil {
		t.Skipf("needs root, for a disk of its own: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	j := openJournal(filepath.Join(dir, "f.db"), testSeal)
	if err := j.tend(); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, dir)
	stays := make([]string, 200)
	for i := range stays {
		stays[i] = fmt.Sprintf("stays%03d", i)
	}
	turns, before := 0, j.file
	for i := range 800 * len(stays) { // a hundred times what the disk has
		r := sample(stays[i%len(stays)])
		r.Cause = fmt.Sprint("state ", i)
		j.note(callState, &r, nil, start)
		if i%100 == 0 {
			if err := j.tend(); err != nil {
				t.Fatal(err)
			}
		}
		if j.file != before {
			turns, before = turns+1, j.file
		}
	}
	if turns < 4 || j.dropped > 0 || len(j.waiting) > 0 {
		t.Errorf("%d turns, %d entries dropped, %d bytes wait", turns, j.dropped, len(j.waiting))
	}
	wantLive(t, j, stays...)
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

// A file that can't get more room is left for the next one before it is full, with what it has not taken any more.
func TestJournalLeavesAShortFile(t *testing.T) {
	j := journalAt(t)
	one, two := sample("one"), sample("two")
	j.note(callState, &one, nil, start)
	if err := j.tend(); err != nil {
		t.Fatal(err)
	}
	if j.next == nil {
		t.Skip("needs a file system with fallocate")
	}
	first, good := j.file, j.file.f
	bad, err := os.Open(first.name) // can't be written
	if err != nil {
		t.Fatal(err)
	}
	j.file.f = bad
	j.note(callState, &two, nil, start)
	j.note(callState, &one, nil, start)
	j.over([]*finish{{id: "one"}})
	wantLive(t, j, "one")
	j.mu.Lock()
	j.turn()
	j.mu.Unlock()
	bad.Close()
	first.f = good
	wantLive(t, j, "two")
	if err := j.tend(); err != nil || j.old != nil {
		t.Errorf("%v, %+v", err, j.old)
	}
	wantLive(t, j, "two")
	if st, err := os.Stat(j.next.name); err != nil || st.Size() != 0 || j.next.room < journalFile {
		t.Errorf("%v: the file that was left has %+v, and room for %d", err, st, j.next.room)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

// Without a disk, entries wait, and are there when it is.
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
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.tend(); err != nil {
		t.Fatal(err)
	}
	wantLive(t, j, "one", "three")
	r := sample("one")
	j.note(callState, &r, nil, start)
	wantLive(t, j, "one", "three")
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

// Files of an earlier process that can't be written stay, and go on when they can be.
func TestJournalThatCannotBeWritten(t *testing.T) {
	j := journalAt(t)
	one := sample("one")
	j.note(callState, &one, nil, start)
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	files, err := readJournal(j.path)
	if err != nil {
		t.Fatal(err)
	}
	is := files.names[1]
	files.names[1] += ".elsewhere" // can't be opened
	states := files.lastStates()
	again := newJournal(j.path, testSeal)
	if again.goOn(&files, states, states); again.err == nil {
		t.Fatal("no error")
	}
	if err := again.close(); err != nil {
		t.Fatal(err)
	}
	wantLive(t, j, "one")
	again = newJournal(j.path, testSeal)
	again.goOn(&files, states, states)
	two := sample("two")
	again.note(callState, &two, nil, start)
	if err := again.tend(); err == nil {
		t.Fatal("no error")
	}
	if err := os.Rename(is, files.names[1]); err != nil {
		t.Fatal(err)
	}
	if err := again.tend(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(files.names[1], is); err != nil {
		t.Fatal(err)
	}
	wantLive(t, j, "one", "two")
	again.over([]*finish{{id: "one"}})
	wantLive(t, j, "two")
	if err := again.close(); err != nil {
		t.Fatal(err)
	}
}

// The process that replaces another one writes beside its journal. A kill at any moment leaves the last states of both; an
// upgrade that fails leaves nothing of it.
func TestJournalBesideAnother(t *testing.T) {
	j := journalAt(t)
	for _, id := range []string{"one", "two"} {
		r := sample(id)
		j.note(callState, &r, nil, start)
	}
	if err := j.tend(); err != nil {
		t.Fatal(err)
	}
	beside, err := openBeside(j.path, testSeal)
	if err != nil {
		t.Fatal(err)
	}
	wantLive(t, j, "one", "two")
	two := sample("two")
	two.Cause = "newer"
	beside.note(callState, &two, nil, start)
	if err := beside.tend(); err != nil {
		t.Fatal(err)
	}
	wantLive(t, j, "one", "two")
	if states, _ := statesAt(j.path); states["two"].in != 1 {
		t.Error("the older state counts")
	}
	if err := beside.leave(); err != nil { // it has failed
		t.Fatal(err)
	}
	j.alone()
	wantLive(t, j, "one", "two")
	if states, _ := statesAt(j.path); states["two"].in != 1 { // the only one
		t.Errorf("%+v", states["two"])
	}
	if text, err := os.ReadFile(j.otherName(j.file)); err == nil && len(text) > 0 {
		t.Errorf("the other process has left a file of %d bytes", len(text))
	}
	if err := j.tend(); err != nil {
		t.Fatal(err)
	}

	if beside, err = openBeside(j.path, testSeal); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two"} {
		r := sample(id)
		beside.note(callState, &r, nil, start)
	}
	beside.over([]*finish{{id: "one"}})
	wantLive(t, j, "two")
	beside.taken()
	if err := beside.tend(); err != nil || beside.old != nil {
		t.Fatalf("%v, %+v", err, beside.old)
	}
	wantLive(t, j, "two")
	if err := beside.close(); err != nil {
		t.Fatal(err)
	}
	if err := j.leave(); err != nil {
		t.Fatal(err)
	}
}

// A process that replaces another one on a full disk takes the room that the other one has. Without that it does not begin, and the
// other one goes on.
func TestJournalBesideAnotherOnAFullDisk(t *testing.T) {
	for _, tt := range []struct {
		size string
		left int64 // on the disk
		room bool
	}{{"8m", 0, false}, {"8m", 16 << 10, false}, {"128m", 0, true}} {
		size, room := tt.size, tt.room
		dir := t.TempDir()
		if err := unix.Mount("flowbridge", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Skipf("needs root, for a disk of its own: %v", err)
		}
		defer unix.Unmount(dir, unix.MNT_DETACH)
		j := openJournal(filepath.Join(dir, "f.db"), testSeal)
		if err := j.tend(); err != nil {
			t.Fatal(err)
		}
		one, two := sample("one"), sample("two")
		j.note(callState, &one, nil, start)
		fillDisk(t, dir)
		filler := filepath.Join(dir, "filler")
		st, err := os.Stat(filler)
		if err == nil {
			err = os.Truncate(filler, st.Size()-tt.left)
		}
		if err != nil {
			t.Fatal(err)
		}
		beside, err := openBeside(j.path, testSeal)
		if (err == nil) != room {
			t.Fatalf("with %s: %v", size, err)
		}
		if !room {
			j.alone()
			j.note(callState, &two, nil, start)
			wantLive(t, j, "one", "two")
			if err := j.close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		beside.note(callState, &one, nil, start) // it goes on here
		beside.taken()
		if err := j.leave(); err != nil {
			t.Fatal(err)
		}
		for i := range 10_000 { // what the disk has not
			two.Cause = fmt.Sprint("state ", i)
			beside.note(callState, &two, nil, start)
			if i%100 == 0 {
				if err := beside.tend(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if beside.dropped > 0 || len(beside.waiting) > 0 {
			t.Errorf("%d entries dropped, %d bytes wait", beside.dropped, len(beside.waiting))
		}
		wantLive(t, beside, "one", "two")
		if err := beside.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A process that goes on after a kill on a full disk has the room of the one before: for its file, and for the next ones.
func TestJournalGoesOnWithRoomOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("flowbridge", dir, "tmpfs", 0, "size=128m"); err != nil {
		t.Skipf("needs root, for a disk of its own: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	j := openJournal(filepath.Join(dir, "f.db"), testSeal)
	if err := j.tend(); err != nil {
		t.Fatal(err)
	}
	one, two := sample("one"), sample("two")
	j.note(callState, &one, nil, start)
	fillDisk(t, dir)
	if err := j.leave(); err != nil { // as a kill does
		t.Fatal(err)
	}
	files, err := readJournal(j.path)
	if err != nil {
		t.Fatal(err)
	}
	states := files.lastStates()
	again := newJournal(j.path, testSeal)
	again.goOn(&files, states, states)
	if err := again.tend(); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, dir) // somebody takes what is given away
	turns := again.file.number + 3
	for i := 0; again.file.number < turns; i++ {
		two.Cause = fmt.Sprint("state ", i)
		again.note(callState, &two, nil, start)
		if i%1000 == 0 {
			if err := again.tend(); err != nil {
				t.Fatalf("state %d: %v", i, err)
			}
		}
	}
	if again.dropped > 0 || len(again.waiting) > 0 {
		t.Errorf("%d entries dropped, %d bytes wait", again.dropped, len(again.waiting))
	}
	wantLive(t, again, "one", "two")
	if err := again.close(); err != nil {
		t.Fatal(err)
	}
}

// While somebody writes to the file, the room of the next one stays.
func TestJournalKeepsRoomWhileItIsWritten(t *testing.T) {
	j := journalAt(t)
	if err := j.tend(); err != nil || j.next == nil {
		t.Fatal(err, j.next)
	}
	next, room := j.next, j.next.room
	j.mu.Lock()
	j.writing = true
	j.turn()
	j.writing = false
	j.mu.Unlock()
	if j.next != next || next.room != room || next.written > 0 || !next.inPlace() {
		t.Errorf("the next file is %+v; want %+v with %d bytes of room", j.next, next, room)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}
