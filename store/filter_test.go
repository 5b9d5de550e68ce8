package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// found returns the ids of a list in its order.
func found(t *testing.T, s *Store, f record.Filter) string {
	t.Helper()
	records, _, err := s.List(t.Context(), f)
	must(t, err)
	all := ""
	for _, r := range records {
		all += r.ID
	}
	return all
}

func TestSearch(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	for i, change := range []func(*record.Record){
		func(*record.Record) {},
		func(r *record.Record) { r.Cause, r.Route = "prepare_failed", "routes[1]" },
		func(r *record.Record) { r.Direction, r.From = record.DirectionOutbound, "+4930123" },
		func(r *record.Record) { r.To = "+4930123" },
		func(r *record.Record) { r.Lead = "4930123" },
		func(r *record.Record) {
			r.SIPCallID, r.TargetSIPCallID, r.SynthflowCallID, r.ExternalID = "in@c", "out@f", "platform", "CA7"
			r.TraceID = "1bf7651916cd43dd8448eb211c80319c"
			r.Attempts = []record.Attempt{{SIPCallID: "first@f"}, {SIPCallID: "out@f"}}
		},
		func(r *record.Record) {
			r.SIPCallID, r.TargetSIPCallID, r.SynthflowCallID, r.ExternalID = "", "", "", ""
		},
	} {
		r := sample(fmt.Sprint(i))
		r.StartedAt = record.TimeOf(start.Add(time.Duration(i) * time.Second))
		change(&r)
		mustPut(t, s, r)
	}
	if _, err := s.PutReport(t.Context(), "6", record.Report{CallID: "reported", ReceivedAt: record.TimeOf(start)}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		f    record.Filter
		want string
	}{
		{record.Filter{Cause: "prepare_failed"}, "1"},
		{record.Filter{Route: "routes[1]"}, "1"},
		{record.Filter{Direction: record.DirectionOutbound}, "2"},
		{record.Filter{Number: "4930123"}, "432"},
		{record.Filter{Number: "930"}, "432"},
		{record.Filter{Number: "930", Direction: record.DirectionInbound}, "43"},
		{record.Filter{Number: "99999"}, ""},
		{record.Filter{ID: "5"}, "5"},
		{record.Filter{ID: "in@c"}, "5"},
		{record.Filter{ID: "out@f"}, "5"},
		{record.Filter{ID: "first@f"}, "5"},
		{record.Filter{ID: "platform"}, "5"},
		{record.Filter{ID: "CA7"}, "5"},
		{record.Filter{ID: "1bf7651916cd43dd8448eb211c80319c"}, "5"},
		{record.Filter{ID: "reported"}, "6"},
		{record.Filter{ID: "reported", Trunk: "other"}, ""},
		{record.Filter{ID: "CA0123"}, "43210"},
		{record.Filter{ID: "CA0123", Limit: 2}, "43"},
		{record.Filter{ID: "%"}, ""},
	} {
		if got := found(t, s, tc.f); got != tc.want {
			t.Errorf("%+v: got %q; want %q", tc.f, got, tc.want)
		}
	}
	if _, err := s.Purge(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	left := -1
	if err := s.Reader.pool().QueryRowContext(t.Context(), `SELECT count(*) FROM other_ids`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d other ids are left, %v", left, err)
	}
}

// A search never reads rows of calls that don't match. It scans an index that covers the filter, or looks the call up
// by one of its ids.
func TestSearchUsesIndexes(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	for _, f := range []record.Filter{
		{},
		{Trunk: "x"},
		{Cause: "x", Route: "y", Direction: "z"},
		{Number: "555"},
		{Since: start, Until: start.Add(time.Hour), Target: "x"},
		{Cursor: record.CursorOf(sample("x")), Number: "1"},
	} {
		plan := explained(t, s, f)
		if !strings.Contains(plan, "USING INDEX calls_search") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%+v:\n%s", f, plan)
		}
	}
	for _, f := range []record.Filter{{ID: "x"}, {ID: "x", Trunk: "y", Since: start}} {
		plan := explained(t, s, f)
		if !strings.Contains(plan, "MULTI-INDEX OR") || strings.Contains(plan, "SCAN") || strings.Contains(plan, "calls_search") {
			t.Errorf("%+v:\n%s", f, plan)
		}
	}
}

// explained returns SQLite's query plan for a filter.
func explained(t *testing.T, s *Store, f record.Filter) string {
	t.Helper()
	query, args, err := pageQuery(f)
	must(t, err)
	rows, err := s.Reader.pool().QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
	must(t, err)
	defer rows.Close()
	plan := ""
	for rows.Next() {
		var id, parent, unused int
		var detail string
		must(t, rows.Scan(&id, &parent, &unused, &detail))
		plan += detail + "\n"
	}
	must(t, rows.Err())
	return plan
}

