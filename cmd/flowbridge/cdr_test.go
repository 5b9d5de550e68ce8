package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/store"
	"flowbridge/store/record"
)

// A caller who got a 503 after four seconds has waited that long. A call of seven minutes is
// shown as 7:00.
func TestCDRTimes(t *testing.T) {
	began := time.Now()
	var out strings.Builder
	records := listed{
		{ID: "failed", Disposition: record.DispositionFailed, SIPStatus: 503, StartedAt: record.TimeOf(began), EndedAt: record.TimeOf(began.Add(4 * time.Second))},
		{ID: "short", SIPStatus: 200, AnsweredAt: record.TimeOf(began), StartedAt: record.TimeOf(began), EndedAt: record.TimeOf(began), SetupMS: 340, DurationMS: 420_100},
		{ID: "long", SIPStatus: 200, AnsweredAt: record.TimeOf(began), StartedAt: record.TimeOf(began), EndedAt: record.TimeOf(began), SetupMS: 12_000, DurationMS: 3_723_000},
	}
	must(t, listCDRs(t.Context(), &out, records, record.Filter{}, false))
	var got []string
	for line := range strings.Lines(out.String()) {
		words := strings.Fields(line)
		got = append(got, strings.Join(words[len(words)-min(5, len(words)):], " "))
	}
	want := []string{"PROBLEMS STATUS WAITED LASTED ID", "failed - 503 4.0 failed", "- 200 0.3 7:00 short", "- 200 12.0 1:02:03 long"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

// listed are records in the form of a list of the API.
type listed []record.Record

func (l listed) List(context.Context, record.Filter) ([]record.Record, string, error) {
	return l, "", nil
}

// The commands read the database while a server writes it, with the same filters as the API.
func TestCDR(t *testing.T) {
	db := filepath.Join(t.TempDir(), "f.db")
	s, err := store.Open(t.Context(), db)
	must(t, err)
	defer s.Close()
	for i := range 5 {
		r := record.Record{
			ID: fmt.Sprintf("call-%d", i), Trunk: "carrier", Route: "routes[0]", Direction: record.DirectionInbound, From: fmt.Sprintf("+155501000%d", i), To: "=1+1",
			SIPCallID: fmt.Sprintf("%d@carrier", i), StartedAt: record.TimeOf(time.Now()), EndedAt: record.TimeOf(time.Now()), Cause: "busy",
			Disposition: record.DispositionBusy,
		}
		if i == 3 {
			r.AnsweredAt, r.Told = r.StartedAt, &record.Told{Sound: "ai-en", Packets: 80}
		}
		must(t, s.Put(t.Context(), r))
	}
	for _, tc := range []struct {
		args  string
		code  int
		lines int
		says  string
	}{
		{"list", 0, 6, "+1555010004"},
		{"list --number 010003", 0, 2, "call-3"},
		{"list --id 2@carrier", 0, 2, "call-2"},
		{"list --not-told", 0, 2, "call-3"},
		{"export --jsonl --problem not-told", 0, 1, `"told":{"sound":"ai-en",`},
		{"list --not-told --problem echo", 1, -1, "not-told"},
		{"list --cause normal", 0, 1, "STARTED"},
		{"list --direction outbound --route routes[0]", 0, 1, "STARTED"},
		{"export", 0, 6, "'=1+1"},
		{"export --csv --number 010001", 0, 2, "id,node,"},
		{"export --jsonl --id call-1", 0, 1, `"id":"call-1"`},
		{"export --json --since 1h", 0, 5, `"report":null`},
		{"export --csv --since 2020-01-01 --until 2020-01-02", 0, 1, "id,node,"},
		{"export --csv --jsonl", 2, -1, "write one of them"},
		{"export --style asterisk", 2, -1, "unknown flag: --style"},
		{"export --number alice", 2, -1, "write digits"},
		{"list --direction up", 2, -1, "one of inbound, outbound"},
		{"list --limit 0", 2, -1, "1 to 1000"},
	} {
		out, code := run(t, append([]string{"cdr"}, append(strings.Fields(tc.args), "--db", db)...)...)
		if code != tc.code || !strings.Contains(out, tc.says) || tc.lines >= 0 && strings.Count(out, "\n") != tc.lines {
			t.Errorf("%s: exit code %d\n%s", tc.args, code, out)
		}
	}
}
