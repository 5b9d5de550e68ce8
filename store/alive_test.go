package store

import (
	"path/filepath"
	"testing"
	"time"
)

// A call of a killed process lasted at least as long as the process is known
// to have lived.
func TestInterruptedLastsUntilAlive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alive.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	answered := time.Now()
	s.Journal(Record{ID: "a", StartedAt: TimeOf(answered), AnsweredAt: TimeOf(answered)}, nil)
	for _, after := range []time.Duration{time.Minute, 3 * time.Hour} {
		if err := s.Alive(t.Context(), answered.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // the call is left open, as by a killed process
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, ok, err := s.Get(t.Context(), "a")
	if err != nil || !ok || r.DurationMS != (3*time.Hour).Milliseconds() || r.Disposition != DispositionInterrupted {
		t.Errorf("%v, %v: %+v", ok, err, r)
	}
}
