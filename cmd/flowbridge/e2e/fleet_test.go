//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
)

// fleetStage has several nodes with one database, behind a dispatcher, with a carrier and an agent.
type fleetStage struct {
	*stage
	pg     *pgtest.Server
	url    string
	proxy  netip.AddrPort
	nodes  []*server
	addrs  []netip.AddrPort
	trunk  string // the trunk's limits, as YAML that begins with a comma
	secret string
}

// newFleet starts the database, the nodes and the dispatcher.
func newFleet(t *testing.T, nodes int, trunk string) *fleetStage {
	t.Helper()
	s := newStage(t)
	f := &fleetStage{stage: s, pg: pgtest.Start(t), trunk: trunk}
	f.url = f.pg.Database()
	f.secret = filepath.Join(t.TempDir(), "dsn")
	must(t, os.WriteFile(f.secret, []byte(f.url+"\n"), 0o600))
	place := s.b2bua.As4()[3]
	f.proxy = s.freePort(netip.AddrFrom4([4]byte{127, 0, 5, place}))
	s.agent = s.freePort(s.platform)
	for i := range nodes {
		// Each node has an address of its own, with a port that stays the same after a restart.
		f.addrs = append(f.addrs, s.freePort(netip.AddrFrom4([4]byte{127, 0, byte(10 + i), place})))
		version := program
		if i == 0 { // during a fleet's upgrade, two versions run side by side
			version = predecessor
		}
		f.nodes = append(f.nodes, startVersion(t, version, t.TempDir(), f.config(i)))
	}
	// Until a node knows the other nodes, it uses too large a part of the limits.
	for _, n := range f.nodes {
		eventually(t, "a node shares the caps", func() bool {
			return strings.Contains(n.text("/metrics"), fmt.Sprintf("\nflowbridge_fleet_nodes %d\n", nodes))
		})
	}
	f.dispatch()
	return f
}

func (f *fleetStage) config(i int) string {
	return fmt.Sprintf(`
sip: {listen: ["udp://%[1]v"], max_delay: 1m}
media: {listen: ["%[2]v"], timeout: 10m}
trunks: [{name: carrier, sources: ["%[3]v"], first_response_timeout: 1m%[4]s}]
targets: [{name: agent, kind: sip, uri: "sip:{{.To.Number}}@%[5]v", first_response_timeout: 1m}]
routes: [{trunk: carrier, targets: [agent]}]
store: {path: calls.db}
fleet: {dsn_file: %[6]s, caps: true, node: node%[7]d}
admin: {listen: "127.0.0.1:0"}
log: {level: info}
`, f.addrs[i], f.addrs[i].Addr(), f.proxy.Addr(), f.trunk, f.agent, f.secret, i)
}

