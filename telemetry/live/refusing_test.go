package live

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/store/record"
)

// A target refuses once ten calls in a row, of three numbers or of the one that its URI has, had no answer and one end.
// A busy target and one whose user declines work, and a caller's CANCEL says nothing.
func TestRefusing(t *testing.T) {
	refused := func(status int) record.Attempt { return record.Attempt{Cause: "target_refused", SIPStatus: status} }
	rings, cancelled, answered := record.Attempt{Cause: "ring_timeout"}, record.Attempt{Cause: "caller_cancelled"}, record.Attempt{SIPStatus: 200}
	row := func(n int, of ...record.Attempt) (all []record.Attempt) {
		for range n {
			all = append(all, of...)
		}
		return all
	}
	many := []string{"1", "2", "3"}
	for name, tt := range map[string]struct {
		peer     string // a's URI depends on the call, b's does not, c is a trunk
		numbers  []string
		attempts []record.Attempt
		want     string
	}{
		"nine":                    {"a", many, row(9, refused(404)), ""},
		"ten":                     {"a", many, row(10, refused(404)), "404 × 10"},
		"of two numbers":          {"a", many[:2], row(50, refused(404)), ""},
		"of one that the URI has": {"b", many[:1], row(97, refused(404)), "404 × 97"},
		"with two statuses":       {"a", many, row(20, refused(404), refused(480)), ""},
		"busy":                    {"a", many, row(20, record.Attempt{Cause: "target_busy", SIPStatus: 486}), ""},
		"busy everywhere":         {"a", many, row(20, record.Attempt{Cause: "target_busy", SIPStatus: 600}), ""},
		"declined":                {"a", many, row(20, refused(603)), ""},
		"terminated":              {"a", many, row(20, refused(487)), ""},
		"callers give up":         {"a", many, row(5, cancelled, refused(404), refused(404), cancelled), "404 × 10"},
		"an answer":               {"a", many, append(row(20, refused(404)), answered), ""},
		"after an answer":         {"a", many, append(append(row(20, refused(404)), answered), row(9, refused(404))...), ""},
		"it answers them all":     {"a", many, row(20, answered), ""},
		"it only rings":           {"a", many, row(12, rings), "ring_timeout × 12"},
		"people who do not":       {"c", many, row(12, rings), ""},
		"numbers of a trunk":      {"c", many, row(12, refused(404)), "404 × 12"},
		"it fails":                {"a", many, row(20, record.Attempt{Cause: "target_error", SIPStatus: 500}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode()
				n.peers = []Peer{{Name: "a"}, {Name: "b", Fixed: true}, {Name: "c", Kind: KindTrunk}}
				for i, a := range tt.attempts {
					a.Target = tt.peer
					n.Ended(record.Record{ID: fmt.Sprint(i), To: tt.numbers[i%len(tt.numbers)], Attempts: []record.Attempt{a}})
				}
				g := n.Targets()[tt.peer[0]-'a']
				if tt.want == "" {
					if g.Health == HealthRefusing || g.Refusing != nil {
						t.Errorf("%s: %v", g.Health, g.Refusing)
					}
					return
				}
				if g.Health != HealthRefusing || g.Refusing.String() != tt.want || g.LastError == nil || g.Failed != g.Attempts {
					t.Errorf("%+v", g)
				}
			})
		})
	}
}

// It goes on to refuse while no call comes: a night does not make it well.
func TestRefusesAllNight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		for i := range 12 {
			n.Ended(record.Record{ID: fmt.Sprint(i), To: fmt.Sprint(i), Attempts: []record.Attempt{{Target: "a", Cause: "target_refused", SIPStatus: 404}}})
		}
		for range 3 {
			time.Sleep(window)
			if g := n.Targets()[0]; g.Health != HealthRefusing || g.Failed != g.Attempts {
				t.Errorf("%+v", g)
			}
		}
	})
}
