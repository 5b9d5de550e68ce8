package live

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

// What callers of answered calls suffer is counted once a call, while it is up or when it ends, and forgotten with the
// window.
func TestSufferings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		for i := range 4 {
			r := record.Record{ID: fmt.Sprint(i), Target: "a", AnsweredAt: record.TimeOf(time.Now())}
			if i == 3 {
				r.Target = "b"
			}
			n.Changed(r)
			r.Media.OneWay, r.Media.Silences = "b", []record.Silence{{Side: "a"}, {Side: "b"}, {Side: "a"}}
			n.Changed(r)
			r.Cause = []string{"no_ack", "no_ack", "caller_hangup", "media_timeout"}[i]
			n.Ended(r)
		}
		n.Ended(record.Record{ID: "never answered", Target: "a", Cause: "no_ack"})
		want := []Suffering{
			{Code: TroubleOneWay, Side: "b", Target: "a", Calls: 4},
			{Code: TroubleSilent, Side: "a", Target: "a", Calls: 4},
			{Code: TroubleSilent, Side: "b", Target: "a", Calls: 4},
			{Code: TroubleCutOff, Target: "a", Cause: "no_ack", Calls: 3},
		}
		if diff := cmp.Diff(want, n.Stats().Suffering); diff != "" {
			t.Error(diff)
		}
		time.Sleep(2 * window)
		if all := n.Stats().Suffering; len(all) != 0 || len(n.suffering) != 0 {
			t.Errorf("%+v", all)
		}
	})
}

// A target that answers each call and hangs up at once without a sound serves nobody. One that says something first,
// or whose callers hang up, does.
func TestHangsUpAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		cause string
		lasts int64
		rx    int64
		want  string
	}{
		"at once":      {"agent_hangup", 60, 0, "agent_hangup × 12"},
		"after a word": {"agent_hangup", 1500, 60, ""},
		"later":        {"agent_hangup", 2500, 0, ""},
		"the caller":   {"caller_hangup", 60, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode()
				for i := range 12 {
					n.Ended(record.Record{
						ID: fmt.Sprint(i), To: fmt.Sprint(i % 3), Target: "a", SIPStatus: 200, Cause: tt.cause, DurationMS: tt.lasts,
						AnsweredAt: record.TimeOf(time.Now()), Media: record.Media{B: record.MediaSide{Rx: tt.rx}},
						Attempts: []record.Attempt{{Target: "a", SIPStatus: 200}},
					})
				}
				g := n.Targets()[0]
				if got := g.Refusing; (got == nil) != (tt.want == "") || got != nil && got.String() != tt.want {
					t.Errorf("%s: %v", g.Health, got)
				}
			})
		})
	}
}
