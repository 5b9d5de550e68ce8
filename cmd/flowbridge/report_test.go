package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/store"
	"flowbridge/store/record"
)

// TestReport: the command reads the database while a server writes it, and prints figures that can be
// compared.
func TestReport(t *testing.T) {
	db := filepath.Join(t.TempDir(), "f.db")
	s, err := store.Open(t.Context(), db)
	must(t, err)
	defer s.Close()
	for i, target := range []string{"fast", "fast", "slow"} {
		now := record.TimeOf(time.Now())
		must(t, s.Put(t.Context(), record.Record{
			ID: fmt.Sprintf("call-%d", i), Trunk: "carrier", Target: target, Direction: record.DirectionInbound, SIPCallID: fmt.Sprint(i),
			StartedAt: now, AnsweredAt: now, EndedAt: now, SetupMS: 300, DurationMS: 60_000, Disposition: record.DispositionAnswered,
			Cause: "caller_hangup", Attempts: []record.Attempt{{Target: target}},
			Talk: &record.Talk{Confidence: record.TalkGood, Turns: &record.Durations{N: 1, Values: []uint16{uint16(800 * (i + 1))}}, Ignored: new(int64(0))},
		}))
	}
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"", 0, "TARGET           fast                      slow\ncalls            2                         1\nanswered         100.0% of 2 [34.2-100.0]  100.0% of 1 [20.7-100.0]\n"},
		{"", 0, "answers p95      1.60 s of 2 [1.60-1.60]   2.40 s of 1 [2.40-2.40]\n"},
		{"--csv", 0, "fast,turns_p50_ms,800,2,800,1600\n"},
		{"--json --target slow", 0, `"p95_ms": 2400`},
		{"--by trunk", 0, "TRUNK            carrier\ncalls            3\n"},
		{"--since 7d --by split", 0, "SPLIT\n"},
		{"--by colour", 2, `--by "colour": one of target, trunk, route, split`},
		{"--json --csv", 1, "if any flags in the group [json csv] are set none of the others can be"},
	} {
		out, code := run(t, append([]string{"report", "--db", db}, strings.Fields(tc.args)...)...)
		if code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("report %s: exit code %d\n%s\nwant %s", tc.args, code, out, tc.want)
		}
	}
}
