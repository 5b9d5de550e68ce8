package compare

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

func answered(target string, change func(r *record.Record)) *record.Record {
	r := &record.Record{
		Target: target, Trunk: "carrier", Route: "routes[0]", AnsweredAt: record.TimeOf(time.Unix(1_800_000_000, 0)), SetupMS: 300,
		DurationMS: 60_000, Attempts: []record.Attempt{{Target: target}},
		Talk: &record.Talk{
			Confidence: record.TalkGood, FirstAgentMS: new(int64(500)), Turns: &record.Durations{N: 2, Values: []uint16{800, 1200}},
			BargeIns: &record.Durations{N: 1, Values: []uint16{300}}, Ignored: new(int64(1)), CutOffs: new(int64(2)),
			AgentDeadAirMS: new(int64(4000)), MeasuredMS: new(int64(60_000)),
		},
	}
	if change != nil {
		change(r)
	}
	return r
}

// placed returns the record of a call that an API request has placed: its customer has answered, and then target c.
func placed(change func(r *record.Record)) *record.Record {
	return answered("c", func(r *record.Record) {
		customer := record.Attempt{Target: "carrier", Reason: record.ReasonCustomer, SIPStatus: 200}
		r.Placed, r.Attempts = true, []record.Attempt{customer, {Target: "c", SIPStatus: 200}}
		change(r)
	})
}

// TestGroups: a call counts for the target that it was given to first. Its conversation counts only for the target
// that held it, and only if the measurement can be trusted.
func TestGroups(t *testing.T) {
	records := []*record.Record{
		answered("a", nil), answered("a", nil),
		answered("a", func(r *record.Record) { r.Talk.Confidence = "noisy" }),
		answered("a", func(r *record.Record) { r.AnsweredAt, r.Talk = record.Time{}, nil }),
		answered("b", func(r *record.Record) { // target a has failed before
			r.Attempts = []record.Attempt{{Target: "a"}, {Target: "b", Reason: record.ReasonRescue}}
		}),
		answered("b", func(r *record.Record) { r.Attempts[0].Reason = record.ReasonSplit }),
		answered("platform", func(r *record.Record) { r.Attempts[0].Target = "carrier" }), // the platform has placed the call
		placed(func(r *record.Record) { r.AnsweredAt, r.Attempts = record.Time{}, r.Attempts[:1] }),
		placed(func(*record.Record) {}),
	}
	groups := func(by string) map[string]Group {
		g, all := New(by), map[string]Group{}
		for _, r := range records {
			g.Add(r)
		}
		for _, v := range g.All() {
			all[v.Name] = v
		}
		return all
	}
	got := groups("target")
	a := got["a"]
	if len(got) != 4 || a.Calls != 5 || a.Answered.Of != 5 || a.Answered.Share != 0.8 || a.Rescued.Share != 0.25 || a.Measured.Share != 0.5 ||
		a.Turns.N != 4 || a.Turns.P50 != 800 || a.Turns.P95 != 1200 || a.Ignored.Of != 4 || a.Ignored.Share != 0.5 || *a.AgentDeadAir != 4000 ||
		*a.CutOffsPerMin != 2 || *a.DurationMS != 60_000 {
		t.Errorf("a: %+v", a)
	}
	if b := got["b"]; b.Calls != 1 || b.Turns.N != 2 || got["platform"].Calls != 1 {
		t.Errorf("b: %+v, the platform %+v", b, got["platform"])
	}
	if c := got["c"]; c.Calls != 1 || c.Answered != nil || c.SetUp != nil || c.DurationMS == nil || c.Turns.N != 2 {
		t.Errorf("the target of placed calls: %+v", c)
	}
	if got := groups("split"); len(got) != 1 || got["routes[0] b"].Calls != 1 {
		t.Errorf("by split: %+v", got)
	}
	if got := groups("trunk"); len(got) != 1 || got["carrier"].Calls != len(records) ||
		got["carrier"].Answered.Of != len(records)-2 || got["carrier"].Turns.N != 12 {
		t.Errorf("by trunk: %+v", got["carrier"])
	}
	if none := New("route").All(); none == nil || len(none) != 0 {
		t.Errorf("nothing: %+v", none)
	}
}

// TestIntervals compares with known values: Wilson's interval for 8 in 10 is 0.4902 to 0.9433, and the median of 100
// lies between the ranks 41 and 61 (60.8, rounded up).
func TestIntervals(t *testing.T) {
	s := ShareOf(8, 10, 10)
	if math.Abs(s.Interval[0]-0.4902) > 1e-3 || math.Abs(s.Interval[1]-0.9433) > 1e-3 {
		t.Errorf("8 of 10: %v", s.Interval)
	}
	if s := ShareOf(0, 10, 10); s.Interval[0] != 0 || s.Interval[1] < 0.27 || s.Interval[1] > 0.28 {
		t.Errorf("none of 10: %v", s.Interval)
	}
	var all []int64
	for i := range int64(100) {
		all = append(all, 100-i)
	}
	want := &Durations{N: 100, Independent: 100, P50: 50, P50Interval: [2]int64{41, 61}, P95: 95, P95Interval: [2]int64{91, 100}}
	if diff := cmp.Diff(want, DurationsOf(all, 100)); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	if d := DurationsOf([]int64{7}, 1); d.P95Interval != [2]int64{7, 7} {
		t.Errorf("one value: %+v", d)
	}
}

// TestIntervalsOfFewCalls: turns resemble each other within a call. The intervals of 95 in 100 reports hold what is true
// of all calls nevertheless, even if all turns of a call are alike.
func TestIntervalsOfFewCalls(t *testing.T) {
	random, median, ignored := rand.New(rand.NewPCG(1, 2)), 0, 0
	const reports = 2000
	for range reports {
		g := New("target")
		for range 20 {
			level, obeys := uint16(1000+100*random.NormFloat64()), random.IntN(2) == 0
			g.Add(answered("a", func(r *record.Record) {
				r.Talk.Turns.Values = []uint16{level, level, level, level, level, level, level, level}
				r.Talk.BargeIns.Values, r.Talk.Ignored = nil, new(int64(6))
				if obeys {
					r.Talk.BargeIns.Values, r.Talk.Ignored = []uint16{1, 1, 1, 1, 1, 1}, nil
				}
			}))
		}
		all := g.All()[0]
		if i := all.Turns.P50Interval; i[0] <= 1000 && i[1] >= 1000 {
			median++
		}
		if i := all.Ignored.Interval; i[0] <= 0.5 && i[1] >= 0.5 {
			ignored++
		}
	}
	if median < reports*94/100 || ignored < reports*94/100 {
		t.Errorf("of %d reports %d hold the median, and %d the share of interruptions that are ignored", reports, median, ignored)
	}
}
