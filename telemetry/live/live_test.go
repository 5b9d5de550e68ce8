package live

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

// node is a watcher for a node with the targets a and b, together with the list of what the watcher's observer was
// told.
type node struct {
	*Watcher
	is    Node
	up    []record.Media
	peers []Peer
	saw   observer
}

// observer records what the watcher tells it.
type observer struct{ heard []string }

func newNode() *node {
	n := &node{peers: []Peer{{Name: "a", Kind: "synthflow", Address: "sip:a", MaxCalls: 7}, {Name: "b", Kind: "sip"}}}
	n.Watcher = New(Options{
		Node: func() Node { return n.is }, Media: func() []record.Media { return n.up }, Peers: func() []Peer { return n.peers },
		IsPeer: func(name string) bool {
			return slices.ContainsFunc(n.peers, func(p Peer) bool { return p.Name == name })
		},
		Observer: &n.saw,
	})
	return n
}

func (n *observer) Rang(r record.Record, s float64) {
	n.heard = append(n.heard, fmt.Sprintf("%s rang %.3f", r.ID, s))
}

func (n *observer) Tried(r record.Record, a *record.Attempt) {
	n.heard = append(n.heard, r.ID+" tried "+a.Target+" "+a.Cause)
}
func (n *observer) Answered(r record.Record) { n.heard = append(n.heard, r.ID+" answered") }
func (n *observer) Ended(r record.Record)    { n.heard = append(n.heard, r.ID+" ended "+r.Cause) }

func at(t time.Time, after time.Duration) record.Time { return record.TimeOf(t.Add(after)) }

// The observer is told of each event in a call's life when it happens, and only once, whether the journal or the record
// has it first.
func TestLifeOfACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, began := newNode(), time.Now()
		r := record.Record{ID: "1", Trunk: "carrier", StartedAt: at(began, 0)}
		n.Changed(r)
		r.Target, r.RingingAt, r.DialedAt = "a", at(began, 20*time.Millisecond), at(began, 30*time.Millisecond)
		n.Changed(r)
		n.Changed(r)
		if got := n.Active(); !cmp.Equal(got, map[Active]int{{"carrier", "a", "dialing"}: 1}) {
			t.Errorf("active: %v", got)
		}
		r.Attempts = []record.Attempt{{Target: "a", Cause: "prepare_failed", PrepareMS: 40, PrepareStatus: 503, StartedAt: r.StartedAt, MS: 41}}
		r.Target = "b"
		n.Changed(r)
		r.Attempts = append(r.Attempts, record.Attempt{Target: "b", SIPStatus: 200, MS: 90})
		r.AnsweredAt, r.SetupMS = at(began, 150*time.Millisecond), 150
		n.Changed(r)
		n.is.Calls = 7 // six other calls have ended, and their records wait for the disk
		if s := n.Stats(); s.Phases != (Phases{Bridged: 1}) || s.Calls != 1 || s.Capacity.Calls != 7 || s.Ended != 0 || s.Decided != 1 || s.AnswerRatio == nil || *s.AnswerRatio != 1 || s.Setup == nil || s.MOS != nil {
			t.Errorf("while it is up: %+v", s)
		}
		time.Sleep(2 * time.Second)
		r.Disposition, r.Cause = record.DispositionAnswered, "caller_hangup"
		r.Media = record.Media{A: record.MediaSide{Rx: 90, Lost: 10, JitterMS: 2}, MOS: 4.3}
		n.Ended(r)
		want := []string{"1 rang 0.020", "1 tried a prepare_failed", "1 tried b ", "1 answered", "1 ended caller_hangup"}
		if d := cmp.Diff(want, n.saw.heard); d != "" {
			t.Error(d)
		}
		s := n.Stats()
		if s.Phases != (Phases{}) || s.Ended != 1 || *s.AnswerRatio != 1 || *s.Loss != 0.1 || s.CallsPerSecond != 0.1 ||
			!cmp.Equal(s.Causes, map[string]uint64{"caller_hangup": 1}) || math.Abs(s.MOS.P5-4.3) > 0.05 || math.Abs(s.Prepare.P50-40) > 3 {
			t.Errorf("afterwards: %+v", s)
		}
		// If a call was never journalled, its record reports everything at once.
		n.saw.heard = nil
		r.ID = "2"
		n.Ended(r)
		if len(n.saw.heard) != 5 || len(n.calls) != 0 {
			t.Errorf("heard %q, %d calls", n.saw.heard, len(n.calls))
		}
	})
}

