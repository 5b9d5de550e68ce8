package live

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

// An hour is kept, a point each ten seconds: what was measured, and null where nothing was. Points that were missed stay empty.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		if h := n.History(false); !h.Start.IsZero() || h.StepS != 10 || len(h.Figures) != 0 || h.Targets == nil {
			t.Errorf("at the beginning: %+v", h)
		}
		began := time.Now()
		tend := func(steps int) {
			for range 2 * steps { // a process tends every five seconds
				n.Tend()
				time.Sleep(5 * time.Second)
			}
		}
		n.is = Node{Unwritten: 3, Rejected: map[string]uint64{"full": 2}}
		n.Tend()
		n.is.Unwritten, n.is.Rejected = 5, map[string]uint64{"full": 4}
		time.Sleep(10 * time.Second)
		n.Ended(record.Record{
			ID: "1", Target: "a", AnsweredAt: at(began, 0), SetupMS: 1200, Cause: "caller_hangup", Attempts: []record.Attempt{{Target: "a", MS: 900, SIPStatus: 200}},
			Talk: &record.Talk{Confidence: record.TalkGood, Turns: &record.Durations{N: 2, Values: []uint16{800, 1600}}},
		})
		n.Tend()
		h := n.History(false)
		if !h.Start.Equal(record.TimeOf(began).Time) || !cmp.Equal(floats(h.Figures["unwritten"]), []float64{3, 5}) || !cmp.Equal(floats(h.Figures["rejected"]), []float64{2, 4}) {
			t.Errorf("after two points: %+v %v", h.Start, floats(h.Figures["unwritten"]))
		}
		if got := floats(h.Figures["setup_ms"]); got[0] != -1 || math.Abs(got[1]-1200) > 80 {
			t.Errorf("set-up: %v", got)
		}
		if len(h.Targets) != 2 || h.Targets[0].Name != "a" || math.Abs(floats(h.Targets[0].Series["turns_ms"])[1]-1600) > 110 || h.Targets[1].Series["turns_ms"][1] != nil {
			t.Errorf("targets: %+v", h.Targets)
		}
		time.Sleep(30 * time.Second) // the process stood still
		n.Tend()
		if got := floats(n.History(false).Figures["unwritten"]); !cmp.Equal(got, []float64{3, 5, -1, -1, 5}) {
			t.Errorf("after a gap: %v", got)
		}
		tend(2 * historyPoints)
		n.is.Unwritten = 9
		n.Tend()
		h = n.History(false)
		got := floats(h.Figures["unwritten"])
		if len(got) != historyPoints || got[0] != 5 || got[historyPoints-1] != 9 || time.Since(h.Start.Time) > time.Hour || time.Since(h.Start.Time) < time.Hour-20*time.Second {
			t.Errorf("after two hours: %d points from %v, the last %v", len(got), h.Start, got[len(got)-1])
		}
		n.peers = n.peers[:1]
		n.Tend()
		time.Sleep(10 * time.Second)
		n.Tend()
		if len(n.History(false).Targets) != 1 || len(n.history.targets) != 1 {
			t.Error("a target that is gone is kept")
		}
		time.Sleep(2 * time.Hour)
		n.Tend()
		if got := floats(n.History(false).Figures["unwritten"]); got[0] != -1 || got[historyPoints-1] != 9 {
			t.Errorf("after a long gap: %v … %v", got[0], got[historyPoints-1])
		}
	})
}

// The history of a large configuration has its first targets only, whatever a reload puts before them.
func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		for round := range 4 {
			others := make([]Peer, historyTargets-1)
			for i := range others {
				others[i].Name = fmt.Sprintf("%d-%d", round, i)
			}
			n.peers = append(others, n.peers...)
			n.Tend()
			h := n.History(false)
			if len(h.Targets) != historyTargets || len(n.history.targets) != historyTargets || h.Targets[0].Name != others[0].Name {
				t.Errorf("round %d: %d targets are told, %d kept", round, len(h.Targets), len(n.history.targets))
			}
			time.Sleep(historyStep)
		}
	})
}

// The answer is made once for each point. A new point makes another one, and leaves the one before as it was.
func TestHistoryIsMadeOnceAPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		n.is.Unwritten = 3
		n.Tend()
		first := n.History(false)
		time.Sleep(historyStep / 2)
		n.Tend()
		if again := n.History(false); again.Figures["unwritten"][0] != first.Figures["unwritten"][0] {
			t.Error("it is made anew within a step")
		}
		n.is.Unwritten = 4
		time.Sleep(historyStep / 2)
		n.Tend()
		if got := floats(n.History(false).Figures["unwritten"]); !cmp.Equal(got, []float64{3, 4}) || !cmp.Equal(floats(first.Figures["unwritten"]), []float64{3}) {
			t.Errorf("after another point: %v; before: %v", got, floats(first.Figures["unwritten"]))
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { n.History(false) })
		}
		time.Sleep(historyStep)
		n.Tend()
		all.Wait()
		if got := floats(n.History(false).Figures["unwritten"]); !cmp.Equal(got, []float64{3, 4, 4}) {
			t.Errorf("at last: %v", got)
		}
	})
}

// A conversation counts at the target that held it alone, and only if its figures can be believed.
func TestTurnsOfATarget(t *testing.T) {
	n := newNode()
	turns := &record.Durations{N: 1, Values: []uint16{700}}
	for _, r := range []record.Record{
		{ID: "noisy", Target: "a", Talk: &record.Talk{Confidence: "noisy", Turns: turns}},
		{ID: "rescued", Target: "a", Talk: &record.Talk{Confidence: record.TalkGood, Turns: turns}, Attempts: []record.Attempt{{Target: "b"}, {Target: "a", Reason: record.ReasonRescue}}},
		{ID: "silent", Target: "a", Talk: &record.Talk{Confidence: record.TalkGood}},
		{ID: "strange", Target: "c", Talk: &record.Talk{Confidence: record.TalkGood, Turns: turns}},
	} {
		n.Ended(r)
	}
	if got := n.Targets()[0].Turns; got != nil {
		t.Errorf("turns %+v; want none", got)
	}
	n.Ended(record.Record{ID: "good", Target: "a", Talk: &record.Talk{Confidence: record.TalkGood, Turns: turns}, Attempts: []record.Attempt{{Target: "b", Cause: "target_error"}, {Target: "a"}}})
	if got := n.Targets()[0].Turns; got == nil || math.Abs(got.P50-700) > 50 {
		t.Errorf("turns %+v; want 700", got)
	}
}

// floats are the points of a series, -1 for null.
func floats(points []*float64) []float64 {
	all := make([]float64, len(points))
	for i, p := range points {
		all[i] = -1
		if p != nil {
			all[i] = *p
		}
	}
	return all
}

// A point is made each ten seconds of every node, so it must cost next to nothing.
func BenchmarkHistory(b *testing.B) {
	n := newNode()
	for b.Loop() {
		n.history.began = n.history.began.Add(-historyStep)
		n.Tend()
	}
}
