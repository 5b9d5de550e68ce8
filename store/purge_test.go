package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// size returns the length of the file in bytes.
func size(t *testing.T, s *Store) int64 {
	t.Helper()
	pragma(t, s, `PRAGMA wal_checkpoint(TRUNCATE)`)
	st, err := os.Stat(s.path)
	must(t, err)
	return st.Size()
}

// Deleted space is returned to the disk or reused, so the file does not grow forever.
func TestFileSize(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	fill := func(round int) {
		for i := range 4000 {
			r := sample(fmt.Sprintf("%d-%d", round, i))
			r.Node = strings.Repeat("x", 2000)
			_ = s.Put(cancelled(t), r)
		}
		must(t, s.Flush(t.Context()))
	}
	empty := size(t, s)
	var full int64
	for round := range 3 {
		fill(round)
		now := size(t, s)
		if full == 0 {
			full = now
		}
		if now > full+full/10 {
			t.Errorf("round %d: %d bytes; the first time %d", round, now, full)
		}
		if n, err := s.Purge(t.Context(), time.Now()); n != 4000 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if left := size(t, s); left > empty+full/3 {
			t.Errorf("round %d: %d bytes are left of %d", round, left, now)
		}
	}
}

// Everything that belongs to a call is deleted with it.
func TestPurgeTakesAll(t *testing.T) {
	s := openOutbox(t, filepath.Join(t.TempDir(), "f.db"), "a")
	r := sample("1")
	r.Attempts = []record.Attempt{{SIPCallID: "other"}}
	mustPut(t, s, r)
	if _, err := s.PutReport(t.Context(), "1", record.Report{CallID: "p", ReceivedAt: record.TimeOf(start)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Purge(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PurgeOutbox(t.Context(), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"calls", "reports", "other_ids", "outbox", "live"} {
		n := -1
		if err := s.Reader.pool().QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d rows are left, %v", table, n, err)
		}
	}
}
