package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

var start = time.Date(2026, 11, 20, 8, 0, 0, 123_000_000, time.UTC)

func sample(id string) record.Record {
	return record.Record{
		ID: id, Node: "n1", Trunk: "carrier", Route: "0", Target: "synthflow", Direction: "inbound",
		From: "+15550100001", To: "+15550100002", SIPCallID: "a@b", TargetSIPCallID: "c@d", SynthflowCallID: "sf-" + id,
		StartedAt: record.TimeOf(start), RingingAt: record.TimeOf(start.Add(time.Second)), PreparedAt: record.TimeOf(start.Add(2 * time.Second)),
		DialedAt: record.TimeOf(start.Add(3 * time.Second)), AnsweredAt: record.TimeOf(start.Add(4 * time.Second)),
		EndedAt: record.TimeOf(start.Add(64 * time.Second)), SetupMS: 4000, DurationMS: 60000, Disposition: record.DispositionAnswered,
		SIPStatus: 200, Q850: 16, Cause: "normal", EndedBy: record.EndedByCaller, Codec: "PCMU",
		Lead: "+15550100001", ExternalID: "CA0123", TraceID: "0af7651916cd43dd8448eb211c80319c",
		Attempts: []record.Attempt{{Target: "synthflow", PrepareMS: 80, PrepareStatus: 200, SIPStatus: 200, Cause: "normal", MS: 900, DroppedHeaders: []string{"X-A", "X-B"}}},
		Recordings: []record.Recording{{
			File: "2026/11/20/x.wav", Format: "wav", StartedAt: record.TimeOf(time.Date(2026, 11, 20, 8, 0, 4, 0, time.UTC)),
			EndedAt: record.TimeOf(time.Date(2026, 11, 20, 8, 1, 4, 0, time.UTC)), Bytes: 1920044, Dropped: 3, Error: "write: no space left on device",
		}, {Format: "pcapng", EndedAt: record.TimeOf(time.Date(2026, 11, 20, 8, 0, 4, 0, time.UTC)), Error: "refused"}},
		Media: record.Media{A: record.MediaSide{Rx: 3000, Tx: 2999, Lost: 1, Dropped: 2, JitterMS: 1.5}, B: record.MediaSide{
			Rx: 2, DroppedBy: record.DroppedBy{WrongSource: 3, Replaced: 4}, Duplicates: 5, Reordered: 6, Bursts: 7, SSRCChanges: 8, RTT: 9.5, MOS: 3.2,
		}, MOS: 4.3, OneWay: "b"},
	}
}

func openTest(tb testing.TB, path string) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), path)
	must(tb, err)
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func mustPut(tb testing.TB, s *Store, recs ...record.Record) {
	tb.Helper()
	for _, r := range recs {
		must(tb, s.Put(tb.Context(), r))
	}
}

func TestPutAndGet(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	want := sample("one")
	mustPut(t, s, want)
	got, ok, err := s.Get(t.Context(), "one")
	if err != nil || !ok {
		t.Fatalf("get: %v, %v", ok, err)
	}
	if diff := cmp.Diff(asRead(want), got); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	if _, ok, err := s.Get(t.Context(), "none"); ok || err != nil {
		t.Errorf("unknown id: %v, %v", ok, err)
	}
}

func TestSparseRecord(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	mustPut(t, s, record.Record{ID: "x"})
	got, ok, err := s.Get(t.Context(), "x")
	if err != nil || !ok {
		t.Fatalf("get: %v, %v", ok, err)
	}
	if got.StartedAt.IsZero() || !got.AnsweredAt.IsZero() || got.Attempts == nil {
		t.Errorf("got %+v", got)
	}
	if err := s.Put(t.Context(), record.Record{}); err == nil {
		t.Error("a record without an id was taken")
	}
}

func TestPutIsIdempotent(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	first := sample("one")
	again := first
	again.Cause = "changed"
	mustPut(t, s, first, again, first)
	records, _, err := s.List(t.Context(), record.Filter{})
	must(t, err)
	if diff := cmp.Diff([]record.Record{asRead(first)}, records); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
}

func TestJournalDoesNotTouchFinished(t *testing.T) {
	path, s := openNew(t)
	want := sample("one")
	s.Journal(want, nil)
	mustPut(t, s, want)
	late := want
	late.Cause = "late"
	s.Journal(late, nil)
	must(t, s.Flush(t.Context()))
	must(t, s.Close())
	again := openTest(t, path)
	if n := len(again.Interrupted); n != 0 {
		t.Errorf("got %d interrupted; want 0", n)
	}
	got, _, err := again.Get(t.Context(), "one")
	if diff := cmp.Diff(asRead(want), got); diff != "" || err != nil {
		t.Errorf("%v; want - got +\n%s", err, diff)
	}
}

