package store

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"flowbridge/store/record"
)

// forgetEnded removes the ended calls from the journal's files.
func forgetEnded(t *testing.T, path string) {
	t.Helper()
	for _, name := range journalNames(path) {
		if err := os.Truncate(name, int64(headSize)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// deliverAll delivers all due items and counts them.
func deliverAll(t *testing.T, s *Store, delivered map[string]int) {
	t.Helper()
	for {
		items, err := s.Outbox(t.Context(), "hook", 10)
		must(t, err)
		for _, i := range items {
			delivered[i.CallID+" "+i.Kind]++
			must(t, s.Delivered(t.Context(), []int64{i.Seq}))
		}
		if len(items) == 0 {
			return
		}
	}
}

// A database that lost its schema can't be read at all, including what was committed after the loss. The new file has
// the journal's records of the last calls that ended, and their items are delivered again.
func TestDamagedRecordsAreInTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := Open(t.Context(), path, "hook")
	must(t, err)
	mustPut(t, s, sample("before"))
	deliverAll(t, s, map[string]int{})
	mustPut(t, s, sample("meanwhile"))
	live := sample("live")
	live.EndedAt = record.Time{}
	s.Journal(live, nil)
	if err := s.Leave(); err != nil { // like a kill
		t.Fatal(err)
	}
	spoil(t, path)
	s, err = Open(t.Context(), path, "hook")
	must(t, err)
	defer s.Close()
	mustPut(t, s, sample("after"))
	delivered := map[string]int{}
	deliverAll(t, s, delivered)
	want := map[string]int{}
	for _, id := range []string{"before", "meanwhile", "live", "after"} {
		if _, ok, err := s.Get(t.Context(), id); !ok || err != nil {
			t.Errorf("call %s: %v, %v", id, ok, err)
		}
		want[id+" call"], want[id+" recording"] = 1, 1
	}
	if !maps.Equal(delivered, want) {
		t.Errorf("delivered %v; want %v", delivered, want)
	}
}

// spoil overwrites the page that holds the schema of a closed database.
func spoil(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 512), 0); err != nil {
		t.Fatal(err)
	}
}