// dispatch runs Kamailio with the configuration from the documents.
func (f *fleetStage) dispatch() {
	f.Helper()
	text, err := os.ReadFile("../../../docs/examples/kamailio-fleet.cfg")
	must(f, err)
	dir := f.TempDir()
	list, file := filepath.Join(dir, "nodes.list"), filepath.Join(dir, "kamailio.cfg")
	var nodes strings.Builder
	for _, at := range f.addrs {
		fmt.Fprintf(&nodes, "1 sip:%v\n", at)
	}
	// Kamailio uses one child process: of two, one may send a 200 before the other sends the earlier 180, and SIPp would
	// then abandon the call.
	config := strings.NewReplacer("192.0.2.9:5060", f.proxy.String(), "192.0.2.9", f.proxy.Addr().String(),
		"/etc/kamailio/kamailio-fleet.list", list, "children=4", "children=1").Replace(string(text))
	for name, text := range map[string]string{list: nodes.String(), file: config} {
		must(f, os.WriteFile(name, []byte(text), 0o600))
	}
	cmd := exec.Command("kamailio", "-f", file, "-DD", "-E", "-m", "32", "-M", "4", "-Y", dir, "-w", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	k := &kamailio{process: start(f.T, "kamailio", cmd), at: f.proxy}
	f.Cleanup(func() {
		if !k.ended() {
			k.stop()
		}
	})
	eventually(f.T, "the dispatcher listens", func() bool {
		if k.ended() {
			f.Fatalf("kamailio ended: %v", k.err)
		}
		return bound(f.T, "udp", f.proxy)
	})
}

// call places this many calls at a rate. Each call lasts for each.
func (f *fleetStage) call(calls, perSecond int, each time.Duration) *sipp {
	f.Helper()
	return f.sipp("carrier", "fleet/uac.xml", f.freePort(f.carrier), []string{
		"-s", called, "-m", fmt.Sprint(calls), "-r", fmt.Sprint(perSecond), "-d", fmt.Sprint(each.Milliseconds()), "-l", "1000", f.proxy.String(),
	})
}

// answer plays the agent, which keeps each call until the caller hangs up.
func (f *fleetStage) answer() *sipp {
	f.Helper()
	return f.agentPlays("fleet", []string{"-m", "1000000", "-l", "1000"})
}

// seen is the start or the end of a call at a peer.
type seen struct {
	at    time.Time
	id    string
	node  netip.Addr
	began bool
}

var logStamp = regexp.MustCompile(`-{10,} (\d{4}-\d\d-\d\d[ \tT]\d\d:\d\d:\d\d\.\d+)[^\n]*\n(?:UDP|TCP) message (sent|received) [\[(](\d+)(?:\] bytes | bytes\)):\n\n`)

// comings returns from an agent's log when calls started and ended, in order.
func (p *sipp) comings() []seen {
	return p.came.read(p, func(m message) (came, went bool, node string) {
		return m.received && strings.HasPrefix(m.raw, "INVITE "), m.received && strings.HasPrefix(m.raw, "BYE "), m.header("Via")
	})
}

// held returns from a carrier's log when calls were up, from their 200 to their BYE, in order. A trunk's limit applies
// to this time. The agent may get the next call before the end of the last one, because the carrier's BYE already frees
// the place.
func (p *sipp) held() []seen {
	return p.had.read(p, func(m message) (came, went bool, node string) {
		answer := m.received && strings.HasPrefix(m.raw, "SIP/2.0 200 ") && strings.HasSuffix(m.header("CSeq"), " INVITE")
		return answer, strings.HasPrefix(m.raw, "BYE "), m.header("Contact")
	})
}

var firstAddress = regexp.MustCompile(`127(?:\.\d+){3}`)

// history is what has been read of a log with calls. A test polls the log while it grows by megabytes, so each message
// is read only once.
type history struct {
	size  int                   // size of the part of the log that was read
	nodes map[string]netip.Addr // the node of each call that is up
	all   []seen
}

// read reads the new part of a log, and returns all starts and ends of calls. kind says whether a call started or ended
// with a message, and which header of the message names the node.
func (h *history) read(p *sipp, kind func(message) (came, went bool, node string)) []seen {
	if h.nodes == nil {
		h.nodes = map[string]netip.Addr{}
	}
	text := p.log(p.messages)[h.size:]
	for {
		at := logStamp.FindSubmatchIndex(text)
		if at == nil {
			break
		}
		var size int
		fmt.Sscan(string(text[at[6]:at[7]]), &size)
		if at[1]+size > len(text) {
			break
		}
		m := message{received: string(text[at[4]:at[5]]) == "received", raw: string(text[at[1] : at[1]+size])}
		when, err := time.Parse("2006-01-02 15:04:05.999999", strings.NewReplacer("\t", " ", "T", " ").Replace(string(text[at[2]:at[3]])))
		must(p.t, err)
		text = text[at[1]+size:]
		h.size += at[1] + size
		h.add(p.t, m, when, kind)
	}
	return slices.Clone(h.all)
}

// add records that a call started or ended with a message.
func (h *history) add(t *testing.T, m message, when time.Time, kind func(message) (came, went bool, node string)) {
	id := m.header("Call-ID")
	came, went, host := kind(m)
	node, there := h.nodes[id]
	switch {
	case came && !there:
		var err error
		if node, err = netip.ParseAddr(firstAddress.FindString(host)); err != nil {
			t.Fatalf("%v in %q", err, m.raw)
		}
		h.nodes[id] = node
	case went && there:
		delete(h.nodes, id)
	default:
		return
	}
	h.all = append(h.all, seen{when, id, node, came})
}

// peak returns the largest number of calls that were up at the same time.
func peak(all []seen) (most int) {
	n := 0
	for _, s := range all {
		if s.began {
			n++
		} else {
			n--
		}
		most = max(most, n)
	}
	return most
}

// recorded waits until the database has a record of each call that the agent had. It checks that no call has two
// records, and that the nodes and the command line agree.
func (f *fleetStage) recorded(agent *sipp) {
	f.Helper()
	had := map[string]netip.Addr{}
	for _, s := range agent.comings() {
		had[s.id] = s.node
	}
	ids := func(which string) []string {
		return strings.Fields(pgtest.One[string](f.T, f.url, `SELECT coalesce(string_agg(target_sip_call_id, ' '), '') FROM flowbridge_calls WHERE disposition `+which+` 'interrupted'`))
	}
	const query = `SELECT count(*) FROM flowbridge_calls WHERE target_sip_call_id <> ''`
	within(patience, func() bool { return pgtest.One[int](f.T, f.url, query) >= len(had) })
	recorded := map[string]int{}
	for _, id := range ids("=") { // a node may be killed after journalling an INVITE and before sending it
		recorded[id]++
	}
	for _, id := range ids("<>") {
		if recorded[id]++; !had[id].IsValid() {
			f.Errorf("a record of call %s, which the agent has not had", id)
		}
	}
	for id, n := range recorded {
		if n > 1 {
			f.Errorf("%d records of call %s", n, id)
		}
	}
	for id, node := range had {
		if recorded[id] == 0 {
			f.Errorf("no record of call %s, which node %v had", id, node)
		}
	}
	own := 0
	for _, n := range f.nodes {
		own += len(n.cdrs())
	}
	if all := pgtest.One[int](f.T, f.url, `SELECT count(*) FROM flowbridge_calls`); all != own {
		f.Errorf("%d records in the database and %d at the nodes", all, own)
	}
}

// TestFleet has two nodes that share a trunk's calls. Each call has one record in the database, and both nodes together
// have no more calls than the trunk's limit.
func TestFleet(t *testing.T) {
	const limit = 6
	f := newFleet(t, 2, fmt.Sprintf(", max_calls: %d", limit))
	agent := f.answer()
	carrier := f.call(120, 15, time.Second)
	carrier.finish()
	calls := agent.comings()
	if most := peak(carrier.held()); most > limit {
		t.Errorf("%d calls at once; the limit is %d", most, limit)
	}
	for _, at := range f.addrs {
		if !slices.ContainsFunc(calls, func(s seen) bool { return s.node == at.Addr() }) {
			t.Errorf("node %v had no call", at)
		}
	}
	f.recorded(agent)
	if all := get[struct{ ID string }](f.nodes[0], "/api/cdrs?fleet=true&limit=1000"); len(all) != pgtest.One[int](t, f.url, "SELECT count(*) FROM flowbridge_calls") {
		t.Errorf("one node shows %d calls of all", len(all))
	}
	f.listed()
	for _, n := range f.nodes {
		n.stop()
	}
}

// listed checks that the command line lists all nodes and their calls, and that each node can show a call of another
// one.
func (f *fleetStage) listed() {
	f.Helper()
	all := pgtest.One[int](f.T, f.url, "SELECT count(*) FROM flowbridge_calls")
	command := func(args ...string) ([]byte, error) {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = f.nodes[0].dir, append(os.Environ(), raceEnv)
		return cmd.CombinedOutput()
	}
	out, err := command("fleet", "--json")
	for i := range f.nodes {
		if !strings.Contains(string(out), fmt.Sprintf(`"node": "node%d"`, i)) {
			f.Errorf("flowbridge fleet: %v\n%s", err, out)
		}
	}
	out, err = command("cdr", "export", "--fleet", "--jsonl")
	if got := strings.Count(string(out), "\n"); err != nil || got != all {
		f.Errorf("cdr export --fleet: %d lines of %d, %v", got, all, err)
	}
	for _, r := range f.nodes[1].cdrs()[:1] {
		if got := f.nodes[0].status("/api/calls/" + r.ID); got != http.StatusOK {
			f.Errorf("another node's call: status %d", got)
		}
	}
}

// TestFleetKill has five nodes that share a trunk's calls, and kills one of them while calls are up. When the dead node
// counts as gone, the others get its part of the limit. Its calls get their records after its restart. While the
// database is stopped for some time, calls continue.
func TestFleetKill(t *testing.T) {
	const limit = 10
	f := newFleet(t, 5, fmt.Sprintf(", max_calls: %d", limit))
	agent := f.answer()
	carrier := f.call(100000, 10, 2*time.Second)
	dead := f.addrs[1].Addr()
	up := func(all []seen, node netip.Addr) (ids []string) {
		for _, s := range all {
			if s.node == node && s.began {
				ids = append(ids, s.id)
			} else if s.node == node {
				ids = slices.DeleteFunc(ids, func(id string) bool { return id == s.id })
			}
		}
		return ids
	}
	eventually(t, "the node to kill has calls", func() bool {
		return len(f.nodes[1].cdrs()) > 0 && len(up(agent.comings(), dead)) > 0
	})
	f.nodes[1].kill()
	if most := peak(carrier.held()); most > limit {
		t.Errorf("%d calls at once; the limit is %d", most, limit)
	}
	left := len(up(carrier.held(), dead)) // the ends of the other calls may have been written already
	living := func() []seen {
		return slices.DeleteFunc(carrier.held(), func(s seen) bool { return s.node == dead })
	}
	eventually(t, "the others have the dead node's part", func() bool { return left == 0 || peak(living()) == limit })

	f.pg.Stop()
	during := len(living())
	eventually(t, "calls go on without the database", func() bool { return len(living()) > during+20 })
	if got := f.nodes[0].status("/api/cdrs?fleet=true"); got != http.StatusServiceUnavailable {
		t.Errorf("status %d for the fleet's records; want 503", got)
	}
	if most := peak(living()); most > limit {
		t.Errorf("%d calls at once of the living nodes; the limit is %d", most, limit)
	}
	f.pg.Run()

	carrier.signal(syscall.SIGUSR1) // place no further calls
	carrier.exit()                  // some of the dead node's calls end otherwise than in the scenario
	f.nodes[1] = startServer(t, f.nodes[1].dir, f.config(1))
	f.recorded(agent)
	// The cause is no_ack if the node was killed before it had journalled the ACK.
	if got := pgtest.One[int](t, f.url, "SELECT count(*) FROM flowbridge_calls WHERE disposition = 'interrupted' OR cause IN ('missed_hangup', 'no_ack')"); got < left {
		t.Errorf("%d calls that were interrupted or hung up meanwhile in the database; want %d", got, left)
	}
	for _, n := range f.nodes {
		n.stop()
	}
}

// TestFleetRate: a limit of calls per second applies to all nodes together.
func TestFleetRate(t *testing.T) {
	const rate = 4
	f := newFleet(t, 2, fmt.Sprintf(", max_cps: %d", rate))
	agent := f.answer()
	carrier := f.call(300, 20, 100*time.Millisecond)
	carrier.finish()
	calls := slices.DeleteFunc(agent.comings(), func(s seen) bool { return !s.began })
	first, last := calls[0].at, calls[len(calls)-1].at
	if most := rate * (1 + last.Sub(first).Seconds() + 1); float64(len(calls)) > most {
		t.Errorf("%d calls within %v; at most %.0f may come", len(calls), last.Sub(first), most)
	}
	f.recorded(agent)
	for _, n := range f.nodes {
		n.stop()
	}
}