// Events that a dead process has counted for a call are not counted again, whether the call continues here, or only its
// end is written here.
func TestAnotherProcessHasCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, began := newNode(), time.Now()
		failed := record.Attempt{Target: "a", Cause: "prepare_failed", PrepareMS: 40, PrepareStatus: 503, MS: 41}
		ringing := record.Record{ID: "ringing", StartedAt: at(began, -2*time.Second), RingingAt: at(began, -time.Second), Attempts: []record.Attempt{failed}}
		up := ringing
		up.ID, up.RingingAt, up.AnsweredAt = "up", record.Time{}, at(began, -time.Second)
		up.Attempts = append(slices.Clone(up.Attempts), record.Attempt{Target: "b", SIPStatus: 200, MS: 90})
		n.Changed(ringing)
		n.Changed(up)
		for _, r := range []record.Record{ringing, up} {
			r.ID += ", killed"
			r.Disposition, r.Cause, r.EndedBy = record.DispositionInterrupted, record.CauseProcessRestart, record.EndedBySystem
			n.Ended(r)
		}
		want := []string{"ringing, killed ended process_restart", "up, killed ended process_restart"}
		if d := cmp.Diff(want, n.saw.heard); d != "" {
			t.Error(d)
		}
		s := n.Stats()
		if s.Decided != 0 || s.AnswerRatio != nil || s.PostDialDelay != nil || s.Prepare != nil || s.CallsPerSecond != 0 || s.Ended != 2 {
			t.Errorf("got %+v; want two calls that ended, and nothing else", s)
		}
		ringing.Attempts = append(slices.Clone(ringing.Attempts), record.Attempt{Target: "b", SIPStatus: 200, MS: 90})
		ringing.AnsweredAt = record.TimeOf(time.Now())
		n.Changed(ringing)
		if want = append(want, "ringing tried b ", "ringing answered"); !cmp.Equal(want, n.saw.heard) || n.Stats().Decided != 1 {
			t.Errorf("heard %q, %d decided; want %q, 1", n.saw.heard, n.Stats().Decided, want)
		}
	})
}

// The answer ratio counts the calls that were answered, or ended unanswered, within the window: 50 answered and 8
// failed calls make 86 %. A call that another process had answered does not count.
func TestAnswerRatio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		for i := range 58 {
			r := record.Record{ID: fmt.Sprint(i), StartedAt: record.TimeOf(time.Now())}
			n.Changed(r)
			if i < 50 {
				r.AnsweredAt = record.TimeOf(time.Now())
				n.Changed(r)
				continue
			}
			r.Disposition, r.Cause = record.DispositionFailed, "target_error"
			n.Ended(r)
		}
		restored := record.Record{ID: "restored", StartedAt: record.TimeOf(time.Now()), AnsweredAt: record.TimeOf(time.Now())}
		n.Changed(restored)
		check := func(when string, ended, answered, decided uint64, ratio float64) {
			t.Helper()
			if s := n.Stats(); s.Ended != ended || s.Answered != answered || s.Decided != decided || *s.AnswerRatio != ratio {
				t.Errorf("%s: %d ended, %d of %d answered, %v; want %d, %d of %d, %v", when, s.Ended, s.Answered, s.Decided, *s.AnswerRatio, ended, answered, decided, ratio)
			}
		}
		check("while they are up", 8, 50, 58, 0.8621)
		restored.Disposition = record.DispositionAnswered
		n.Ended(restored)
		check("when one of another process has ended", 9, 50, 58, 0.8621)
		time.Sleep(window)
		n.Ended(record.Record{ID: "0", AnsweredAt: record.TimeOf(time.Now()), Disposition: record.DispositionAnswered})
		n.Ended(record.Record{ID: "later", Disposition: record.DispositionFailed})
		check("when their answers are older than the window", 2, 0, 1, 0)
	})
}

// Events older than the window are forgotten, even if nobody reads the statistics for a long time.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		for i := range 100 {
			n.Ended(record.Record{ID: fmt.Sprint(i), StartedAt: record.TimeOf(time.Now()), Cause: "no_route", Disposition: record.DispositionFailed, Attempts: []record.Attempt{{Target: "a", Cause: "target_silent"}}})
			time.Sleep(10 * time.Second)
		}
		// In 300 s there were 30 calls. The current slot has none yet.
		if s := n.Stats(); s.Ended < 28 || s.Ended > 30 || s.Causes["no_route"] != s.Ended {
			t.Errorf("ended %d; want 300 s of them", s.Ended)
		}
		time.Sleep(window)
		for _, gap := range []time.Duration{0, time.Second, 100 * window} {
			time.Sleep(gap)
			if s := n.Stats(); s.Ended != 0 || len(s.Causes) != 0 || s.CallsPerSecond != 0 {
				t.Errorf("later: %+v", s)
			}
			if g := n.Targets()[0]; g.Health != HealthUnknown || g.Attempts != 0 || g.LastError == nil {
				t.Errorf("later: %+v", g)
			}
		}
	})
}

