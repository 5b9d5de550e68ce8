package node

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/follow"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// splitFile is a configuration with a split that follows. %s: the directory, more sections, and more of the route.
const splitFile = `
sip: {listen: ["udp://127.0.0.1:0"]}
media: {advertise: 127.0.0.1}
admin: {listen: "127.0.0.1:0"}
store: {path: %s/flowbridge.db}
%s
trunks: [{name: carrier, sources: [192.0.2.1]}]
targets: [{name: a, kind: sip, uri: "sip:a@192.0.2.2"}, {name: b, kind: sip, uri: "sip:b@192.0.2.2"}]
routes: [{name: main, targets: [a, b], split: {a: 50, b: 50}, follow: {answered: 97%%}%s}]
`

// splitStage is a node whose split follows. The test looks, and no tick.
type splitStage struct {
	*testing.T
	*Node
	ahead time.Duration // of the clock
}

func newSplitStage(t *testing.T, dir, more string) *splitStage {
	s := &splitStage{T: t, Node: startNode(t, fmt.Sprintf(splitFile, dir, more, ""), os.LookupEnv)}
	s.splits.ticking.Lock()
	t.Cleanup(s.splits.ticking.Unlock)
	return s
}

// served stores records of calls that the split gave to a target, so many of which it did not answer.
func (s *splitStage) served(target string, n, failed int) {
	s.Helper()
	s.ahead += time.Millisecond // records have whole milliseconds: none began before the last look
	var all sync.WaitGroup
	for i := range n {
		now := record.TimeOf(time.Now().Add(s.ahead))
		r := record.Record{
			ID: record.NewID(), Node: "n", Route: "main", Trunk: "carrier", Target: target, Direction: "inbound", StartedAt: now, AnsweredAt: now, EndedAt: now,
			Lead: fmt.Sprintf("+1507%09d", rand.IntN(1e9)), Disposition: record.DispositionAnswered, SIPStatus: 200, Cause: "caller_hangup", EndedBy: "caller", Codec: "PCMU",
			Attempts: []record.Attempt{{Target: target, Reason: record.ReasonSplit, SIPStatus: 200, SIPCallID: "x"}},
		}
		if i < failed {
			r.Attempts[0].SIPStatus, r.Attempts[0].Cause = 503, "target_error"
		}
		all.Go(func() {
			if err := s.store.Put(s.Context(), r); err != nil {
				s.Error(err)
			}
		})
	}
	all.Wait()
}

// looks looks at the split when calls since the last look count.
func (s *splitStage) looks() {
	s.Helper()
	must(s, s.lookAt(125*time.Minute))
}

// lookAt looks at the split so much later.
func (s *splitStage) lookAt(later time.Duration) error {
	s.ahead += later
	return s.splits.update(s.Context(), func(ctx context.Context, r *config.Route, state *follow.State, now time.Time, from record.Lister) {
		s.splits.look(ctx, r, state, now.Add(s.ahead), from)
	})
}

// reads takes what other nodes have decided.
func (s *splitStage) reads() {
	s.Helper()
	must(s, s.splits.update(s.Context(), func(context.Context, *config.Route, *follow.State, time.Time, record.Lister) {}))
}

// weights are those in force, of a and b, and why.
func (s *splitStage) weights() string {
	r := s.admission.Peers.Load().Routes[0]
	why := regexp.MustCompile(` at \d\d:\d\d UTC on \d+ [A-Z][a-z]+`).ReplaceAllString(r.Moved, "")
	if why != "" {
		why = ", " + why
	}
	return fmt.Sprintf("%d %d%s", r.Weight("a"), r.Weight("b"), why)
}

func (s *splitStage) want(weights string) {
	s.Helper()
	if got := s.weights(); got != weights {
		s.Errorf("weights %s; want %s", got, weights)
	}
}

// sees fails the test if the last look saw something else of a target.
func (s *splitStage) sees(target, want string) {
	s.Helper()
	for _, of := range s.live.Targets() {
		if of.Name == target {
			if _, seen, _ := strings.Cut(of.Shares[0].Seen, ": "); seen != want {
				s.Errorf("%s: %q; want %q", target, of.Shares[0].Seen, want)
			}
		}
	}
}

