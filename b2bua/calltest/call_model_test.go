package calltest

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"flowbridge/b2bua"
	"flowbridge/internal/memnet"
)

// This file tests random whole calls: a carrier and two agents do things that SIP allows,
// and things that it forbids, on a network that loses messages, under a random
// configuration. call_model_check_test.go has the rules for all messages of the server.
// scripts/model.sh runs the model for longer.
//
// A case is a list of steps, each a few small numbers, so that rapid can leave out steps
// and make numbers smaller. A failure prints the steps and the messages as text.

// modelStep is one action with its choices.
type modelStep struct {
	Act  int
	Args []int
}

// modelConfig is the configuration, as indexes of lists, with the peers' habits.
type modelConfig struct {
	Ringing, Rel100A, Rel100B, ExpiresA, ExpiresB, Reinvite, Transfer, DTMF, Targets, Auth, Natural, Prelude, Prepare, Cross, Rescue int
	Habits                                                                                                                           [3]int
	Replies                                                                                                                          []int // the first statuses for requests within a dialog: indexes of modelReplies
}

func drawStep(t *rapid.T) modelStep {
	return modelStep{
		Act:  rapid.IntRange(0, len(modelActs())-1).Draw(t, "act"),
		Args: rapid.SliceOfN(rapid.IntRange(0, 63), 8, 8).Draw(t, "args"),
	}
}

func drawConfig(t *rapid.T) (c modelConfig) {
	for _, f := range []*int{
		&c.Ringing, &c.Rel100A, &c.Rel100B, &c.ExpiresA, &c.ExpiresB, &c.Reinvite, &c.Transfer, &c.DTMF, &c.Targets, &c.Auth, &c.Natural, &c.Prelude, &c.Prepare, &c.Cross, &c.Rescue,
	} {
		*f = rapid.IntRange(0, 5).Draw(t, "config")
	}
	for i := range c.Habits {
		if rapid.IntRange(0, 3).Draw(t, "habits") == 3 {
			c.Habits[i] = rapid.IntRange(0, 31).Draw(t, "habit")
		}
	}
	c.Replies = rapid.SliceOfN(rapid.IntRange(0, 31), 0, 8).Draw(t, "replies")
	return c
}

func pick[T any](list []T, n int) T { return list[n%len(list)] }

func (c modelConfig) yaml() string {
	expires := []string{"0", "90s", "600s", "1800s"}
	rel := []string{"supported", "off", "required"}
	kind := pick([]string{"kind: sip", "kind: sip", `kind: synthflow, prepare: {api: "https://api.test", token_env: TOKEN, model_id: m, timeout: 3s}`}, c.Prepare)
	auth := pick([]string{"", `, auth: {username: u, password_env: PW}`}, c.Auth)
	return fmt.Sprintf(`
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], max_duration: 1h, uri: "sip:{{.To.Number}}@192.0.2.10:5060", originate: {numbers: [".*"], per_hour: 0%[13]s}, rel100: %[1]s, session_expires: %[2]s}
  - {name: pbx, sources: ["192.0.2.21"], uri: "sip:{{.To.Number}}@192.0.2.21:32681", originate: {numbers: [".*"], per_hour: 0}, rel100: %[3]s}
targets:
  - {name: agent, %[11]s, uri: "sip:{{.To.Number}}@192.0.2.20:32681", transfer: %[5]s, transfer_numbers: ["^\\+1507", "^[0-9]{4}$"],
     transfer_hosts: [192.0.2.21, "192.0.2.21:32681"], rel100: %[3]s, session_expires: %[4]s, reinvite: %[6]s, dtmf: %[7]s%[8]s}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681", reinvite: %[6]s, session_expires: %[4]s}
routes:
  - {trunk: carrier, targets: [%[9]s], ringing: %[10]s, failover_on: [486]%[12]s}
  - {target: agent, to: "^4", trunks: [pbx, carrier]}
`, pick(rel, c.Rel100A), pick(expires, c.ExpiresA), pick(rel, c.Rel100B), pick(expires, c.ExpiresB),
		pick([]string{"local", "local", "relay"}, c.Transfer), pick([]string{"auto", "relay", "absorb"}, c.Reinvite),
		pick([]string{"relay", "info", "rfc4733"}, c.DTMF), auth, pick([]string{"agent", "agent, spare"}, c.Targets),
		pick([]string{"immediate", "on-target", "none"}, c.Ringing), kind,
		pick([]string{"", "", ", rescue: {targets: [spare, agent]}"}, c.Rescue),
		pick([]string{"", ", answer: {machine: hangup}", ", answer: {}", "", ", answer: {machine: play, play: us}", ", answer: {machine: hangup, screening: play, play: us}"}, c.Prelude))
}

