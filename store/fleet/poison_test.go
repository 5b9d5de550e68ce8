package fleet

import (
	"math/rand/v2"
	"strings"
	"testing"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// A peer chooses its Call-IDs. The longest ones that fit into a SIP message are too long for PostgreSQL's indexes, but
// their records still reach the database, with all other text that a peer can write.
func TestDrainHostile(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	random := func(size int) string {
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
		b := make([]byte, size)
		for i := range b {
			b[i] = letters[rand.IntN(len(letters))]
		}
		return string(b)
	}
	r := finished("a")
	r.SIPCallID, r.TargetSIPCallID, r.ExternalID, r.SynthflowCallID = random(30_000), random(30_000), random(30_000), random(30_000)
	r.From, r.To, r.Lead = "\x00\xff\xfe"+random(10_000), "<b>\u202e"+random(10_000), "\\u0000\xed\xa0\x80"
	r.Attempts = []record.Attempt{{Target: "agent", SIPCallID: random(30_000)}, {Target: "agent"}}
	report := record.Report{CallID: random(30_000), Status: "\x00" + strings.Repeat("\"\\", 5000), ReceivedAt: r.EndedAt}
	must(t, n.store.Put(t.Context(), r))
	if _, err := n.store.PutReport(t.Context(), "a", report); err != nil {
		t.Fatal(err)
	}
	n.put(ids("b", 20)...)
	n.join(url, nil)
	eventually(t, "all are there", func() bool { return n.waiting() == 0 })
	if got := count(t, url); got != 21 || n.log.String() != "" {
		t.Errorf("%d records; want 21; log %.2000s", got, n.log)
	}
	for _, id := range []string{r.SIPCallID, r.TargetSIPCallID, r.ExternalID, r.Attempts[0].SIPCallID, report.CallID} {
		got, _, err := n.fleet.List(t.Context(), record.Filter{ID: id})
		if err != nil || len(got) != 1 || got[0].ID != "a" || got[0].SIPCallID != r.SIPCallID {
			t.Errorf("by %.10s: %d records, %v", id, len(got), err)
		}
	}
	for _, f := range []record.Filter{{ID: "\x00"}, {ID: "\xff"}, {Number: "a\x00"}, {Cause: "\xff"}} {
		if got, _, err := n.fleet.List(t.Context(), f); err != nil || len(got) != 0 {
			t.Errorf("%+v: %d records, %v", f, len(got), err)
		}
	}
	if _, found, err := n.fleet.Get(t.Context(), "\x00\xff"); found || err != nil {
		t.Error(found, err)
	}
}