// mustOrder fails the test if an order was refused.
func mustOrder(t *testing.T, refused *admin.RefusedError) {
	t.Helper()
	if refused != nil {
		t.Fatal(refused.Problem)
	}
}

// callers says which target each of many callers has.
func (s *splitStage) callers() map[string]string {
	all, p := map[string]string{}, s.admission.Peers.Load()
	for i := range 1000 {
		number := fmt.Sprintf("+1507555%04d", i)
		targets, _ := p.DestinationsFor(&p.Routes[0], &template.Vars{From: template.Party{Number: number, User: number}})
		all[number] = targets[0].Dial.Name
	}
	return all
}

// TestSplitFollows: weights move only by figures since the last move, and only the moved share of the callers with
// them. They and their reason outlive the process.
func TestSplitFollows(t *testing.T) {
	dir := t.TempDir()
	s := newSplitStage(t, dir, "")
	s.served("a", 60, 20) // before follow is in force, these may be of another target with the name
	s.looks()
	s.looks()
	s.want("50 50")
	s.served("a", 90, 30)
	s.served("b", 49, 0)
	s.looks() // too few
	s.want("50 50")
	s.sees("a", "unanswered 33.3%, bound 3%, 90 calls: outside")
	s.sees("b", "unanswered 0.0%, bound 3%, 49 calls: within; answered 49 of the 50 calls that a move takes")
	before := s.callers()
	s.served("b", 10, 0)
	s.looks()
	s.want("40 60, moved because a unanswered 33.3%, bound 3%, 90 calls")
	changed, after := 0, s.callers()
	for number, target := range before {
		if after[number] != target {
			if changed++; target != "a" {
				t.Errorf("%s changed to %s", number, after[number])
			}
		}
	}
	if changed < 50 || changed > 150 {
		t.Errorf("%d of 1000 callers changed", changed)
	}
	s.looks() // no figures since
	s.want("40 60, moved because a unanswered 33.3%, bound 3%, 90 calls")
	shown := s.live.Targets()[0].Shares
	if len(shown) != 1 || shown[0].Weight != 40 || shown[0].Of != 100 || shown[0].Route != "main" || !strings.Contains(shown[0].Moved, "moved at ") || shown[0].MovedAt.IsZero() || shown[0].Pinned {
		t.Errorf("shown: %+v", shown)
	}
	events := s.live.History(true).Events
	if text := events[len(events)-1].Text; text != "main: [{a 40} {b 60}] because a unanswered 33.3%, bound 3%, 90 calls" {
		t.Errorf("the last event: %s", text)
	}
	must(t, os.Mkdir(filepath.Join(dir, "copy"), 0o700)) // as a kill leaves it
	text, err := s.store.Noted(t.Context(), "splits")
	must(t, err)
	next := newSplitStage(t, filepath.Join(dir, "copy"), "")
	must(t, next.store.Note(t.Context(), "splits", text))
	next.splits.recalled = false // it could not be read before
	next.reads()
	next.want("40 60, moved because a unanswered 33.3%, bound 3%, 90 calls")
	next.ahead = s.ahead
	next.served("a", 60, 0)
	next.served("b", 60, 0)
	next.looks() // a has mended itself
	next.want("50 50")
}

// ends tells the node that calls of as many numbers have ended, which have heard a target or not. Each call began after
// the one before. Records have whole milliseconds, and a split asks what it has heard since a call began.
func (s *splitStage) ends(target string, n int, words bool) {
	for i := range n {
		s.ahead += time.Millisecond
		r := record.Record{
			Route: "main", Target: target, Lead: fmt.Sprintf("+1507555%04d", i), StartedAt: record.TimeOf(time.Now().Add(s.ahead)),
			DurationMS: 10_000, Talk: &record.Talk{Confidence: record.TalkGood, FirstAgentReason: "silent"},
		}
		if words {
			r.Talk = &record.Talk{Confidence: record.TalkGood, FirstAgentMS: new(int64)}
		}
		s.splits.Ended(r)
	}
}