// Refused requests are counted since the start, but the statistics have only those in the window.
func TestRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		n.is.Rejected = map[string]uint64{"full": 3}
		n.Tend()
		time.Sleep(200 * time.Second)
		n.is.Rejected = map[string]uint64{"full": 5, "ports": 1}
		if got := n.Stats().Rejected; !cmp.Equal(got, map[string]uint64{"full": 5, "ports": 1}) {
			t.Errorf("got %v", got)
		}
		time.Sleep(200 * time.Second)
		if got := n.Stats().Rejected; !cmp.Equal(got, map[string]uint64{"full": 2, "ports": 1}) {
			t.Errorf("got %v", got)
		}
	})
}

// A target is failing if most of its last attempts failed for a reason of the target's own.
func TestHealth(t *testing.T) {
	for _, c := range []struct {
		causes []string
		want   string
	}{
		{nil, HealthIdle},
		{[]string{""}, HealthOK},
		{[]string{"prepare_timeout"}, HealthFailing},
		{[]string{"target_silent", ""}, HealthOK},
		{[]string{"target_busy", "ring_timeout", "target_refused"}, HealthOK},
		{[]string{"caller_cancelled", "target_capped", "setup_timeout"}, HealthIdle},
		{[]string{"", "", "", "", "", "target_error", "dns_failed", "tls_failed"}, HealthFailing},
		{[]string{"target_error", "target_error", "target_error", "target_error", "", "", ""}, HealthOK},
	} {
		n := newNode()
		for i, why := range c.causes {
			n.Ended(record.Record{ID: fmt.Sprint(i), Attempts: []record.Attempt{{Target: "a", Cause: why}, {Target: "sip:elsewhere"}}})
		}
		if got := n.Targets()[0]; got.Health != c.want || got.MaxCalls != 7 || len(n.targets) > 1 {
			t.Errorf("%q: %+v; want %s", c.causes, got, c.want)
		}
		n.peers = n.peers[1:]
		if n.Targets(); len(n.targets) != 0 {
			t.Errorf("a target that is gone is kept")
		}
	}
}

// The last error of a target contains what an operator needs to find the cause.
func TestLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		n.Ended(record.Record{ID: "x", Attempts: []record.Attempt{{Target: "a", StartedAt: at(time.Now(), 0), MS: 812, PrepareMS: 812, PrepareStatus: 503, Cause: "prepare_failed"}}})
		got := n.Targets()[0].LastError
		want := &TargetError{At: at(time.Now(), 812*time.Millisecond), Cause: "prepare_failed", PrepareStatus: 503, Call: "x", Text: "its API answered 503 Service Unavailable"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// A percentile has an error of at most one sixteenth, over the whole range.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, scale := range []float64{0.5, 20, 3000, 100_000} {
		var s series
		var all []float64
		for range 2000 {
			v := scale * (0.5 + random.Float64())
			all = append(all, v)
			s.add(0, v)
		}
		slices.Sort(all)
		for _, q := range []float64{0.05, 0.5, 0.95, 0.99, 1} {
			want, got := all[int(math.Ceil(q*2000))-1], s.sum.quantile(q)
			if math.Abs(got-want)/want > 1.0/16+0.001 {
				t.Errorf("scale %v, quantile %v: %v; want %v", scale, q, got, want)
			}
		}
	}
	for _, v := range []float64{math.NaN(), -1, 0, 1e300, math.Inf(1)} {
		if b := bucketOf(v); b < 0 || b >= buckets {
			t.Errorf("%v is in bucket %d", v, b)
		}
	}
}

