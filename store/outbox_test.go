package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// openOutbox opens a file whose changes go to some consumers.
func openOutbox(tb testing.TB, path string, consumers ...string) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), path, consumers...)
	must(tb, err)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// waiting returns the items that are due for a consumer, as "id kind".
func waiting(t *testing.T, s *Store, consumer string) (all []string, seqs []int64) {
	t.Helper()
	items, err := s.Outbox(t.Context(), consumer, 100)
	must(t, err)
	for _, i := range items {
		if i.CreatedAt.IsZero() {
			t.Errorf("item %d has no time", i.Seq)
		}
		all, seqs = append(all, i.CallID+" "+i.Kind), append(seqs, i.Seq)
	}
	return all, seqs
}

// bare returns a call without recordings.
func bare(id string) record.Record {
	r := sample(id)
	r.Recordings = nil
	return r
}

// Each consumer gets each change of a finished call once and in order. Without consumers, there are no items.
func TestOutbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s := openOutbox(t, path, "a", "b")
	filled := s.OutboxChanged()
	live := sample("x")
	s.Journal(live, nil)
	mustPut(t, s, bare("1"), bare("1"), bare("2"))
	select {
	case <-filled:
	default:
		t.Error("nobody was woken")
	}
	for _, consumer := range []string{"a", "b"} {
		if got, _ := waiting(t, s, consumer); !slices.Equal(got, []string{"1 call", "2 call"}) {
			t.Errorf("%s: %v", consumer, got)
		}
	}
	// The report of a finished call adds an item. A second report is refused and adds none.
	for range 2 {
		if _, err := s.PutReport(t.Context(), "1", record.Report{CallID: "p", ReceivedAt: record.TimeOf(start)}); err != nil {
			t.Fatal(err)
		}
	}
	got, seqs := waiting(t, s, "a")
	if !slices.Equal(got, []string{"1 call", "2 call"}) {
		t.Errorf("the report comes before its call: %v", got)
	}
	must(t, s.Delivered(t.Context(), seqs[:1]))
	if got, _ = waiting(t, s, "a"); !slices.Equal(got, []string{"2 call", "1 report"}) {
		t.Errorf("after the first: %v", got)
	}
	if sizes, err := s.OutboxSize(t.Context()); err != nil || sizes["a"] != 2 || sizes["b"] != 3 {
		t.Errorf("sizes %v, %v", sizes, err)
	}
	if lost, err := s.SetConsumers(t.Context(), "a"); err != nil || lost["b"] != 3 || len(lost) != 1 {
		t.Errorf("lost %v, %v", lost, err)
	}
	if lost, err := s.SetConsumers(t.Context()); err != nil || lost["a"] != 2 {
		t.Errorf("lost %v, %v", lost, err)
	}
	mustPut(t, s, sample("3"))
	if sizes, err := s.OutboxSize(t.Context()); err != nil || len(sizes) != 0 {
		t.Errorf("without consumers: %v, %v", sizes, err)
	}
}

// Items for what happened before the end of a call come after the item for its end.
func TestOutboxOrder(t *testing.T) {
	s := openOutbox(t, filepath.Join(t.TempDir(), "f.db"), "a")
	if _, err := s.PutReport(t.Context(), "1", record.Report{CallID: "p", ReceivedAt: record.TimeOf(start)}); err != nil {
		t.Fatal(err)
	}
	if got, _ := waiting(t, s, "a"); got != nil {
		t.Errorf("of a live call: %v", got)
	}
	mustPut(t, s, sample("1"))
	for _, want := range []string{"1 call", "1 recording", "1 report", ""} {
		got, seqs := waiting(t, s, "a")
		if strings.Join(got, ", ") != want {
			t.Errorf("got %v; want %s", got, want)
		}
		must(t, s.Delivered(t.Context(), seqs))
	}
}

// A postponed item is due later, delays only the items of its call, and survives a restart.
func TestOutboxPostponed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s := openOutbox(t, path, "a")
	mustPut(t, s, sample("1"), bare("2"))
	_, seqs := waiting(t, s, "a")
	must(t, s.Postpone(t.Context(), seqs[:1], time.Now().Add(time.Hour), "503"))
	if got, _ := waiting(t, s, "a"); !slices.Equal(got, []string{"2 call"}) {
		t.Errorf("due: %v", got)
	}
	must(t, s.Postpone(t.Context(), seqs[:1], start, "again"))
	must(t, s.Close())
	s = openOutbox(t, path, "a")
	items, err := s.Outbox(t.Context(), "a", 1)
	if err != nil || len(items) != 1 || items[0].CallID != "2" { // it was never postponed, so it has been due the longest
		t.Fatalf("got %+v, %v", items, err)
	}
	items, err = s.Outbox(t.Context(), "a", 10)
	if err != nil || len(items) != 2 || items[1].Tries != 2 || items[1].Reason != "again" || !items[1].DueAt.Equal(start) {
		t.Errorf("got %+v, %v", items, err)
	}
}

