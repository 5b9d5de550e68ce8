package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// found are the ids of a list, in its order.
func found(t *testing.T, s *Store, f Filter) string {
	t.Helper()
	records, _, err := s.List(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, r := range records {
		all += r.ID
	}
	return all
}

func TestSearch(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	for i, change := range []func(*Record){
		func(*Record) {},
		func(r *Record) { r.Cause, r.Route = "prepare_failed", "routes[1]" },
		func(r *Record) { r.Direction, r.From = DirectionOutbound, "+4930123" },
		func(r *Record) { r.To = "+4930123" },
		func(r *Record) { r.Lead = "4930123" },
		func(r *Record) {
			r.SIPCallID, r.TargetSIPCallID, r.SynthflowCallID, r.ExternalID = "in@c", "out@f", "platform", "CA7"
			r.TraceID = "1bf7651916cd43dd8448eb211c80319c"
			r.Attempts = []Attempt{{SIPCallID: "first@f"}, {SIPCallID: "out@f"}}
		},
		func(r *Record) { r.SIPCallID, r.TargetSIPCallID, r.SynthflowCallID, r.ExternalID = "", "", "", "" },
	} {
		r := sample(fmt.Sprint(i))
		r.StartedAt = TimeOf(start.Add(time.Duration(i) * time.Second))
		change(&r)
		mustPut(t, s, r)
	}
	if _, err := s.PutReport(t.Context(), "6", Report{CallID: "reported", ReceivedAt: TimeOf(start)}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		f    Filter
		want string
	}{
		{Filter{Cause: "prepare_failed"}, "1"},
		{Filter{Route: "routes[1]"}, "1"},
		{Filter{Direction: DirectionOutbound}, "2"},
		{Filter{Number: "4930123"}, "432"},
		{Filter{Number: "930"}, "432"},
		{Filter{Number: "930", Direction: DirectionInbound}, "43"},
		{Filter{Number: "99999"}, ""},
		{Filter{ID: "5"}, "5"},
		{Filter{ID: "in@c"}, "5"},
		{Filter{ID: "out@f"}, "5"},
		{Filter{ID: "first@f"}, "5"},
		{Filter{ID: "platform"}, "5"},
		{Filter{ID: "CA7"}, "5"},
		{Filter{ID: "1bf7651916cd43dd8448eb211c80319c"}, "5"},
		{Filter{ID: "reported"}, "6"},
		{Filter{ID: "reported", Trunk: "other"}, ""},
		{Filter{ID: "CA0123"}, "43210"},
		{Filter{ID: "CA0123", Limit: 2}, "43"},
		{Filter{ID: "%"}, ""},
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

// A search never reads the rows of calls that are no hits: it walks through the index that holds what it asks for, or
// finds the call by one of its ids.
func TestSearchUsesIndexes(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	for _, f := range []Filter{
		{},
		{Trunk: "x"},
		{Cause: "x", Route: "y", Direction: "z"},
		{Number: "555"},
		{Since: start, Until: start.Add(time.Hour), Target: "x"},
		{Cursor: CursorOf(sample("x")), Number: "1"},
	} {
		plan := explained(t, s, f)
		if !strings.Contains(plan, "USING INDEX calls_search") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%+v:\n%s", f, plan)
		}
	}
	for _, f := range []Filter{{ID: "x"}, {ID: "x", Trunk: "y", Since: start}} {
		plan := explained(t, s, f)
		if !strings.Contains(plan, "MULTI-INDEX OR") || strings.Contains(plan, "SCAN") || strings.Contains(plan, "calls_search") {
			t.Errorf("%+v:\n%s", f, plan)
		}
	}
}

// explained is how SQLite finds the calls of a filter.
func explained(t *testing.T, s *Store, f Filter) string {
	t.Helper()
	query, args, err := f.query()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.Reader.pool().QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	plan := ""
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan += detail + "\n"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// Each gives every call once, in the order of a list, and stops where it is told to.
func TestEach(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	const calls = 2*eachStep + 3
	for i := range calls {
		r := bare(fmt.Sprintf("%04d", i))
		r.StartedAt = TimeOf(start.Add(time.Duration(i/7) * time.Second))
		_ = s.Put(cancelled(t), r)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{0, 1, eachStep, eachStep + 1, calls, calls + 1} {
		n, last := 0, ""
		err := Each(t.Context(), s, Filter{Limit: limit}, func(r Record) error {
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
	if err := Each(t.Context(), s, Filter{}, func(Record) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d calls, %v", n, err)
	}
	if err := Each(cancelled(t), s, Filter{}, func(Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDigits(t *testing.T) {
	for in, want := range map[string]string{
		"+1 (507) 555-0100": "15075550100", "0100": "0100", "": "", "+": "", "alice": "", "12;drop": "", "१२": "",
	} {
		if got, ok := Digits(in); ok != (want != "") || ok && got != want {
			t.Errorf("%q: got %q, %v", in, got, ok)
		}
	}
}