// A 401 or 403 from a target's API counts as a problem of our configuration. A call that the caller ends is not the
// target's fault.
func TestFaults(t *testing.T) {
	for want, a := range map[string]record.Attempt{
		"its API refuses our token: 401 Unauthorized": {Cause: "prepare_failed", PrepareStatus: 401},
		"its API refuses our token: 403 Forbidden":    {Cause: "prepare_failed", PrepareStatus: 403},
		"its API answered 503 Service Unavailable":    {Cause: "prepare_failed", PrepareStatus: 503},
		"its API could not be reached":                {Cause: "prepare_failed"},
		"it answered the INVITE with 503":             {Cause: "target_error", SIPStatus: 503},
		"":                                            {Cause: "caller_cancelled"},
	} {
		if got := faultOf(&a); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// The figures include the sound quality of calls that are up, and no longer after these calls have ended.
func TestSoundOfLiveCalls(t *testing.T) {
	n := newNode()
	n.up = []record.Media{{A: record.MediaSide{Rx: 94, Lost: 6, Late: 4, JitterMS: 8}, MOS: 3}, {}} // what comes late is not heard
	for range 2 {                                                                                   // a second report must not count a call twice
		n.Tend()
	}
	if s := n.Stats(); s.Loss == nil || *s.Loss != 0.1 || s.Jitter == nil || math.Abs(s.Jitter.P50-8) > 0.6 || s.MOS == nil || math.Abs(s.MOS.P50-3) > 0.15 || n.harm.sum.count != 1 {
		t.Errorf("while they are up: %+v", s)
	}
	n.up = nil
	n.Tend()
	if s := n.Stats(); s.Loss != nil || s.Jitter != nil || s.MOS != nil {
		t.Errorf("afterwards: %+v", s)
	}
}

// No MOS is below 1, the lowest value of the scale.
func TestWorstMOS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		n.Ended(record.Record{ID: "1", Media: record.Media{MOS: 1}})
		if s := n.Stats(); *s.MOS != (MOS{P50: 1, P5: 1}) {
			t.Errorf("got %+v; want 1", *s.MOS)
		}
	})
}

// Calls report events concurrently, while operators read the statistics.
func TestConcurrently(t *testing.T) {
	n := newNode()
	n.options.Observer = nil
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for k := range 200 {
				r := record.Record{ID: fmt.Sprint(i, k), StartedAt: record.TimeOf(time.Now()), Attempts: []record.Attempt{{Target: "a"}}}
				n.Changed(r)
				n.Stats()
				n.Targets()
				n.Active()
				n.Ended(r)
			}
		})
	}
	group.Wait()
	if s := n.Stats(); s.Ended != 1600 || s.Phases != (Phases{}) || len(n.calls) != 0 {
		t.Errorf("got %+v", s)
	}
}

// BenchmarkWatcher measures what a call costs: four journal entries and the record.
func BenchmarkWatcher(b *testing.B) {
	n := newNode()
	n.options.Observer = nil
	r := record.Record{ID: "1", Trunk: "carrier", Target: "a", StartedAt: record.TimeOf(time.Now())}
	b.ReportAllocs()
	for b.Loop() {
		r.Attempts, r.AnsweredAt = nil, record.Time{}
		for range 3 {
			n.Changed(r)
		}
		r.Attempts, r.AnsweredAt = []record.Attempt{{Target: "a", MS: 30}}, r.StartedAt
		n.Changed(r)
		n.Ended(r)
	}
}

// A target whose circuit is open is failing, whatever its last attempts were.
func TestOpenCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, now := newNode(), time.Now()
		n.Ended(record.Record{ID: "1", Attempts: []record.Attempt{{Target: "a"}}})
		n.peers[0].Circuits = []Circuit{{Of: CircuitSIP, State: CircuitClosed}}
		n.peers[0].Addresses = []Address{{Address: "udp://192.0.2.1:5060", State: AddressOK}}
		if got := n.Targets()[0]; got.Health != HealthOK || len(got.Circuits) != 1 || len(got.Addresses) != 1 {
			t.Errorf("closed: %+v", got)
		}
		n.peers[0].Circuits[0].Ping = "no answer to OPTIONS"
		if got := n.Targets()[0]; got.Health != HealthFailing {
			t.Errorf("without an answer to OPTIONS: %+v", got)
		}
		n.peers[0].Circuits[0].Ping = ""
		open := Circuit{Of: CircuitAPI, State: CircuitOpen, Since: at(now, 0), RetryAt: at(now, 4*time.Second), Refused: 7}
		n.peers[0].Circuits = append(n.peers[0].Circuits, open)
		if got := n.Targets()[0]; got.Health != HealthFailing {
			t.Errorf("open: %+v", got)
		}
		want := "its API is out of use since 2000-01-01T00:00:00.000Z, because it failed: the next try in 4 s, 7 attempts refused"
		if got := open.Words(now); got != want {
			t.Errorf("got %s", got)
		}
		open.State, open.Of = CircuitHalfOpen, CircuitSIP
		want = "it is out of use since 2000-01-01T00:00:00.000Z, because it failed: being tried now, 7 attempts refused"
		if got := open.Words(now); got != want {
			t.Errorf("got %s", got)
		}
	})
}
