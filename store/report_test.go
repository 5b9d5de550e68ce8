package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A report joins the record of its call, whichever of the two comes first; the first of several stays.
func TestReport(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	first := Report{CallID: "sf-1", Status: "completed", EndReason: "human_goodbye", DurationMS: 61000, ExternalID: "CA1", ReceivedAt: TimeOf(at)}
	put := func(r Report, want bool) {
		t.Helper()
		if got, err := s.PutReport(t.Context(), r); got != want || err != nil {
			t.Errorf("%+v: got %v, %v", r, got, err)
		}
	}
	put(first, true)
	again := first
	again.EndReason = "forged"
	put(again, false)
	for _, r := range []Record{
		{ID: "a", StartedAt: TimeOf(at), SynthflowCallID: "sf-1", Target: "agent", Lead: "+1", ExternalID: "CA1"},
		{ID: "b", StartedAt: TimeOf(at.Add(time.Second)), SynthflowCallID: "sf-2"},
		{ID: "c", StartedAt: TimeOf(at.Add(2 * time.Second))},
	} {
		if err := s.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got, ok, err := s.Get(t.Context(), "a")
	if !ok || err != nil || got.Lead != "+1" || got.ExternalID != "CA1" {
		t.Fatalf("got %+v, %v, %v", got, ok, err)
	}
	if diff := cmp.Diff(&first, got.Report); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	if _, err := s.PutReport(t.Context(), Report{ReceivedAt: TimeOf(at)}); err == nil {
		t.Error("a report without a call id was kept: it would join every call that has none")
	}
	put(Report{CallID: "sf-2", Status: "failed", ReceivedAt: TimeOf(at.Add(time.Hour))}, true)
	all, _, err := s.List(t.Context(), Filter{})
	if err != nil || len(all) != 3 || all[2].Report == nil || all[1].Report == nil || all[1].Report.Status != "failed" {
		t.Fatalf("got %+v, %v", all, err)
	}
	for id, want := range map[string]string{"sf-1": "agent", "sf-9": "", "": ""} {
		if target, known, err := s.PlatformCall(t.Context(), id); target != want || known != (want != "") || err != nil {
			t.Errorf("%q: got %q, %v, %v", id, target, known, err)
		}
	}
	if n, err := s.Purge(t.Context(), at.Add(time.Minute)); n != 3 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	put(first, true) // gone with its time
	put(Report{CallID: "sf-2", ReceivedAt: TimeOf(at)}, false)
}