// modelChecks is the default number of cases.
const modelChecks = "800"

func TestCallModel(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); os.Getenv("RAPID_CHECKS") == "" && f.Value.String() == f.DefValue {
		_ = f.Value.Set(modelChecks)
		defer func() { _ = f.Value.Set(f.DefValue) }()
	}
	_ = flag.Set("rapid.nofailfile", "true") // the printed seed is enough to repeat a failure
	story := ""
	defer func() {
		if t.Failed() {
			t.Logf("the last case that failed:\n%s", story)
		}
	}()
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		var steps []modelStep
		for range 5 { // rapid draws short slices, so join several
			steps = append(steps, rapid.SliceOfN(rapid.Custom(drawStep), 0, 30).Draw(t, "steps")...)
		}
		kind, told := "", ""
		rapid.SyncTest(t, func(*rapid.T) { kind, told = runCallModel(c, steps) })
		if kind != "" {
			story = told
			t.Fatalf("%s", kind) // equal texts for failures of one kind: otherwise rapid might shrink to a different failure
		}
	})
}

// modelTB is a testing.TB that collects failures.
type modelTB struct {
	testing.TB
	m *callModel
}

func (tb modelTB) Helper()                   {}
func (tb modelTB) Error(args ...any)         { tb.m.fail("%s", fmt.Sprint(args...)) }
func (tb modelTB) Errorf(f string, a ...any) { tb.m.fail(f, a...) }
func (tb modelTB) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (tb modelTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (tb modelTB) Log(...any)                {}
func (tb modelTB) Logf(string, ...any)       {}
func (m *callModel) Write(b []byte) (int, error) {
	if m.logs || strings.Contains(string(b), "panic recovered") {
		m.note("LOG %s", strings.ReplaceAll(strings.TrimSpace(string(b)), `\n`, "\n"))
	}
	return len(b), nil
}

// callModel runs one case.
type callModel struct {
	w     *world
	start time.Time
	peers []*modelPeer
	ledger
	logs    bool
	wake    chan struct{}
	ending  bool
	replies []int
	crosses bool // messages of several steps may be on their way at once
	died    bool // the server was killed and restored
	placed  int  // number of calls that the server has placed

	mu     sync.Mutex
	events []modelEvent
	drops  map[string]int // number of datagrams to lose, by peer and direction
	trace  []string
	bad    []string
	kind   string // kind of the first failure
}

// modelEvent is a datagram on the wire.
type modelEvent struct {
	at       time.Time
	peer     *modelPeer
	toServer bool
	lost     bool
	raw      string
}

func (m *callModel) note(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trace = append(m.trace, fmt.Sprintf("%10.3f ", time.Since(m.start).Seconds())+fmt.Sprintf(format, args...))
}

func (m *callModel) fail(format string, args ...any) {
	m.note("!!! "+format, args...)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bad = append(m.bad, fmt.Sprintf(format, args...))
	if m.kind == "" {
		m.kind = format
	}
}

// wrong reports a failure like fail, for rules that depend on the order in which messages
// reached the server. It does nothing if that order is unknown, because messages cross on
// the wire or were in flight when the server was killed.
func (m *callModel) wrong(format string, args ...any) {
	if !m.crosses && !m.died {
		m.fail(format, args...)
	}
}

// runCallModel runs one case in a bubble. It returns the kind of the first failure, or "",
// and the trace as text.
func runCallModel(c modelConfig, steps []modelStep) (kind, story string) {
	m := &callModel{
		start: time.Now(), wake: make(chan struct{}, 1), drops: map[string]int{}, ledger: newLedger(),
		logs: os.Getenv("MODEL_LOG") != "",
	}
	m.w = newWorld(modelTB{m: m}, c.yaml(), func(o *b2bua.Options) { o.Log = zerolog.New(io.Writer(m)) })
	for i, p := range []*peer{m.w.carrier, m.w.agent, m.w.agent2} {
		name := []string{"carrier", "agent", "spare"}[i]
		addr := []netip.AddrPort{carrierAddr, agentAddr, agent2Addr}[i]
		h := c.Habits[i]
		m.peers = append(m.peers, &modelPeer{peer: p, m: m, name: name, addr: addr, habits: habits{
			NoACK: h&1 > 0, NoPRACK: h&2 > 0, NoAnswer: h&4 > 0, NoReACK: h&8 > 0, Silent: h&16 > 0 && i > 0,
		}})
	}
	m.w.sw.SetFilter(m.filter)
	defer m.w.close()
	m.replies, m.crosses = c.Replies, c.Cross == 4
	m.w.prepare.after = time.Second
	m.prelude(c.Prelude)
	for _, s := range steps {
		m.step(s)
	}
	m.finish(c.Natural%2 == 1)
	if len(m.bad) == 0 {
		return "", ""
	}
	return m.kind, fmt.Sprintf("%s\n\nconfiguration:%s\nhabits: carrier %+v, agent %+v, spare %+v\n\n%s\n", strings.Join(m.bad, "\n"), c.yaml(),
		m.peers[0].habits, m.peers[1].habits, m.peers[2].habits, strings.Join(m.trace, "\n"))
}

// filter sees every datagram, and loses some.
func (m *callModel) filter(from, to netip.AddrPort, b []byte) memnet.Verdict {
	e := modelEvent{at: time.Now(), raw: string(b), toServer: to == ourAddr}
	for _, p := range m.peers {
		if p.addr == from || p.addr == to {
			e.peer = p
		}
	}
	if e.peer == nil {
		m.fail("a datagram to %v, who is nobody:\n%s", to, b)
		return memnet.Drop
	}
	m.mu.Lock()
	key := e.peer.name
	if e.toServer {
		key += " out"
	}
	if m.drops[key] > 0 {
		m.drops[key]--
		e.lost = true
	}
	m.events = append(m.events, e)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	if e.lost {
		return memnet.Drop
	}
	return memnet.Deliver
}

// settle lets the server and all peers react until no message is left.
func (m *callModel) settle() {
	for range 500 {
		synctest.Wait()
		m.mu.Lock()
		events := m.events
		m.events = nil
		m.mu.Unlock()
		moved := len(events) > 0
		for _, e := range events {
			m.see(e)
		}
		for _, p := range m.peers {
			for len(p.in) > 0 {
				msg, err := parseWire((<-p.in).raw)
				if err == nil {
					p.receive(msg)
				}
				moved = true
			}
		}
		if !moved {
			m.settled()
			return
		}
	}
	m.fail("the peers and we send each other messages for ever")
}

// sleep lets time pass, while the peers continue to react.
func (m *callModel) sleep(d time.Duration) {
	until := time.Now().Add(d)
	for len(m.trace) < 20_000 {
		m.settle()
		left := time.Until(until)
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-m.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	m.fail("too many messages")
}

// finish lets the calls end, either by themselves or because the server hangs them up, and
// then checks that nothing is left.
func (m *callModel) finish(natural bool) {
	m.note("=== end, natural: %v", natural)
	m.mu.Lock()
	clear(m.drops)
	m.mu.Unlock()
	for _, p := range m.peers {
		p.habits = habits{}
	}
	m.ending, m.replies = true, nil
	if natural {
		m.sleep(2 * time.Hour)
	}
	m.w.server.HangupAll()
	m.sleep(5 * time.Minute)
	m.w.finish()
	m.settle()
	m.closing()
}
