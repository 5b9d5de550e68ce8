//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// apiToken is the token that the platform's API requires.
const apiToken = "e2e-token"

// server is a running `flowbridge serve`.
type server struct {
	*process
	dir   string // directory of the configuration and database
	file  string // the program's file, if the next upgrade must replace it
	sip   netip.AddrPort
	sips  []listener // all SIP listeners of the server
	admin string
	idle  sockets // sockets open before the first call
	slow  bool    // an upgrade had to be tried again (tooSlow)

	targets  []uint16 // ports of the targets to which it connects
	outbound bool     // a target places its calls
	trunk    string   // where its calls come from, if not from the trunk carrier
}

// listener is an address at which the B2BUA receives SIP.
type listener struct {
	transport string
	addr      netip.AddrPort
}

// at returns the address at which a peer with such an address reaches the B2BUA over a transport.
func (s *server) at(transport string, peer netip.Addr) netip.AddrPort {
	s.t.Helper()
	for _, l := range s.sips {
		if l.transport == transport && l.addr.Addr().Is4() == peer.Is4() {
			return l.addr
		}
	}
	s.t.Fatalf("no %s listener for %v among %v", transport, peer, s.sips)
	return netip.AddrPort{}
}

// liveCall is an item of /api/calls.
type liveCall struct {
	record.Record
	Phase string `json:"phase"`
}

// client keeps no connections open, because they would be counted.
var client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// configure writes the configuration of a server that runs, or will run, in a directory.
func configure(t *testing.T, dir, config string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "flowbridge.yaml"), []byte(config), 0o600))
}

// startServer runs the B2BUA in a directory, with additional environment variables, and returns
// when it listens.
func startServer(t *testing.T, dir, config string, env ...string) *server {
	t.Helper()
	return startVersion(t, program, dir, config, env...)
}

// startVersion is like startServer, for a program of any version in a file.
func startVersion(t *testing.T, file, dir, config string, env ...string) *server {
	t.Helper()
	configure(t, dir, config)
	cmd := exec.Command(file, "serve")
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "E2E_TOKEN="+apiToken, raceEnv), env...)
	return serveCommand(t, dir, cmd)
}

// startPredecessor is like startServer, for the program that runs before the one under test. Its
// file is replaced by an upgrade.
func startPredecessor(t *testing.T, dir, config string) *server {
	t.Helper()
	if predecessor == program {
		return startServer(t, dir, config)
	}
	file := filepath.Join(dir, "flowbridge")
	install(t, predecessor, file)
	s := startVersion(t, file, dir, config)
	s.file = file
	return s
}

// install copies a program to a file that may be running.
func install(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to+".new", text, 0o700))
	must(t, os.Rename(to+".new", to))
}

// serveCommand is like startServer, for a command other than just the program, or with another
// environment.
func serveCommand(t *testing.T, dir string, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{process: start(t, "flowbridge serve", cmd), dir: dir}
	s.begins()
	return s
}

// begins waits until the server accepts calls.
func (s *server) begins() {
	t := s.t
	t.Helper()
	eventually(t, "the B2BUA listens", func() bool {
		if s.ended() {
			t.Fatalf("flowbridge serve ended: %v", s.err)
		}
		for _, line := range s.output() {
			var entry struct{ Message, Listen string }
			if json.Unmarshal([]byte(line), &entry) != nil {
				continue
			}
			switch entry.Message {
			case "sip listening":
				transport, addr, _ := strings.Cut(entry.Listen, "://")
				s.listens(listener{transport, netip.MustParseAddrPort(addr)})
			case "admin API listening":
				s.admin = "http://" + entry.Listen
			}
		}
		return s.sip.IsValid() && s.admin != "" && s.status("/readyz") == http.StatusOK
	})
	// They are counted, because the kernel's tables sometimes miss a row while other sockets are
	// opened and closed.
	s.idle.listening = 1
	for _, l := range s.sips {
		if l.transport == "udp" {
			s.idle.udp++
		} else {
			s.idle.listening++
		}
	}
}

// listens records an address from the log, which is read more than once. Peers without a particular
// transport call the first one.
func (s *server) listens(l listener) {
	if len(s.sips) == 0 {
		s.sip = l.addr
	}
	if !slices.Contains(s.sips, l) {
		s.sips = append(s.sips, l)
	}
}

// status returns the HTTP status of an answer of the admin API, or 0 if there is none.
func (s *server) status(path string) int {
	res, err := client.Get(s.admin + path)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func get[T any](s *server, path string) []T {
	s.t.Helper()
	return read[struct{ Items []T }](s, path).Items
}

// read returns the answer to a request of the admin API, checked against the description.
func read[T any](s *server, path string) (answer T) {
	s.t.Helper()
	res, err := client.Get(s.admin + path)
	must(s.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	s.fits(res, body)
	if err := json.Unmarshal(body, &answer); err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s: %v", path, res.Status, err)
	}
	return answer
}

// portsInUse returns how many pairs of RTP ports calls use.
func (s *server) portsInUse() int {
	s.t.Helper()
	var stats live.Stats
	must(s.t, json.Unmarshal([]byte(s.text("/api/stats")), &stats))
	return stats.Ports.InUse
}

func (s *server) calls() []liveCall { s.t.Helper(); return get[liveCall](s, "/api/calls") }

func (s *server) cdrs() []record.Record {
	s.t.Helper()
	return get[record.Record](s, "/api/cdrs?limit=1000")
}

// cdrList reads the records with the command line, from the file.
func (s *server) cdrList() []record.Record {
	s.t.Helper()
	cmd := exec.Command(program, "cdr", "list", "--db", filepath.Join(s.dir, "calls.db"), "--limit", "1000", "--json")
	cmd.Env = append(os.Environ(), raceEnv)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("cdr list: %v\n%s", err, stderr.Bytes())
	}
	var page struct{ Items []record.Record }
	must(s.t, json.Unmarshal(out, &page))
	return page.Items
}