// TestDeadTarget: twelve calls that hear nothing of a target take it to the floor and open its circuit, if calls hear
// another one. Words end that; the weight comes back by looks.
func TestDeadTarget(t *testing.T) {
	s := newSplitStage(t, t.TempDir(), "")
	circuit := func() string {
		status := s.admission.Peers.Load().Targets["a"].SIP.Status()
		return fmt.Sprint(status.State, " ", status.Silent)
	}
	const why = "its last 12 calls, of 12 numbers, have no word of the agent"
	s.ends("a", 12, false)
	s.reads()
	s.want("50 50")
	s.ends("b", 1, true)
	s.ends("a", 1, true)
	s.ends("a", 11, false)
	must(t, s.lookAt(0))
	if s.want("50 50"); circuit() != "closed " {
		t.Errorf("after 11 calls: %s", circuit())
	}
	s.ends("a", 1, false)
	s.ends("b", 1, true)
	s.ends("a", 1, false)
	must(t, s.lookAt(0))
	s.want("5 95, moved because a: " + strings.Replace(why, "of 12 numbers", "of 11 numbers", 1))
	if circuit() != "open "+strings.Replace(why, "of 12 numbers", "of 11 numbers", 1) {
		t.Errorf("after 12 calls: %s", circuit())
	}
	if seen := s.live.Targets()[0].Circuits[0]; seen.State != "open" || !strings.Contains(seen.Words(time.Now()), "because its last 12 calls") {
		t.Errorf("shown: %+v", seen)
	}
	s.ahead += time.Minute
	s.ends("a", 1, true)
	must(t, s.lookAt(0))
	if s.want("5 95, moved because a: " + strings.Replace(why, "of 12 numbers", "of 11 numbers", 1)); circuit() != "closed " {
		t.Errorf("after words: %s", circuit())
	}
	s.served("a", 60, 0)
	s.served("b", 60, 0)
	s.looks()
	s.want("15 85, moved because all targets are within their bounds")
	mustOrder(t, s.splits.order(t.Context(), "main", "ops", map[string]int{"a": 50, "b": 50}))
	s.ends("b", 1, true)
	s.ends("a", 12, false)
	s.ends("b", 1, true)
	must(t, s.lookAt(0))
	s.want("50 50, pinned by ops")
}

// TestSplitIsForgotten: a reload that changes or removes a split leaves nothing of the old one behind.
func TestSplitIsForgotten(t *testing.T) {
	s := newSplitStage(t, t.TempDir(), "")
	seen := func() string { return fmt.Sprint(len(s.splits.last), " ", len(s.splits.tried)) }
	reload := func(old, now string) {
		text := strings.ReplaceAll(fmt.Sprintf(splitFile, t.TempDir(), "", ""), old, now)
		cfg, err := config.Parse("f.yaml", []byte(text), os.LookupEnv)
		must(t, err)
		next, err := newInForce(cfg, s.inForce.Load())
		must(t, err)
		s.tests.put(next, s.server)
	}
	for n := 1; n <= 3; n++ {
		reload("a: 50, b: 50", fmt.Sprintf("a: %d, b: 50", 40+n))
		s.ends("a", 1, true)
		must(t, s.lookAt(0))
		s.ends("a", 1, true)
		s.reads()
		if got := seen(); got != "1 1" {
			t.Errorf("after %d reloads it has heard and tried %s splits; want 1 1", n, got)
		}
	}
	if calls := len(s.splits.last[keyOf(&s.config().Routes[0])]["a"]); calls != 2 {
		t.Errorf("it remembers %d calls of the split in force; want 2", calls)
	}
	reload(", split: {a: 50, b: 50}, follow: {answered: 97%}", "")
	s.reads()
	if got := seen(); got != "0 0" {
		t.Errorf("without a split it has heard and tried %s splits", got)
	}
}