// The calls of a killed process also get items, and their recordings are settled later.
func TestOutboxOfKilledCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s := openOutbox(t, path)
	left := sample("1")
	left.EndedAt = record.Time{}
	left.Recordings[0].EndedAt = record.Time{}
	s.Journal(left, nil)
	stopped := sample("2") // its recording was complete before the kill
	stopped.EndedAt = record.Time{}
	s.Journal(stopped, nil)
	must(t, s.Close())
	s = openOutbox(t, path, "a")
	must(t, s.SettleRecordings(t.Context(), func(string) (int64, time.Time, error) { return 7, start, nil }))
	got, seqs := waiting(t, s, "a")
	must(t, s.Delivered(t.Context(), seqs))
	more, _ := waiting(t, s, "a")
	slices.Sort(got)
	slices.Sort(more)
	if fmt.Sprint(got, more) != "[1 call 2 call] [1 recording 2 recording]" {
		t.Errorf("got %v %v", got, more)
	}
}

// A record and its items are written together or not at all.
func TestOutboxIsWrittenWithTheRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s := openOutbox(t, path, "a")
	db := rawDB(t, path)
	execute(t, db, `CREATE TRIGGER broken BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'broken'); END`)
	put := make(chan error, 1)
	go func() { put <- s.Put(t.Context(), bare("1")) }()
	for s.Err() == nil {
		runtime.Gosched()
	}
	if _, ok, err := s.Get(t.Context(), "1"); ok || err != nil {
		t.Errorf("the record alone is there: %v, %v", ok, err)
	}
	execute(t, db, `DROP TRIGGER broken`)
	must(t, <-put)
	if got, _ := waiting(t, s, "a"); !slices.Equal(got, []string{"1 call"}) {
		t.Errorf("got %v", got)
	}
}

// An item that is never accepted is finally given up, in steps, and counted for its consumer.
func TestOutboxIsBounded(t *testing.T) {
	s := openOutbox(t, filepath.Join(t.TempDir(), "f.db"), "a", "b")
	for i := range purgeStep + 5 {
		r := bare(fmt.Sprint(i))
		if err := s.Put(cancelled(t), r); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	must(t, s.Flush(t.Context()))
	if lost, err := s.PurgeOutbox(t.Context(), time.Now().Add(-time.Minute)); err != nil || len(lost) != 0 {
		t.Errorf("young items: %v, %v", lost, err)
	}
	lost, err := s.PurgeOutbox(t.Context(), time.Now().Add(time.Minute))
	if want := int64(purgeStep + 5); err != nil || lost["a"] != want || lost["b"] != want {
		t.Errorf("got %v, %v; want %d of each", lost, err, want)
	}
	if sizes, err := s.OutboxSize(t.Context()); err != nil || len(sizes) != 0 {
		t.Errorf("left: %v, %v", sizes, err)
	}
}

// cancelled returns a context with which Put does not wait.
func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// An item that was being delivered when the database was set aside is not in the new one. Its delivery does not remove
// the items of other calls.
func TestOutboxOfANewFile(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "f.db"), "hook")
	must(t, err)
	defer s.Close()
	mustPut(t, s, sample("under way"))
	items, err := s.Outbox(t.Context(), "hook", 10)
	if err != nil || len(items) == 0 {
		t.Fatal(err, items)
	}
	s.condemned.Store(true)
	mustPut(t, s, sample("new"))
	if s.SetAside() == "" {
		t.Fatal("the file is still there")
	}
	for seq := range items[0].Seq + 10 {
		must(t, s.Delivered(t.Context(), []int64{seq}))
	}
	items, err = s.Outbox(t.Context(), "hook", 10)
	if err != nil || !slices.ContainsFunc(items, func(i record.OutboxItem) bool { return i.CallID == "new" }) {
		t.Errorf("%v, %+v: nobody is told of the new call", err, items)
	}
}
