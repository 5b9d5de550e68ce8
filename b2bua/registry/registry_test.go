package registry

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/leg"
)

// line is a leg for the registry.
type line struct{ *Keys }

func (line) Call() *int { return nil }

// After a flood, the registry knows each leg until 64*T1 after its end, and no longer (RFC 6026 section 7.1).
func TestMemoryOfLegs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New[*int, line]()
		for i := range 1000 {
			r.gone.Add(fmt.Sprint("tag", i), fmt.Sprint("invite", i), "bye")
			time.Sleep(leg.GiveUp / 500)
		}
		for i, known := range map[int]bool{0: false, 499: false, 501: true, 999: true} {
			tag, invite := fmt.Sprint("tag", i), fmt.Sprint("invite", i)
			if r.KnowsTag([]byte(tag)) != known || r.IsGone(tag, invite) != known || r.ByeAnswered(tag, "bye") != known {
				t.Errorf("leg %d: known is not %v", i, known)
			}
			if r.IsGone(tag, "other") || r.IsGone(tag, "") || r.ByeAnswered(tag, "other") || r.ByeAnswered(tag, "") {
				t.Errorf("leg %d: it is taken for another", i)
			}
		}
		r.gone.Add("unanswered", "", "")
		if r.ByeAnswered("unanswered", "") {
			t.Error("a BYE without a branch is taken for one that was answered")
		}
	})
}
