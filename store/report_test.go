package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

// A report joins the record of its call, whichever of the two arrives first. If there are several
// reports, the first one is kept.
func TestReport(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	first := record.Report{CallID: "sf-1", Status: "completed", EndReason: "human_goodbye", DurationMS: 61000, ExternalID: "CA1", ReceivedAt: record.TimeOf(at)}
	put := func(id string, r record.Report, want bool) {
		t.Helper()
		if got, err := s.PutReport(t.Context(), id, r); got != want || err != nil {
			t.Errorf("%s: got %v, %v", id, got, err)
		}
	}
	put("a", first, true)
	again := first
	again.EndReason = "forged"
	put("a", again, false)
	mustPut(t, s, record.Record{ID: "a", StartedAt: record.TimeOf(at), SynthflowCallID: "sf-1", Target: "agent", Lead: "+1", ExternalID: "CA1"},
		record.Record{ID: "b", StartedAt: record.TimeOf(at.Add(time.Second)), Target: "direct", ExternalID: "CA2"},
		record.Record{ID: "c", StartedAt: record.TimeOf(at.Add(2 * time.Second)), Target: "direct", ExternalID: "CA2"},
		record.Record{ID: "d", StartedAt: record.TimeOf(at.Add(3 * time.Second)), TargetSIPCallID: "d@sip", Target: "vapi"})
	got, ok, err := s.Get(t.Context(), "a")
	if !ok || err != nil || got.Lead != "+1" || got.ExternalID != "CA1" {
		t.Fatalf("got %+v, %v, %v", got, ok, err)
	}
	if diff := cmp.Diff(&first, got.Report); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	put("b", record.Report{CallID: "sf-2", Status: "failed", ReceivedAt: record.TimeOf(at.Add(time.Hour))}, true)
	all, _, err := s.List(t.Context(), record.Filter{})
	if err != nil || len(all) != 4 || all[3].Report == nil || all[2].Report == nil || all[2].Report.Status != "failed" || all[0].Report != nil {
		t.Fatalf("got %+v, %v", all, err)
	}
	for platform, want := range map[string]string{"sf-1": "a agent", "sf-9": " ", "": " "} {
		if id, target, err := s.Prepared(t.Context(), platform); id+" "+target != want || err != nil {
			t.Errorf("%q: got %q, %q, %v", platform, id, target, err)
		}
	}
	// Call b already has a report. Call a was prepared and has another external id.
	for external, want := range map[string]string{"CA2": "c direct", "CA1": " ", "": " "} {
		if id, target, err := s.Unreported(t.Context(), external); id+" "+target != want || err != nil {
			t.Errorf("%q: got %q, %q, %v", external, id, target, err)
		}
	}
	mustPut(t, s, record.Record{ID: "e", StartedAt: record.TimeOf(at.Add(4 * time.Second)), Target: "direct", ExternalID: "CA2"})
	if id, _, err := s.Unreported(t.Context(), "CA2"); id != "" || err != nil {
		t.Errorf("one of two calls: got %q, %v", id, err)
	}
	// The platform's own report replaces an uncertain one, and is kept.
	sure := first
	sure.Confirmed, sure.EndReason = true, "agent_goodbye"
	put("a", sure, true)
	put("a", first, false)
	sure.EndReason = "replayed"
	put("a", sure, false)
	if got, _, err := s.Get(t.Context(), "a"); err != nil || got.Report.EndReason != "agent_goodbye" {
		t.Errorf("got %+v, %v", got.Report, err)
	}
	for sip, want := range map[string]string{"d@sip": "d vapi", "x": " ", "": " "} {
		if id, target, err := s.Dialled(t.Context(), sip); id+" "+target != want || err != nil {
			t.Errorf("%q: got %q, %q, %v", sip, id, target, err)
		}
	}
	if n, err := s.Purge(t.Context(), at.Add(time.Minute)); n != 5 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	put("a", first, true) // dropped: its time has passed
	put("b", record.Report{CallID: "sf-2", ReceivedAt: record.TimeOf(at)}, false)
}
