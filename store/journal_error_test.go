package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"flowbridge/store/record"
)

// An error ends with its cause, even without new calls: a process that is not ready gets none.
func TestJournalErrorEndsWithoutCalls(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(dir, 0o700))
	j := openJournal(filepath.Join(dir, "f.db"), testSeal)
	must(t, os.RemoveAll(dir))
	if err := j.tend(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
	must(t, os.Mkdir(dir, 0o700))
	if err := j.tend(); err != nil {
		t.Errorf("with a directory: %v", err)
	}
	if _, err := j.state(); err != nil {
		t.Error(err)
	}
	must(t, j.close())
}

// If a journal file is truncated, only the states that were in it are lost.
func TestJournalTruncated(t *testing.T) {
	j := journalAt(t)
	noteCalls(j, "one", "two")
	first := j.file.name
	must(t, os.Truncate(first, int64(headSize)+j.live["one"].at))
	turnFile(j)
	if err := j.tend(); err != nil || j.old != nil {
		t.Errorf("%v; the old file is left: %v", err, j.old)
	}
	noteCalls(j, "three")
	wantLive(t, j, "three")
	if len(j.live) != 1 || j.size != int64(j.live["three"].size) {
		t.Errorf("%d calls are live, %d bytes", len(j.live), j.size)
	}
	must(t, j.close())
}

// An entry of which the kernel had a part when the process was killed costs nothing but itself, whichever part that was.
func TestJournalTorn(t *testing.T) {
	j := journalAt(t)
	for _, id := range []string{"one", "torn", "three"} {
		r := bare(id)
		j.note(callState, &r, nil, start)
	}
	whole, err := os.ReadFile(j.file.name)
	must(t, err)
	p := j.live["torn"]
	for at := range p.size {
		for _, lost := range [][2]int{{at, p.size}, {0, at + 1}, {at, at + 1}} {
			text := slices.Clone(whole)
			part := text[p.at:][lost[0]:lost[1]]
			clear(part)
			if bytes.Equal(text, whole) { // nothing but zeros
				continue
			}
			must(t, os.WriteFile(j.file.name, text, 0o600))
			wantLive(t, j, "one", "three")
		}
	}
	must(t, j.close())
}

// The entries behind a lost head are read as the older file's.
func TestJournalWithoutHead(t *testing.T) {
	j := journalAt(t)
	noteCalls(j, "one", "two")
	if _, err := j.file.f.WriteAt(make([]byte, headSize), 0); err != nil {
		t.Fatal(err)
	}
	wantLive(t, j, "one", "two")
	turnFile(j)
	j.over([]*finish{{id: "one"}})
	wantLive(t, j, "two")
	must(t, j.close())
}

// A record that finds no room in the queue is in the journal, and the next start has it.
func TestJournalKeepsWhatTheQueueDoesNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := open(t.Context(), path, 1, nil)
	must(t, err)
	mend := breakDisk(t, path)
	for _, id := range []string{"one", "two"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := s.Put(ctx, sample(id))
		cancel()
		if full := errors.Is(err, errFull); err == nil || full != (id == "two") {
			t.Errorf("%s: %v", id, err)
		}
	}
	killed, err := os.ReadFile(path + ".live-a")
	must(t, err)
	mend()
	must(t, s.Close())
	must(t, os.WriteFile(path+".live-a", killed, 0o600))
	again := openTest(t, path)
	for _, id := range []string{"one", "two"} {
		if r, ok, err := again.Get(t.Context(), id); err != nil || !ok || r.Disposition != record.DispositionAnswered {
			t.Errorf("%s: %v, %v, %+v", id, ok, err, r)
		}
	}
}