func TestInterrupted(t *testing.T) {
	path, s := openNew(t)
	answered, ringing := sample("answered"), sample("ringing")
	for _, r := range []*record.Record{&answered, &ringing} {
		r.EndedAt, r.Disposition, r.Cause, r.EndedBy, r.DurationMS = record.Time{}, "", "", "", 0
	}
	ringing.AnsweredAt = record.Time{}
	answered.AnsweredAt, answered.DurationMS = record.TimeOf(time.Now().Add(-time.Minute)), time.Minute.Milliseconds()
	s.Journal(answered, nil)
	s.Journal(ringing, nil)
	must(t, s.Close())
	again := openTest(t, path)
	if n := len(again.Interrupted); n != 2 {
		t.Fatalf("got %d interrupted; want 2", n)
	}
	for _, want := range []record.Record{answered, ringing} {
		got, ok, err := again.Get(t.Context(), want.ID)
		if err != nil || !ok {
			t.Fatalf("get %s: %v, %v", want.ID, ok, err)
		}
		if got.EndedAt.IsZero() || time.Since(got.EndedAt.Time) > time.Minute {
			t.Errorf("%s: ended_at %v", want.ID, got.EndedAt)
		}
		if want.ID == "answered" && (got.DurationMS < 60_000 || got.DurationMS > 120_000) {
			t.Errorf("duration_ms %d", got.DurationMS)
		}
		want.EndedAt, want.DurationMS = got.EndedAt, got.DurationMS
		want.Disposition, want.Cause, want.EndedBy = record.DispositionInterrupted, record.CauseProcessRestart, record.EndedBySystem
		if want.ID == "answered" {
			want.SIPStatus, want.Q850 = 200, 31
		}
		if diff := cmp.Diff(asRead(want), got); diff != "" {
			t.Errorf("want - got +\n%s", diff)
		}
	}
}

// asRead returns a record as the database returns it: with its problems, which are determined when it
// is read.
func asRead(r record.Record) record.Record {
	r.Problems = record.ProblemsOf(&r)
	return r
}

func TestKeyIsKept(t *testing.T) {
	path, s := openNew(t)
	key := s.Key()
	if key == [32]byte{} {
		t.Fatal("key is zero")
	}
	must(t, s.Close())
	if again := openTest(t, path); again.Key() != key {
		t.Error("the key changed")
	}
	if other := openTest(t, filepath.Join(t.TempDir(), "g.db")); other.Key() == key {
		t.Error("two databases have one key")
	}
}

func TestFileRights(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?#%.db")
	s := openTest(t, path)
	mustPut(t, s, sample("one"))
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		st, err := os.Stat(path + suffix)
		must(t, err)
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v; want 0600", suffix, st.Mode().Perm())
		}
	}
}

