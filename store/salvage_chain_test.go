package store

import (
	"maps"
	"path/filepath"
	"testing"
)

// deliverAll delivers what is due, and counts it.
func deliverAll(t *testing.T, s *Store, delivered map[string]int) {
	t.Helper()
	for {
		items, err := s.Outbox(t.Context(), "hook", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			delivered[i.CallID+" "+i.Kind]++
			if err := s.Delivered(t.Context(), []int64{i.Seq}); err != nil {
				t.Error(err)
			}
		}
		if len(items) == 0 {
			return
		}
	}
}

// An item is delivered once, also if it is in two damaged files, because the second was damaged while it took over the first; and
// if the record of its call was written again, from the journal, before that was taken over.
func TestSalvageChainDeliversOnce(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "f.db"), "hook")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, id := range []string{"old", "between", "new"} {
		mustPut(t, s, sample(id))
		if id == "between" {
			v := &salvage{s: s, Salvaged: Salvaged{File: s.SetAside()}}
			if _, err := v.run(t.Context()); err != nil || v.Items == 0 {
				t.Fatalf("%+v, %v", v.Salvaged, err)
			}
		}
		s.condemned.Store(id != "new")
	}
	mustPut(t, s, sample("between"))
	delivered := map[string]int{}
	for _, file := range []string{"the second", "the first"} {
		if _, err := s.Salvage(t.Context()); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		deliverAll(t, s, delivered)
	}
	want := map[string]int{"old call": 1, "old recording": 1, "between call": 1, "between recording": 1, "new call": 1, "new recording": 1}
	if size, err := s.OutboxSize(t.Context()); err != nil || len(size) > 0 || !maps.Equal(delivered, want) {
		t.Errorf("delivered %v, left %v, %v", delivered, size, err)
	}
}

// Of two files the older one can't be read by this version, perhaps never: the items of the other one are delivered.
func TestSalvageChainThatCanNotBeRead(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "f.db"), "hook")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var files []string
	for _, id := range []string{"old", "between", "new"} {
		mustPut(t, s, sample(id))
		files = append(files, s.SetAside())
		forgetEnded(t, s.path)
		s.condemned.Store(id != "new")
	}
	db, err := openRaw(files[1])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE calls RENAME COLUMN node TO nodes`); err != nil {
		t.Fatal(err)
	}
	delivered := map[string]int{}
	for _, readable := range []bool{true, false, false} {
		if _, err := s.Salvage(t.Context()); (err == nil) != readable {
			t.Errorf("readable %v: %v", readable, err)
		}
		deliverAll(t, s, delivered)
	}
	want := map[string]int{"between call": 1, "between recording": 1, "new call": 1, "new recording": 1}
	if !maps.Equal(delivered, want) {
		t.Errorf("delivered %v", delivered)
	}
}

// A second file is damaged before the first is taken over: what can be read of both is there, and each item once.
func TestSalvageChain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := Open(t.Context(), path, "hook")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, id := range []string{"1", "2", "3"} {
		mustPut(t, s, sample(id))
		s.condemned.Store(true)
	}
	mustPut(t, s, sample("4"))
	for range 4 {
		if _, err := s.Salvage(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := s.Note(t.Context(), salvageNote, s.SetAside()); err != nil { // as after a kill within it
		t.Fatal(err)
	}
	if got, err := s.Salvage(t.Context()); err != nil || got.Records != 0 || got.Items != 0 {
		t.Errorf("again: %+v, %v", got, err)
	}
	records, _, err := s.List(t.Context(), Filter{})
	size, sizeErr := s.OutboxSize(t.Context())
	if err != nil || sizeErr != nil || len(records) != 4 || size["hook"] != 2*4 { // each has a recording
		t.Errorf("%d records, %v; items: %v, %v", len(records), err, size, sizeErr)
	}
}
