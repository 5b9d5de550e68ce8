package store

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"flowbridge/store/record"
)

// forgetEnded has the journal's files forget the calls that are over.
func forgetEnded(t *testing.T, path string) {
	t.Helper()
	for _, name := range journalNames(path) {
		if err := os.Truncate(name, int64(headSize)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// deliverAll delivers what is due, and counts it.
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

// A database whose schema is lost gives nothing, also what was committed into it meanwhile. The new file has what the journal has of the
// calls that ended last, and their items are delivered again.
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
	if err := s.Leave(); err != nil { // as after a kill
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

// spoil overwrites the page with the schema of a closed database.
func spoil(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 512), 0); err != nil {
		t.Fatal(err)
	}
}