// Each passes every call once, in the order of a list, and stops when it is told to.
func TestEach(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	const step, calls = 200, 2*200 + 3
	for i := range calls {
		r := bare(fmt.Sprintf("%04d", i))
		r.StartedAt = record.TimeOf(start.Add(time.Duration(i/7) * time.Second))
		_ = s.Put(cancelled(t), r)
	}
	must(t, s.Flush(t.Context()))
	for _, limit := range []int{0, 1, step, step + 1, calls, calls + 1} {
		n, last := 0, ""
		err := record.Each(t.Context(), s, record.Filter{Limit: limit}, func(r record.Record) error {
			if last != "" && r.ID >= last {
				t.Errorf("%s after %s", r.ID, last)
			}
			last = r.ID
			n++
			return nil
		})
		want := limit
		if limit == 0 || limit > calls {
			want = calls
		}
		if err != nil || n != want {
			t.Errorf("limit %d: %d calls, %v", limit, n, err)
		}
	}
	stop := errors.New("stop")
	n := 0
	if err := record.Each(t.Context(), s, record.Filter{}, func(record.Record) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d calls, %v", n, err)
	}
	if err := record.Each(cancelled(t), s, record.Filter{}, func(record.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestNames checks the JSON names and the columns against the contract.
func TestNames(t *testing.T) {
	const want = `id node trunk route target direction from to sip_call_id target_sip_call_id synthflow_call_id started_at
		ringing_at prepared_at dialed_at answered_at ended_at setup_ms duration_ms disposition sip_status q850 cause ended_by
		codec attempts media recordings lead external_id trace_id restored queued_ms verstat attest orig_id talk variables
		agent_answered_at told`
	var got []string
	for f := range reflect.TypeFor[record.Record]().Fields() {
		if name := f.Tag.Get("json"); name != "-" {
			got = append(got, name)
		}
	}
	optional := strings.NewReplacer(" agent_answered_at told", " agent_answered_at,omitzero told,omitempty")
	w := optional.Replace(strings.Join(strings.Fields(want), " ")) + " problems,omitempty report" // found when it is read; in a table of its own
	if g := strings.Join(got, " "); g != w {
		t.Errorf("JSON names:\n got %s\nwant %s", g, w)
	}
	columns := strings.Join(strings.Fields(strings.NewReplacer(`"`, "", ",", " ").Replace(columnList)), " ")
	if w := strings.Join(strings.Fields(want), " "); columns != w {
		t.Errorf("columns:\n got %s\nwant %s", columns, w)
	}
}

// BenchmarkSearch measures searches among a million calls: go test ./store -run - -bench Search -benchtime 3x
func BenchmarkSearch(b *testing.B) {
	calls := 1_000_000
	if testing.Short() {
		calls = 10_000
	}
	path, s := openNew(b)
	mustPut(b, s, sample("template"))
	db := rawDB(b, path)
	execute(b, db, `PRAGMA synchronous = OFF`)
	made := strings.NewReplacer(`"id"`, `printf('%012d', n.i)`, `"from"`, `printf('+1555%07d', n.i * 7919 % 10000000)`, `"sip_call_id"`, `printf('%d@carrier', n.i)`,
		`"target_sip_call_id"`, `printf('%d@us', n.i)`, `"synthflow_call_id"`, `printf('p%d', n.i)`, `"external_id"`, `printf('e%d', n.i)`,
		`"trace_id"`, `printf('%032x', n.i)`, `"started_at"`, `strftime('%Y-%m-%dT%H:%M:%fZ', 1790000000 + n.i * 3, 'unixepoch')`).Replace(columnList)
	fill := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO calls (` + columnList + `) SELECT ` + made + ` FROM n, calls WHERE calls.id = 'template'`
	begun := time.Now()
	execute(b, db, fill, calls)
	execute(b, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	b.Logf("%d calls made in %v", calls, time.Since(begun))
	for name, f := range map[string]record.Filter{
		"newest": {}, "rare cause": {Cause: "prepare_failed"}, "other trunk": {Trunk: "pbx"}, "rare number": {Number: "5550007919"}, "no number": {Number: "99999999999"},
		"common number": {Number: "555"}, "Call-ID": {ID: "77@carrier"}, "no id": {ID: "none"}, "oldest day": {Until: time.Unix(1790080000, 0)},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if _, _, err := s.List(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("purge of half", func(b *testing.B) {
		for range b.N {
			slowest := make(chan time.Duration, 1)
			stop := make(chan struct{})
			go func() {
				var worst time.Duration
				defer func() { slowest <- worst }()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					at := time.Now()
					r := sample("during-" + time.Now().String())
					r.StartedAt = record.TimeOf(time.Now().Add(time.Hour * 24 * 365))
					if err := s.Put(b.Context(), r); err != nil {
						b.Error(err)
					}
					worst = max(worst, time.Since(at))
				}
			}()
			n, err := s.Purge(b.Context(), time.Unix(1790000000+int64(calls)*3/2, 0))
			close(stop)
			b.Logf("%d purged, %v; the slowest call waited %v", n, err, <-slowest)
		}
	})
}