// want is the expected content of a record.
type want struct {
	disposition, cause, endedBy string
	status                      int
	attempts                    []try
}

// try is an expected attempt in a record.
type try struct {
	cause              string
	prepareStatus, sip int
}

// The records of calls that were answered at the first attempt, by the side that ended them.
var (
	hungUpByCaller = want{"answered", "caller_hangup", "caller", 200, []try{{"", 200, 200}}}
	hungUpByAgent  = want{"answered", "agent_hangup", "agent", 200, []try{{"", 200, 200}}}
)

func wantOf(r record.Record) want {
	w := want{r.Disposition, r.Cause, r.EndedBy, r.SIPStatus, nil}
	for _, a := range r.Attempts {
		w.attempts = append(w.attempts, try{a.Cause, a.PrepareStatus, a.SIPStatus})
	}
	return w
}

// records waits until there are as many records as wanted, and compares them, in the order in which
// the calls began.
func (s *server) records(wanted ...want) []record.Record {
	s.t.Helper()
	var all []record.Record
	if !within(patience, func() bool { all = s.cdrs(); return len(all) >= len(wanted) }) {
		s.t.Fatalf("%d records; want %d", len(all), len(wanted))
	}
	s.sameInFile(all)
	slices.Reverse(all)
	s.compare(all, wanted)
	return all
}

// sameInFile compares the admin API's records with the command line's.
func (s *server) sameInFile(all []record.Record) {
	s.t.Helper()
	if list := s.cdrList(); !reflect.DeepEqual(list, all) {
		s.t.Errorf("cdr list and /api/cdrs differ:\n%+v\n%+v", list, all)
	}
}

func (s *server) compare(all []record.Record, wanted []want) {
	s.t.Helper()
	if len(all) != len(wanted) {
		s.t.Errorf("%d records; want %d", len(all), len(wanted))
		return
	}
	for i, r := range all {
		if got := wantOf(r); !reflect.DeepEqual(got, wanted[i]) {
			s.t.Errorf("record %d says %+v; want %+v", i, got, wanted[i])
		}
		s.plausible(r)
	}
}

// plausible checks conditions that every record must meet.
func (s *server) plausible(r record.Record) {
	s.t.Helper()
	direction := map[bool]string{false: "inbound", true: "outbound"}[s.outbound]
	if r.Trunk != cmp.Or(s.trunk, "carrier") || r.Direction != direction || r.SIPCallID == "" || r.ID == "" {
		s.t.Errorf("record without identity: %+v", r)
	}
	last := r.StartedAt
	steps := []record.Time{r.PreparedAt, r.DialedAt, r.AnsweredAt, r.EndedAt}
	if r.IsPlaced() { // the agent is prepared when the customer has answered
		steps = []record.Time{r.DialedAt, r.RingingAt, r.AnsweredAt, r.PreparedAt, r.EndedAt}
	} else if r.Told != nil { // the agent is prepared when the caller has been told
		steps = []record.Time{r.RingingAt, r.AnsweredAt, r.PreparedAt, r.DialedAt, r.EndedAt}
	}
	for _, at := range steps {
		if at.IsZero() {
			continue
		}
		if at.Before(last.Time) {
			s.t.Errorf("times of record %s are out of order: %+v", r.ID, r)
		}
		last = at
	}
	if r.EndedAt.IsZero() || (r.Disposition == record.DispositionAnswered) == r.AnsweredAt.IsZero() {
		s.t.Errorf("times of record %s don't fit: %+v", r.ID, r)
	}
}

// nothingLeft waits until no call is live and only the sockets from before the first call are open.
func (s *server) nothingLeft() {
	s.t.Helper()
	eventually(s.t, "/api/calls is empty", func() bool { return len(s.calls()) == 0 })
	eventually(s.t, "no RTP port is in use", func() bool { return s.portsInUse() == 0 })
	var now sockets
	if !within(patience, func() bool { now = s.sockets(); return now == s.idle }) {
		s.t.Errorf("open sockets: %+v; before the calls %+v\n%s", now, s.idle, s.socketTable())
	}
}

// drain signals the server to stop, and waits until it takes no more calls.
func (s *server) drain() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	eventually(s.t, "/readyz says 503", func() bool { return s.status("/readyz") == http.StatusServiceUnavailable })
}

// stop ends the server with SIGTERM.
func (s *server) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	s.stopped()
}

// stopped checks how the server ended.
func (s *server) stopped() {
	s.t.Helper()
	if code := s.exit(); code != 0 {
		s.t.Errorf("flowbridge serve ended with exit code %d", code)
	}
	for _, line := range s.output() {
		slow := s.slow && strings.Contains(line, "not upgraded: this process continues") &&
			strings.Contains(line, "context deadline exceeded")
		if strings.Contains(line, `"level":"error"`) && !slow || strings.Contains(line, "DATA RACE") || strings.HasPrefix(line, "panic") {
			s.t.Errorf("flowbridge serve complained: %s", line)
		}
	}
}

// finish checks the records, that nothing is left, and the end of the server.
func (s *server) finish(wanted ...want) []record.Record {
	s.t.Helper()
	all := s.records(wanted...)
	s.nothingLeft()
	s.stop()
	return all
}

// memory returns the memory of the process, in KB.
func (s *server) memory() (kb int) {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid()))
	must(s.t, err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		s.t.Fatal(err)
	}
	return kb
}