// TestPinnedWeights stay through looks and reloads, until they are released or the split changes.
func TestPinnedWeights(t *testing.T) {
	s := newSplitStage(t, t.TempDir(), "")
	for _, bad := range []map[string]int{
		{}, {"a": 0, "b": 0}, {"a": -1, "b": 5}, {"a": 101, "b": 5}, {"a": 100}, {"a": 50, "c": 50}, {"a": 50, "b": 50, "c": 0},
	} {
		refused := s.splits.order(t.Context(), "main", "ops", bad)
		if refused == nil || refused.Status != http.StatusBadRequest || refused.Problem != "these are no weights of the split of main" || refused.Remedy != "give 0 to 100, not all 0, to a, b" {
			t.Errorf("%v: %+v", bad, refused)
		}
	}
	refused := s.splits.order(t.Context(), "other", "ops", nil)
	if refused == nil || refused.Status != http.StatusNotFound {
		t.Errorf("another route: %+v", refused)
	}
	mustOrder(t, s.splits.order(t.Context(), "main", "ops", map[string]int{"a": 100, "b": 0}))
	s.want("100 0, pinned by ops")
	s.looks()
	s.served("a", 100, 50)
	s.served("b", 100, 0)
	s.looks()
	s.want("100 0, pinned by ops")
	reload := func(more string) {
		cfg, err := config.Parse("f.yaml", fmt.Appendf(nil, splitFile, t.TempDir(), "", more), os.LookupEnv)
		must(t, err)
		next, err := newInForce(cfg, s.inForce.Load())
		must(t, err)
		s.tests.put(next, s.server)
		s.looks()
	}
	reload(", ringing: none")
	s.want("100 0, pinned by ops")
	mustOrder(t, s.splits.order(t.Context(), "main", "ops", nil))
	s.want("50 50")
	mustOrder(t, s.splits.order(t.Context(), "main", "ops", map[string]int{"a": 1, "b": 2}))
	s.want("1 2, pinned by ops")
	cfg, err := config.Parse("f.yaml", []byte(strings.ReplaceAll(fmt.Sprintf(splitFile, t.TempDir(), "", ""), "a: 50, b: 50", "a: 40, b: 60")), os.LookupEnv)
	must(t, err)
	next, err := newInForce(cfg, s.inForce.Load())
	must(t, err)
	s.tests.put(next, s.server)
	s.want("40 60")
	s.reads()
	reload("")
	s.want("50 50") // and not the old pin
}

// TestSplitLooksSeldom: what can't be written, or can't be read, is not repeated all the time, and costs no pin.
func TestSplitLooksSeldom(t *testing.T) {
	s := newSplitStage(t, t.TempDir(), "")
	looks := func(later time.Duration) bool {
		before := s.splits.tried[keyOf(&s.config().Routes[0])]
		must(t, s.lookAt(later))
		return s.splits.tried[keyOf(&s.config().Routes[0])] != before
	}
	if !looks(0) {
		t.Error("no first look")
	}
	s.splits.all = nil // as if nothing had been written
	if looks(lookAgain - 10*time.Second) {
		t.Error("it looks again too soon")
	}
	s.splits.all = nil
	if !looks(15 * time.Second) { // lookAgain and 5 s after the first
		t.Error("it does not look again")
	}
	before := s.admission.Peers.Load()
	looks(follow.Every + time.Minute)
	if s.admission.Peers.Load() != before {
		t.Error("a look without a move reloads the configuration")
	}
	mustOrder(t, s.splits.order(t.Context(), "main", "ops", map[string]int{"a": 1, "b": 2}))
	if share := s.splits.shares("a")[0]; !share.Pinned || share.MovedAt.IsZero() {
		t.Errorf("shown: %+v", share)
	}
	must(t, s.lookAt(25*time.Hour))
	for _, state := range s.splits.all {
		if time.Until(state.Looked) < 24*time.Hour {
			t.Errorf("a pin is not refreshed: %+v", state)
		}
	}
	text, err := s.store.Noted(t.Context(), "splits")
	must(t, err)
	s.splits.recalled, s.splits.all = false, nil
	must(t, s.store.Close())
	if refused := s.splits.order(t.Context(), "main", "ops", nil); refused == nil || refused.Status != http.StatusServiceUnavailable || text == "" {
		t.Errorf("an order on states that can't be read: %+v", refused)
	}
	state := follow.State{}
	s.splits.look(t.Context(), &s.config().Routes[0], &state, time.Now().Add(50*time.Hour), s.store)
	if state.Seen["a"] != "its calls can't be read" || state.Looked.IsZero() {
		t.Errorf("a look at calls that can't be read: %+v", state)
	}
}

