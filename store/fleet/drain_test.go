package fleet

import (
	"context"
	"errors"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// A finished call reaches the database, and so do its report and later additions, each once.
func TestDrain(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	n.join(url, nil)
	n.put(ids("a", 1200)...)
	eventually(t, "all there", func() bool { return n.waiting() == 0 })
	if got := count(t, url); got != 1200 {
		t.Errorf("%d records; want 1200", got)
	}
	report := record.Report{CallID: "platform-1", Status: "completed", ReceivedAt: record.TimeOf(time.Now()), Confirmed: true}
	if _, err := n.store.PutReport(t.Context(), "a-00007", report); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the report is there", func() bool { return n.waiting() == 0 })
	got, ok, err := n.fleet.Get(t.Context(), "a-00007")
	if err != nil || !ok || got.Report == nil || got.Report.CallID != "platform-1" {
		t.Errorf("got %+v, %v, %v", got, ok, err)
	}
	want, _, _ := n.store.Get(t.Context(), "a-00007")
	if diff := compare(want, got); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	if got := count(t, url); got != 1200 {
		t.Errorf("%d records; want 1200", got)
	}
	if other := pgtest.One[string](t, url, "SELECT id FROM flowbridge_other_ids WHERE other = 'platform-1'"); other != "a-00007" {
		t.Errorf("the report's id is of %s", other)
	}
	if s := n.fleet.Status(); s.Drained != 1201 || s.Delivered.IsZero() || s.DrainError != nil || s.Nodes != 1 || s.Missing != 0 {
		t.Errorf("status %+v", s)
	}
	if n.log.String() != "" {
		t.Error(n.log.String())
	}
}

// Nothing is lost while the database is away, and two log lines mark the start and the end of the outage.
func TestDrainAway(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	url := pg.Database()
	pg.Stop()
	n := newNode(t, "one")
	n.join(url, nil)
	n.put(ids("a", 30)...)
	eventually(t, "noticed", func() bool { return n.log.Count("they wait") == 1 })
	if s := n.fleet.Status(); s.DrainError == nil || s.BeatError == nil {
		t.Errorf("status %+v", s)
	}
	pg.Run()
	eventually(t, "all there", func() bool { return n.waiting() == 0 })
	for range 3 {
		pg.Kill() // again, in the middle of batches
		n.put(ids("k"+time.Now().Format("150405.000"), 100)...)
		pg.Run()
	}
	eventually(t, "all there", func() bool { return n.waiting() == 0 })
	if got := count(t, url); got != 330 {
		t.Errorf("%d records; want 330", got)
	}
	eventually(t, "reached again", func() bool { return n.log.Count("reached again") > 0 })
	for _, line := range []string{"they wait", "takes records again", "goes on with its part", "reached again"} {
		if got := n.log.Count(line); got < 1 || got > 2 {
			t.Errorf("%d times %q in the log\n%s", got, line, n.log)
		}
	}
	if n.log.Count(pgtest.Password) != 0 {
		t.Error("the log has the password")
	}
}

// stopping is an outbox whose node stops while records are being read.
type stopping struct {
	stop      context.CancelFunc
	postponed int
}

func (*stopping) Outbox(context.Context, string, int) ([]record.OutboxItem, error) {
	return []record.OutboxItem{{Seq: 1, CallID: "a"}, {Seq: 2, CallID: "b"}}, nil
}

func (s *stopping) Get(ctx context.Context, _ string) (record.Record, bool, error) {
	s.stop()
	return record.Record{}, false, ctx.Err()
}

func (*stopping) OutboxChanged() <-chan struct{} { return nil }

func (*stopping) Note(context.Context, string, string) error { return nil }

func (*stopping) Noted(context.Context, string) (string, error) { return "", nil }

func (*stopping) Delivered(context.Context, []int64) error { return nil }

func (s *stopping) Postpone(_ context.Context, seqs []int64, _ time.Time, _ string) error {
	s.postponed += len(seqs)
	return nil
}

// A node that stops while it reads records sets none of them aside. They are sent with the last batch or after the next
// start.
func TestDrainStops(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out := &stopping{stop: stop}
	f := &Fleet{outbox: out, prepared: true}
	if n, err := f.drainOnce(ctx, maxBatch); n != 0 || !errors.Is(err, context.Canceled) || out.postponed != 0 {
		t.Errorf("%d items, %v, %d set aside", n, err, out.postponed)
	}
}