func TestListPages(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	var want []string
	for i := range 25 {
		r := sample(fmt.Sprintf("c%02d", i))
		r.StartedAt = record.TimeOf(start.Add(time.Duration(i/2) * time.Second)) // two records share each time
		mustPut(t, s, r)
		want = append([]string{r.ID}, want...)
	}
	var got []string
	cursor := ""
	for page := 0; ; page++ {
		records, next, err := s.List(t.Context(), record.Filter{Limit: 7, Cursor: cursor})
		must(t, err)
		for _, r := range records {
			got = append(got, r.ID)
		}
		fresh := sample(fmt.Sprintf("new%d", page))
		fresh.StartedAt = record.TimeOf(start.Add(time.Hour))
		mustPut(t, s, fresh)
		if next == "" {
			break
		}
		cursor = next
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
}

func TestListFilters(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	for i, change := range []func(*record.Record){
		func(r *record.Record) {},
		func(r *record.Record) { r.Trunk = "pbx" },
		func(r *record.Record) { r.Target = "other" },
		func(r *record.Record) { r.Disposition = record.DispositionBusy },
	} {
		r := sample(fmt.Sprint(i))
		r.StartedAt = record.TimeOf(start.Add(time.Duration(i) * time.Second))
		change(&r)
		mustPut(t, s, r)
	}
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
	for _, tc := range []struct {
		name string
		f    record.Filter
		want string
	}{
		{"all", record.Filter{}, "3210"},
		{"since includes", record.Filter{Since: at(2)}, "32"},
		{"since within a millisecond", record.Filter{Since: at(2).Add(time.Microsecond)}, "3"},
		{"until excludes", record.Filter{Until: at(2)}, "10"},
		{"between", record.Filter{Since: at(1), Until: at(3)}, "21"},
		{"trunk", record.Filter{Trunk: "pbx"}, "1"},
		{"target", record.Filter{Target: "other"}, "2"},
		{"disposition", record.Filter{Disposition: record.DispositionBusy}, "3"},
		{"together", record.Filter{Disposition: record.DispositionBusy, Trunk: "pbx"}, ""},
		{"limit", record.Filter{Limit: 2}, "32"},
		{"no injection", record.Filter{Trunk: "' OR 1=1 --"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			records, _, err := s.List(t.Context(), tc.f)
			must(t, err)
			got := ""
			for _, r := range records {
				got += r.ID
			}
			if got != tc.want {
				t.Errorf("got %q; want %q", got, tc.want)
			}
		})
	}
	for _, c := range []string{"?", "Zm9v", record.CursorOf(record.Record{ID: "x"})} {
		if _, _, err := s.List(t.Context(), record.Filter{Cursor: c}); !errors.Is(err, record.ErrCursor) {
			t.Errorf("cursor %q: got %v; want %v", c, err, record.ErrCursor)
		}
	}
}

func TestListLimits(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range record.MaxLimit + 5 { // without waiting, so most share one transaction
		if err := s.Put(ctx, sample(fmt.Sprint(i))); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	must(t, s.Flush(t.Context()))
	for limit, want := range map[int]int{0: 100, -1: 100, 5: 5, record.MaxLimit + 1: record.MaxLimit} {
		records, next, err := s.List(t.Context(), record.Filter{Limit: limit})
		if err != nil || len(records) != want || next == "" {
			t.Errorf("limit %d: got %d records, next %q, %v; want %d", limit, len(records), next, err, want)
		}
	}
}

func TestPurge(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 2*purgeStep + 10 {
		r := sample(fmt.Sprint(i))
		r.StartedAt = record.TimeOf(start.Add(time.Duration(i) * time.Second))
		_ = s.Put(ctx, r)
	}
	n, err := s.Purge(t.Context(), start.Add((2*purgeStep+5)*time.Second))
	if err != nil || n != 2*purgeStep+5 {
		t.Errorf("purged %d, %v; want %d", n, err, 2*purgeStep+5)
	}
	records, _, err := s.List(t.Context(), record.Filter{})
	if err != nil || len(records) != 5 {
		t.Errorf("%d records are left, %v; want 5", len(records), err)
	}
}

// Keep reports the commit through a callback and does not wait for it.
func TestKeep(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	kept := make(chan error, 1)
	s.Keep(t.Context(), new(sample("x")), nil, func(err error) { kept <- err })
	must(t, <-kept)
	if r, found, err := s.Get(t.Context(), "x"); err != nil || !found || r.ID != "x" {
		t.Errorf("record %q, %v", r.ID, err)
	}
	if s.Keep(t.Context(), &record.Record{}, nil, func(err error) { kept <- err }); !errors.Is(<-kept, errNoID) {
		t.Error("a record without an id was kept")
	}
}

func TestAfterClose(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	must(t, s.Close())
	s.Journal(sample("x"), nil)
	if err := s.Put(t.Context(), sample("x")); !errors.Is(err, errClosed) {
		t.Errorf("put: %v", err)
	}
	kept := make(chan error, 1)
	if s.Keep(t.Context(), new(sample("x")), nil, func(err error) { kept <- err }); !errors.Is(<-kept, errClosed) {
		t.Error("keep did not tell that the store is closed")
	}
	if err := s.Flush(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("flush: %v", err)
	}
	if _, err := s.Purge(t.Context(), start); !errors.Is(err, errClosed) {
		t.Errorf("purge: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// What a caller was told is read as it was written, and nothing as nil.
func TestTold(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "flowbridge.db"))
	for id, want := range map[string]*record.Told{
		"none":  nil,
		"whole": {Sound: "ai-en", SHA256: "ab", Language: "en", FromMS: 20, ToMS: 3020, Whole: true, Key: "1", Accepted: new(true), Packets: 150, Lost: new(int64(2))},
		"cut":   {Sound: "ai-en", FromMS: -400, ToMS: 100, TalkedOver: true, Packets: 25},
	} {
		r := sample(id)
		r.Told = want
		mustPut(t, s, r)
		if got, found, err := s.Get(t.Context(), id); err != nil || !found || !reflect.DeepEqual(got.Told, want) {
			t.Errorf("%s: got %+v, %t, %v", id, got.Told, found, err)
		}
	}
	found, _, err := record.List(t.Context(), s, record.Filter{Problem: record.ProblemNotTold})
	if err != nil || len(found) != 1 || found[0].ID != "cut" {
		t.Errorf("not told: %+v, %v", found, err)
	}
}

// Variables that commands have set are read as they were written. No variables are read as nil.
func TestVariables(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "flowbridge.db"))
	for id, want := range map[string]map[string]string{"none": nil, "two": {"ticket": "4711", "why": "\"<&\"\u2028"}} {
		r := sample(id)
		r.Variables = want
		mustPut(t, s, r)
		got, found, err := s.Get(t.Context(), id)
		if err != nil || !found || !maps.Equal(got.Variables, want) || (got.Variables == nil) != (want == nil) {
			t.Errorf("%s: got %v, %t, %v", id, got.Variables, found, err)
		}
	}
}
