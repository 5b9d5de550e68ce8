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
)

// badBlocks is a file with blocks that its disk can't read.
type badBlocks struct {
	*bytes.Reader

	bad []int64 // offsets of these blocks
}

func (b badBlocks) ReadAt(p []byte, at int64) (int, error) {
	for _, bad := range b.bad {
		if at < bad+lostBlock && at+int64(len(p)) > bad {
			n, _ := b.Reader.ReadAt(p[:max(bad-at, 0)], at)
			return n, unix.EIO
		}
	}
	return b.Reader.ReadAt(p, at)
}

// unreadableFile is a file whose beginning can't be read.
const unreadableFile = "/proc/self/mem"

// If the disk can't read some blocks, only the entries in them are lost.
func TestJournalWithUnreadableBlocks(t *testing.T) {
	j := journalAt(t)
	for i := range 100 {
		noteCalls(j, fmt.Sprint("call", i))
	}
	text, err := os.ReadFile(j.file.name)
	must(t, err)
	for _, bad := range [][]int64{nil, {0}, {4 * lostBlock}, {3 * lostBlock, 4 * lostBlock}, {int64(len(text)) / lostBlock * lostBlock}} {
		got, lost, err := readAround(badBlocks{bytes.NewReader(text), bad}, int64(len(text)))
		if err != nil || len(got) != len(text) {
			t.Fatalf("%v: %v, %d bytes", bad, err, len(got))
		}
		holes, want := slices.Clone(text), 0
		for _, at := range bad {
			hole := holes[at:min(int(at)+lostBlock, len(holes))]
			clear(hole)
			want += len(hole)
		}
		if !bytes.Equal(got, holes) || lost != want {
			t.Errorf("%v: %d bytes are lost, want %d, or others are", bad, lost, want)
		}
		files := journalFiles{texts: [2][]byte{nil, got}}
		if n := len(files.lastStates()); n < 100-5*len(bad) || (n == 100) != (bad == nil) {
			t.Errorf("%v: %d calls are left", bad, n)
		}
	}
	short, _, err := readAround(bytes.NewReader(text[:5000]), int64(len(text)))
	if err != nil || !bytes.Equal(short, text[:5000]) {
		t.Errorf("a file that became shorter: %v, %d bytes", err, len(short))
	}
	must(t, j.close())
}

// An unreadable journal file does not prevent a start.
func TestStartWithAnUnreadableJournal(t *testing.T) {
	path, s := openNew(t)
	s.Journal(sample("lives"), []byte("a state"))
	kill(t, s)
	name := journalNames(path)[1]
	_ = os.Remove(name)
	must(t, os.Symlink(unreadableFile, name))
	again := openTest(t, path)
	if got := leftOf(again); !slices.Equal(got, []string{"lives a state"}) {
		t.Errorf("left are %q", got)
	}
}

// Unreadable parts are reported once.
func TestUnreadableJournalIsToldOnce(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	s.lost = unix.EIO
	s.journal.mu.Lock()
	s.journal.unread = 2
	s.journal.mu.Unlock()
	if err := s.Alive(t.Context(), start); err == nil || !strings.Contains(err.Error(), "the states of 2 live calls") || !strings.Contains(err.Error(), unix.EIO.Error()) {
		t.Errorf("alive: %v; want the states of 2 live calls and %v", err, unix.EIO)
	}
	must(t, s.Alive(t.Context(), start))
}

// Moving to the next file does not wait for entries that can't be read: their calls are noted again.
func TestJournalMovesWithoutUnreadableEntries(t *testing.T) {
	j := journalAt(t)
	one := sample("one")
	j.note(callState, &one, nil, start)
	turnFile(j)
	noteCalls(j, "two")
	bad, err := os.Open(unreadableFile)
	must(t, err)
	must(t, j.old.f.Close())
	j.old.f = bad
	if err := j.tend(); err != nil || j.old != nil {
		t.Errorf("%v; the old file is left: %v", err, j.old)
	}
	if err := j.lost(); err == nil || j.lost() != nil {
		t.Errorf("told is %v, or it is told again", err)
	}
	j.note(callState, &one, nil, start)
	wantLive(t, j, "one", "two")
	must(t, j.close())
}

// A file that is larger than any journal file of this program uses no memory and does not prevent a start. The problem
// is reported.
func TestHugeJournalIsRefused(t *testing.T) {
	path, s := openNew(t)
	s.Journal(sample("lives"), []byte("a state"))
	kill(t, s)
	name := journalNames(path)[1]
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	if err := errors.Join(f.Truncate(1<<42), f.Close()); err != nil {
		t.Skip("the file system has no such files: ", err)
	}
	again := openTest(t, path)
	if got := leftOf(again); !slices.Equal(got, []string{"lives a state"}) {
		t.Errorf("left are %q", got)
	}
	if err := again.Alive(t.Context(), start); !errors.Is(err, errJournalSize) || !strings.Contains(err.Error(), name) {
		t.Errorf("alive: %v; want %v of %s", err, errJournalSize, name)
	}
}
