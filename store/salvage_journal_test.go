package store

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
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

// A database whose schema is lost gives nothing, also what was committed into it meanwhile. The journal has what ended last. An
// item that was delivered is delivered again where nobody knows that, and else it is not.
func TestSalvageOfTheJournal(t *testing.T) {
	for name, lost := range map[string]bool{"without its schema": true, "readable": false} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.db")
			s, err := Open(t.Context(), path, "hook")
			if err != nil {
				t.Fatal(err)
			}
			mustPut(t, s, sample("before"))
			deliverAll(t, s, map[string]int{})
			mustPut(t, s, sample("meanwhile"))
			live := sample("live")
			live.EndedAt = Time{}
			s.Journal(live, nil)
			if err := s.Leave(); err != nil { // as after a kill
				t.Fatal(err)
			}
			if lost {
				spoil(t, path, "pageno = 1")
			}
			if s, err = Open(t.Context(), path, "hook"); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.condemned.Store(!lost)
			mustPut(t, s, sample("after"))
			delivered := map[string]int{}
			deliverAll(t, s, delivered)
			want := map[string]int{"after call": 1, "after recording": 1, "live call": 1, "live recording": 1}
			if !lost {
				want = map[string]int{"after call": 1, "after recording": 1}
			}
			if !maps.Equal(delivered, want) {
				t.Errorf("before the old file was read: delivered %v", delivered)
			}
			_, err = s.Salvage(t.Context())
			if (err != nil) != lost {
				t.Error(err)
			}
			for _, id := range []string{"before", "meanwhile", "live", "after"} {
				if _, ok, err := s.Get(t.Context(), id); !ok || err != nil {
					t.Errorf("call %s: %v, %v", id, ok, err)
				}
			}
			deliverAll(t, s, delivered)
			maps.Copy(want, map[string]int{"meanwhile call": 1, "meanwhile recording": 1, "live call": 1, "live recording": 1})
			if lost {
				maps.Copy(want, map[string]int{"before call": 1, "before recording": 1})
			}
			if !maps.Equal(delivered, want) {
				t.Errorf("delivered %v, want %v", delivered, want)
			}
		})
	}
}