// TestSplitInAFleet: one node decides by the calls of all, the others take it from the database, and so do pins. If the
// database has nonsense or weights that no node writes, the file's weights are in force.
func TestSplitInAFleet(t *testing.T) {
	url := pgtest.Shared(t).Database()
	nodes := make([]*splitStage, 2)
	for i := range nodes {
		dir := t.TempDir()
		file := filepath.Join(dir, "dsn")
		must(t, os.WriteFile(file, []byte(url), 0o600))
		nodes[i] = newSplitStage(t, dir, fmt.Sprintf("fleet: {node: node-%d, dsn_file: %q}", i, file))
	}
	a, b := nodes[0], nodes[1]
	a.looks()
	b.ahead = a.ahead
	a.served("a", 60, 20) // too few at each node, enough together
	a.served("b", 40, 0)
	b.served("a", 60, 20)
	b.served("b", 40, 0)
	waitFor(t, "the database has the records", func() bool {
		return pgtest.One[int](t, url, "SELECT count(*) FROM flowbridge_calls") >= 200
	})
	b.looks()
	b.want("30 70, moved because a unanswered 33.3%, bound 3%, 120 calls")
	a.reads()
	a.want("30 70, moved because a unanswered 33.3%, bound 3%, 120 calls")
	if !maps.Equal(a.callers(), b.callers()) {
		t.Error("the nodes lead callers to different targets")
	}
	mustOrder(t, a.splits.order(t.Context(), "main", "ops", map[string]int{"a": 7, "b": 93}))
	b.reads()
	b.want("7 93, pinned by ops")
	pgtest.Exec(t, url, fmt.Sprintf(`UPDATE flowbridge_weights SET states = '{"other": {"looked": %q}, "old": {"pinned": true}}'`,
		time.Now().Add(-47*time.Hour).Format(time.RFC3339)))
	b.reads()
	if text := pgtest.One[string](t, url, "SELECT states FROM flowbridge_weights"); strings.Contains(text, "old") || !strings.Contains(text, "other") {
		t.Errorf("states that no node has seen for two days are to go: %s", text)
	}
	pgtest.Exec(t, url, `UPDATE flowbridge_weights SET states = '{"x": [1, null'`)
	b.reads()
	b.want("50 50")
	split := keyOf(&b.config().Routes[0])
	for _, forged := range []string{`{"a": 0, "b": 0}`, `{"a": -5, "b": 105}`, `{"a": 100}`, `{"a": 9223372036854775807, "b": 1}`} {
		pgtest.Exec(t, url, fmt.Sprintf(`UPDATE flowbridge_weights SET states = '{%q: {"weights": %s, "pinned": true}}'`, split, forged))
		b.reads()
		b.want("50 50")
	}
	must(t, b.store.Close()) // the fleet keeps what it can't
	mustOrder(t, b.splits.order(t.Context(), "main", "ops", map[string]int{"a": 9, "b": 91}))
	b.want("9 91, pinned by ops")
}

// TestSplitWithoutTheDatabase: a node of a fleet whose database is away goes on by its own calls, and refuses a pin,
// which would not be of all nodes.
func TestSplitWithoutTheDatabase(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dsn")
	must(t, os.WriteFile(file, []byte("postgres://user@127.0.0.1:1/none"), 0o600))
	s := newSplitStage(t, dir, fmt.Sprintf("fleet: {node: alone, dsn_file: %q}", file))
	refused := s.splits.order(t.Context(), "main", "ops", map[string]int{"a": 1, "b": 2})
	if refused == nil || refused.Status != http.StatusServiceUnavailable || !strings.Contains(refused.Problem, "the fleet's database is not reached") {
		t.Errorf("a pin: %+v", refused)
	}
	waitFor(t, "the first look", func() bool {
		_ = s.lookAt(0) // it says that the database is away
		return s.splits.recalled
	})
	s.served("a", 90, 30)
	s.served("b", 60, 0)
	_ = s.lookAt(125 * time.Minute)
	s.want("40 60, moved because a unanswered 33.3%, bound 3%, 90 calls")
}
