//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
	"flowbridge/media/audio"
)

// newStandby starts a node in a directory that has its configuration. The node takes no calls yet.
func newStandby(t *testing.T, dir string) *server {
	t.Helper()
	cmd := exec.Command(program, "serve")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "E2E_TOKEN="+apiToken, raceEnv)
	s := &server{process: start(t, "flowbridge serve", cmd), dir: dir}
	eventually(t, "the node stands by", func() bool { return s.logged("standing by") == 1 })
	return s
}

// TestSeatGoesOver: when a node is killed, a recorded call with SRTP continues at the standby, with its audio, and ends
// there normally. When the killed node is back, it has no record of the call.
func TestSeatGoesOver(t *testing.T) {
	s := newQuietStage(t)
	s.prepareCalls()
	s.newSeat(pgtest.Start(t))
	url := s.seat.url
	const suite = "AEAD_AES_256_GCM"
	o := recordingSetup("record: always")
	o.listen, o.media = []string{"udp://" + s.freePort(s.b2bua).String()}, ", engine: userspace"
	o.trunk = ", media: {srtp: required, srtp_suites: [" + suite + "]}"
	a := s.serve(o)
	one, two := s.newSide(s.carrier, audio.ULaw, suite), s.newSide(s.platform, audio.ULaw, "")
	call := s.converse(one, two, "-aa")
	both := func(seed uint64) {
		said, answered := reference(seed, 1500*time.Millisecond), reference(seed+1, 1500*time.Millisecond)
		call.both(said, answered)
		eventually(t, "both are heard", func() bool {
			return endsWith(payloads(one.hears()), codes(audio.ULaw, answered)) && endsWith(payloads(two.hears()), codes(audio.ULaw, said))
		})
	}
	both(10)
	if n := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_states`); n != 1 {
		t.Errorf("the database has %d states", n)
	}
	b := s.restart(o)
	both(20)
	call.hangUp()
	r := b.finish(hungUpByCaller)[0]
	if r.Restored != 1 || r.Node != "b" || r.Media.GapMS == 0 {
		t.Errorf("restored %d times, by %s, after a gap of %d ms", r.Restored, r.Node, r.Media.GapMS)
	}
	if n := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_calls WHERE record ->> 'restored' = '1'`); n != 1 {
		t.Errorf("%d records in the database", n)
	}
	if n := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_states`); n != 0 {
		t.Errorf("%d states are left", n)
	}
	back := startServer(t, a.dir, s.seat.config(s, o, "a"))
	if back.logged("calls of this node's journal continued elsewhere") != 1 {
		t.Errorf("the node that is back says\n%s", strings.Join(back.output(), "\n"))
	}
	if n := len(back.cdrs()); n != 0 {
		t.Errorf("it has %d records of calls that went on elsewhere", n)
	}
	back.stop()
}

// seat is a seat that two nodes have in turn, with a database.
type seat struct {
	url, dsn, key string
	standby       *server
}

func (s *stage) newSeat(pg *pgtest.Server) {
	s.Helper()
	dir := s.TempDir()
	s.seat = &seat{url: pg.Database(), dsn: filepath.Join(dir, "dsn"), key: filepath.Join(dir, "key")}
	must(s, os.WriteFile(s.seat.dsn, []byte(s.seat.url+"\n"), 0o600))
	must(s, os.WriteFile(s.seat.key, []byte("a-secret-of-the-seat-with-32-characters\n"), 0o600))
}

func (e *seat) config(s *stage, o setup, node string) string {
	return s.config(o) + fmt.Sprintf("fleet: {dsn_file: %s, node: %s, takeover: {seat: east, key_file: %s, patience: 1m}}\n", e.dsn, node, e.key)
}

// serve starts a node that has the seat, and one that stands by. The lease must not end because the machine is slow.
func (e *seat) serve(s *stage, o setup) *server {
	s.server = startPredecessor(s.T, s.TempDir(), e.config(s, o, "a"))
	s.server.targets = []uint16{s.agent.Port()}
	dir := s.TempDir()
	configure(s.T, dir, e.config(s, o, "b"))
	e.standby = newStandby(s.T, dir)
	e.standby.targets = s.server.targets
	must(s, e.standby.cmd.Process.Signal(syscall.SIGSTOP))
	return s.server
}

// goesOver makes the standby take over.
func (e *seat) goesOver(s *stage) *server {
	s.server = e.standby
	must(s, s.server.cmd.Process.Signal(syscall.SIGCONT))
	s.server.begins()
	return s.server
}

// noted runs change, and then waits until the seat's database has stored the new state.
func (s *stage) noted(change func()) {
	s.Helper()
	if s.seat == nil {
		change()
		return
	}
	versions := func() string {
		return pgtest.One[string](s.T, s.seat.url, `SELECT coalesce(string_agg(id || xmin, ' ' ORDER BY id), '') FROM flowbridge_states`)
	}
	before := versions()
	change()
	eventually(s.T, "the database has the call's state", func() bool { return versions() != before })
}

// TestSeatGoesOverWith: everything that survives a kill on one machine also survives the loss of the machine.
func TestSeatGoesOverWith(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	for name, run := range map[string]func(*stage){
		"a held call": heldByOrder, "a placed call": originated, "a caller over TLS": killedOverTLS, "both sides over TLS": bothOverTLS,
		"an agent's transfer": func(s *stage) { transferGoesOver(s, false) }, "an ordered transfer": func(s *stage) { transferGoesOver(s, true) },
		"a placed call that rings": placedRings,
	} {
		t.Run(name, func(t *testing.T) {
			s := newPreparedStage(t)
			s.newSeat(pg)
			run(s)
		})
	}
}

// bothOverTLS: the new owner accepts a connection of the caller, and opens one to the agent.
func bothOverTLS(s *stage) {
	ca := s.authority("ca")
	s.agent = s.freePort(s.platform)
	o := ca.secured(setup{target: fmt.Sprintf(", transport: tls, tls: {ca: %s, server_name: agent.test}", ca.file)})
	for i, l := range o.listen { // the addresses of the next process
		o.listen[i] = strings.TrimSuffix(l, "0") + fmt.Sprint(s.freePort(s.b2bua).Port())
	}
	s.serve(o)
	secure := ca.trusts(nil)
	secure.Certificates = ca.pair("agent", "agent.test")
	agents := s.streamAgent(secure)
	old := s.connect(s.carrier, ca.trusts(nil))
	up := make(chan *streamPeer)
	go func() {
		agent := agents.mustAccept()
		agent.respond(agent.await("INVITE "), "200 OK")
		agent.await("ACK ")
		up <- agent
	}()
	ok := old.setUp("lives")
	agent := <-up
	b := s.restart(o)
	old.conn.Close()
	agent.conn.Close()
	over := make(chan *streamPeer)
	go func() {
		next := agents.mustAccept()
		next.respond(next.await("BYE "), "200 OK")
		over <- next
	}()
	again := s.connect(s.carrier, ca.trusts(nil))
	again.hangUp("lives", ok)
	(<-over).conn.Close()
	again.conn.Close()
	if r := b.finish(hungUpByCaller)[0]; r.Restored != 1 {
		s.Errorf("restored %d times", r.Restored)
	}
}

// TestKilledDuringAnOrderedTransfer is the same test on one machine.
func TestKilledDuringAnOrderedTransfer(t *testing.T) { transferGoesOver(newPreparedStage(t), true) }

// transferGoesOver: the party that is being called for a transfer is told that the call is over, and the caller
// continues with the agent. If the transfer was ordered, the receiver of webhooks is told.
func transferGoesOver(s *stage, ordered bool) {
	calleeAt := s.freePort(s.stranger)
	o := s.transfers("local", calleeAt)
	o.listen = []string{"udp://" + s.freePort(s.b2bua).String()}
	webhooks, told := s.tellsTransfers()
	o.webhooks = webhooks
	b := s.serve(o)
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	callee := s.agentAt(calleeAt, "cancel", nil)
	agent := s.transferrer(two.key(), "@TO@", "<tel:"+human+">", "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", "false", "@HOLDS@", "false")
	if ordered {
		agent.kill()
		agent = s.agentPlays("caller_hangup", append(two.key(), "-aa"))
	}
	carrier := s.carrierPlays("caller_hangup", append(one.key(), "-aa"))
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	s.noted(func() {
		if ordered {
			if got, text := b.post("/api/calls/"+b.calls()[0].ID+"/transfer", `{"to": "`+human+`"}`); got >= 300 {
				s.Fatalf("the order gets %d: %s", got, text)
			}
		} else {
			agent.proceed(talk.id(agent))
		}
		callee.sent("SIP/2.0 180", 1)
	})
	b = s.restart(o)
	callee.finish()
	talk.both()
	if !ordered {
		last := agent.received("NOTIFY ", 2)
		if m := last[len(last)-1]; !strings.HasPrefix(m.header("Subscription-State"), "terminated") {
			s.Errorf("the agent is told\n%s", m.raw)
		}
	} else if got, want := <-told, "transfer_failed "+human+" by local: 500 process_restart"; got != want {
		s.Errorf("the receiver is told %q; want %q", got, want)
	}
	carrier.leaves(agent, talk.id(carrier))
	r := b.finish(transferred(hungUpByCaller, try{"process_restart", 0, 0}))[0]
	if a := r.Attempts[1]; a.Reason != "transfer" || r.Restored != 1 {
		s.Errorf("restored %d times, with %+v", r.Restored, a)
	}
}

// placedRings loses the node while the phone of a placed call rings. The phone must get a CANCEL.
func placedRings(s *stage) {
	at := s.freePort(s.carrier)
	o := originating(at)
	o.listen = []string{"udp://" + s.freePort(s.b2bua).String()}
	b := s.serve(o)
	customer := s.agentAt(at, "cancel", nil)
	s.noted(func() {
		b.order(http.StatusCreated)
		customer.sent("SIP/2.0 180", 1)
	})
	b = s.restart(o)
	customer.finish()
	b.outbound = true
	b.finish(want{"interrupted", "process_restart", "system", 0, []try{{"process_restart", 0, 0}}})
}

// TestTwoMachines runs the blocks of "Two machines in ten minutes" (docs/fleet.md). Each machine is a namespace with
// its own network, host name, users and processes. The test itself runs on the database's machine.
func TestTwoMachines(t *testing.T) {
	runIn(t, cores)
	ownNetwork(t, netip.MustParseAddr("192.0.2.4"))
	page, err := os.ReadFile("../../../docs/fleet.md")
	must(t, err)
	_, text, _ := strings.Cut(string(page), "## Two machines in ten minutes\n")
	text, _, _ = strings.Cut(text, "\n## ")
	blocks := strings.Split(text, "```sh\n")[1:]
	if len(blocks) != 6 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	pg := pgtest.Start(t)
	_, port, _ := strings.Cut(pg.Addr(), ":")
	// Replacements for what the machines lack: systemd, arping (a neighbour is told below), and a certificate for the
	// database.
	const prelude = `set -eo pipefail
arping() { :; }
systemctl() {
  [ "$*" = "restart flowbridge" ] || return 0
  flowbridge serve > log 2>&1 &
  until flowbridge healthcheck --url http://127.0.0.1:8080/healthz; do kill -0 $! || { cat log; exit 1; }; sleep .1; done
}
`
	home := t.TempDir()
	begin := func(dir, block string, enter ...string) *process {
		block, _, _ = strings.Cut(block, "```\n")
		block = strings.NewReplacer("/etc/flowbridge", dir, "/var/lib/flowbridge", dir, ":5432/", ":"+port+"/", "sslmode=require", "sslmode=disable").Replace(block)
		cmd := exec.Command("env", append(enter, "bash", "-c", prelude+"cd "+dir+"\n"+block)...) // nsenter goes to /
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "PGHOST="+pg.Dir(), "PGPORT="+port, "PGPASSWORD="+pgtest.Password, raceEnv)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		return start(t, strings.SplitN(block, "\n", 2)[0], cmd)
	}
	finish := func(p *process) string {
		code := p.exit()
		out := strings.Join(p.output(), "\n")
		if code != 0 {
			t.Fatalf("%s: exit code %d\n%s", p.name, code, out)
		}
		return out
	}
	finish(begin(home, blocks[0]))
	pg.Stop()
	pg.Run()
	// The hub has no address of its own. It must not answer ARP for the addresses of this machine: its hardware address
	// changes with its ports.
	finish(begin(home, "ip link add hub type bridge; ip link set switch master hub; ip link set hub arp off up"))
	machine := func(name, addr string) (dir string, enter []string, plug *process) {
		dir = t.TempDir()
		t.Cleanup(func() {
			if t.Failed() {
				log, _ := os.ReadFile(filepath.Join(dir, "log"))
				t.Logf("the log of machine %s:\n%s", name, log)
			}
		})
		users := filepath.Join(dir, "passwd")
		must(t, os.WriteFile(users, []byte("root:x:0:0::/:/bin/sh\nflowbridge:x:0:0::/:/bin/sh\n"), 0o644))
		cmd := exec.Command("sh", "-c", `mount --make-rprivate / && mount --bind "$1" /etc/passwd && hostname "$2" && ip link set lo up && echo up && exec sleep infinity`, "sh", users, name)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		}
		plug = start(t, "machine "+name, cmd)
		eventually(t, "the machine is up", func() bool { _, ok := plug.find("up"); return ok })
		enter = []string{"nsenter", "-t", fmt.Sprint(plug.pid()), "-n", "-m", "-p", "-u"}
		finish(begin(home, fmt.Sprintf("ip link add %[1]s type veth peer name eth0 netns %[2]d; ip link set %[1]s master hub up", "port-"+name, plug.pid())))
		finish(begin(dir, "ip address add "+addr+"/24 dev eth0; ip link set eth0 up", enter...))
		finish(begin(dir, blocks[1], enter...))
		return dir, enter, plug
	}
	a, onA, plug := machine("a", "192.0.2.11")
	b, onB, _ := machine("b", "192.0.2.12")
	finish(begin(a, blocks[2], onA...))
	eventually(t, "machine a has the seat", func() bool { return begin(a, "flowbridge healthcheck", onA...).exit() == 0 })
	agent := begin(home, blocks[3])
	eventually(t, "the agent listens", func() bool { _, ok := agent.find("agent sip:"); return ok })
	caller := begin(home, blocks[4])
	eventually(t, "the database has the state of the answered call", func() bool {
		return strings.Contains(finish(begin(a, "flowbridge fleet --json", onA...)), `"protected": 1`)
	})
	eventually(t, "both ACKs have come", func() bool { // a lost one would be the caller's complaint
		ladder := `flowbridge calls ladder "$(flowbridge calls list --json | sed -n 's/^ *"id": "\(.*\)",$/\1/p' | head -1)"`
		return strings.Count(finish(begin(a, ladder, onA...)), " ACK") >= 2
	})
	plug.kill()
	finish(begin(b, blocks[5], onB...))
	finish(begin(home, "ip neigh flush dev lan"))
	eventually(t, "the call goes on", func() bool { return strings.Contains(finish(begin(b, "flowbridge calls list", onB...)), "bridged") })
	must(t, syscall.Kill(-caller.pid(), syscall.SIGINT))
	finish(caller)
	eventually(t, "the record is there", func() bool {
		return strings.Contains(finish(begin(b, "flowbridge cdr list --json", onB...)), `"restored": 1`)
	})
}
