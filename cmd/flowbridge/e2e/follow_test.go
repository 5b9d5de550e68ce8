//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"flowbridge/store"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// followed is a configuration with a split between two agents. Nothing listens at their addresses. It takes the addresses
// of the B2BUA, the carrier, the platform, and SIP.
const followed = `
sip: {listen: ["udp://%[4]s"]}
media: {advertise: %[1]s}
trunks: [{name: carrier, sources: ["%[2]s"]}]
targets:
  - {name: quick, kind: sip, uri: "sip:quick@%[3]s:9", circuit: {failures: 0}}
  - {name: slow, kind: sip, uri: "sip:slow@%[3]s:9", circuit: {failures: 0}}
routes:
  - {name: main, trunk: carrier, targets: [quick, slow], split: {quick: 50, slow: 50}, follow: {answer_p95: 1500ms}}
store: {path: calls.db}
admin: {listen: "127.0.0.1:0", local: operate}
`

// TestSplitThroughTheBinary: one of two agents has become slow. The next look moves weight to the other one, and calls
// say so in their ladders. A pin stays through a kill, an upgrade and a reload. The figures come from
// records that a killed process has left, so that this machine's speed does not decide.
func TestSplitThroughTheBinary(t *testing.T) {
	t.Parallel()
	s := newPlace(t)
	config := fmt.Sprintf(followed, s.b2bua, s.carrier, s.platform, s.freePort(s.b2bua))
	b := startServer(t, t.TempDir(), config)
	noted := func() (text string) {
		r, err := store.OpenRead(t.Context(), filepath.Join(b.dir, "calls.db"))
		if err == nil {
			text, err = r.Noted(t.Context(), "splits")
			_ = r.Close()
		}
		must(t, err)
		return text
	}
	eventually(t, "the split is followed", func() bool { return strings.Contains(noted(), "looked") })
	b.kill()
	conversed(t, filepath.Join(b.dir, "calls.db"))
	again := func() { b = startServer(t, b.dir, config); s.server = b }
	again()
	shares := func() (all string) {
		for _, target := range get[live.Target](b, "/api/targets") {
			all += fmt.Sprintf("%s %d of %d; ", target.Name, target.Shares[0].Weight, target.Shares[0].Of)
		}
		return all
	}
	eventually(t, "weight has moved", func() bool { return shares() == "quick 95 of 100; slow 5 of 100; " })
	if n := b.logged("weights of a split changed"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	const why = "because slow answers p95 2.3 s, bound 1.5 s, 80 calls"
	if shown := b.prints("targets", "list", "--url", b.admin); strings.Count(shown, why) != 2 {
		t.Errorf("shown:\n%s", shown)
	}
	if metrics := b.text("/metrics"); !strings.Contains(metrics, `flowbridge_split_weight{route="main",target="slow"} 5`) {
		t.Error("no metric of the weight")
	}
	if h := read[live.History](b, "/api/history"); h.Events[len(h.Events)-1].Kind != "split" {
		t.Errorf("events: %+v", h.Events)
	}
	s.refusedCarrier(503, called).finish()
	id := ""
	eventually(t, "the call has a record", func() bool {
		all := b.cdrs()
		for i := range all {
			if all[i].Cause != "caller_hangup" {
				id = all[i].ID
			}
		}
		return id != ""
	})
	eventually(t, "the ladder says which share took the call, and why", func() bool {
		_, ladder := b.get("/api/calls/" + id + "/ladder")
		return bytes.Contains(ladder, []byte("of 100, moved at ")) && bytes.Contains(ladder, []byte(why))
	})

	pinned := "quick 7 of 100; slow 93 of 100; "
	if status, body := b.post("/api/routes/main/weights", `{"weights": {"quick": 7, "slow": 93}}`); status != 200 || shares() != pinned {
		t.Fatalf("pinned: %d %s; %s", status, body, shares())
	}
	b.kill()
	again()
	b.upgrade()
	b.reload(strings.Replace(config, "name: main,", "name: main, ringing: none,", 1), "configuration reloaded")
	if got := shares(); got != pinned {
		t.Errorf("after a kill, an upgrade and a reload: %s", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, b.admin+"/api/routes/main/weights", nil)
	must(t, err)
	res, err := client.Do(req)
	must(t, err)
	res.Body.Close()
	if got := shares(); res.StatusCode != 200 || got != "quick 50 of 100; slow 50 of 100; " {
		t.Errorf("released: %s, %s", res.Status, got)
	}
}

// conversed adds calls of the split to a database that no process has open: of the two agents, one is slow.
func conversed(t *testing.T, file string) {
	t.Helper()
	db, err := store.Open(t.Context(), file)
	must(t, err)
	for i := range 160 {
		name, wait, now := "quick", uint16(600), record.TimeOf(time.Now().Add(-30*time.Minute-time.Duration(i)*time.Minute))
		if i%2 == 0 {
			name, wait = "slow", 2300
		}
		must(t, db.Put(context.Background(), record.Record{
			ID: record.NewID(), Node: "n", Route: "main", Trunk: "carrier", Target: name, Direction: "inbound", Lead: fmt.Sprintf("+1507%07d", i), StartedAt: now, AnsweredAt: now, EndedAt: now,
			Disposition: record.DispositionAnswered, SIPStatus: 200, Cause: "caller_hangup", EndedBy: "caller", Codec: "PCMU", DurationMS: 60_000,
			Attempts: []record.Attempt{{Target: name, Reason: record.ReasonSplit, SIPStatus: 200, SIPCallID: fmt.Sprint("b-", i)}},
			Talk:     &record.Talk{Confidence: record.TalkGood, Turns: &record.Durations{N: 2, P50: int64(wait), P95: int64(wait), Max: int64(wait), Values: []uint16{wait, wait}}},
		}))
	}
	noted, err := db.Noted(t.Context(), "splits") // the earlier looks were longer ago
	must(t, err)
	ago := time.Now().Add(-4 * time.Hour).UTC().Format(time.RFC3339)
	noted = regexp.MustCompile(`"(moved|looked|heard)":"[^"]+"`).ReplaceAllString(noted, `"$1":"`+ago+`"`)
	must(t, db.Note(t.Context(), "splits", noted))
	must(t, db.Close())
}
