//go:build e2e

package e2e

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// logged counts the lines with this text in the server's log.
func (s *server) logged(text string) (n int) {
	for _, line := range s.output() {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// reload signals the server and waits until its log has another line with this text.
func (s *server) reload(config, says string) {
	s.t.Helper()
	configure(s.t, s.dir, config)
	before := s.logged(says)
	s.signal(syscall.SIGHUP)
	eventually(s.t, says, func() bool { return s.logged(says) > before })
}

// TestReload changes the routes of a running server. New calls follow the new routes, the call that is up stays up, and
// an invalid file changes nothing.
func TestReload(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	agent := s.sippAgent("caller_hangup", "-m", "2")
	first := s.sippCarrier("caller_hangup")
	up := first.answered(1)

	usual := s.config(setup{})
	other := replaceOnce(t, usual, `"^\\+1507"`, `"^\\+1508"`)
	b.reload(other, "configuration reloaded")
	s.refusedCarrier(404, called).finish()

	b.reload(strings.Replace(usual, "routes:", "rootes:", 1), "configuration not valid: keeping the old one")
	s.refusedCarrier(404, called).finish()
	// The refused calls stay in the list until their records are committed.
	eventually(t, "the first call alone is live", func() bool {
		live := b.calls()
		return len(live) == 1 && live[0].Phase == "bridged"
	})

	b.reload(strings.Replace(usual, "sip: {", "sip: {drain_timeout: 1s, ", 1), "configuration reloaded")
	eventually(t, "the log says that sip needs a restart", func() bool { return b.logged(`"sections":["sip"]`) == 1 })
	second := s.sippCarrier("caller_hangup")
	second.proceed(second.answered(1)...)
	second.finish()
	first.leaves(agent, up...)
	noRoute := want{"failed", "no_route", "system", 404, nil}
	b.records(hungUpByCaller, noRoute, noRoute, hungUpByCaller)
	b.nothingLeft()
	b.signal(syscall.SIGTERM)
	if code := b.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDrainByAPI drains by a request. The last call ends by itself, and then the process ends. The signal that follows
// the request does not hang up the call.
func TestDrainByAPI(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("caller_hangup")
	ids := carrier.answered(1)
	res, err := client.Post(b.admin+"/api/drain", "", nil)
	must(t, err)
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusAccepted || string(body) != `{"calls":1,"limit_ms":60000}`+"\n" {
		t.Errorf("got %s %s", res.Status, body)
	}
	eventually(t, "/readyz says 503", func() bool { return b.status("/readyz") == http.StatusServiceUnavailable })
	b.signal(syscall.SIGTERM)
	s.refusedCarrier(503, called).finish()
	carrier.leaves(agent, ids...)
	b.stopped()
	b.compare(b.cdrList(), []want{hungUpByCaller})
}

// TestDrainLimit has a call that outlasts sip.drain_timeout.
func TestDrainLimit(t *testing.T) {
	s := newPreparedStage(t)
	s.server = startServer(t, t.TempDir(), strings.Replace(s.config(setup{}), "sip: {", "sip: {drain_timeout: 1s, ", 1))
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("agent_hangup")
	carrier.answered(1)
	begin := time.Now()
	s.server.signal(syscall.SIGTERM)
	s.server.stopped()
	if took := time.Since(begin); took < time.Second {
		t.Errorf("stopped after %v", took)
	}
	carrier.finish()
	agent.finish()
	s.server.compare(s.server.cdrList(), []want{{"answered", "shutdown", "system", 200, []try{{"", 200, 200}}}})
}

// TestSupervised plays systemd's side of Type=notify-reload with a watchdog.
func TestSupervised(t *testing.T) {
	s := newPreparedStage(t)
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	must(t, err)
	defer socket.Close()
	next := func(prefix string) string {
		t.Helper()
		_ = socket.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 4096)
		for {
			n, err := socket.Read(b)
			if err != nil {
				t.Fatalf("waiting for %q: %v", prefix, err)
			}
			if strings.HasPrefix(string(b[:n]), prefix) {
				return string(b[:n])
			}
		}
	}
	b := startServer(t, dir, s.config(setup{}), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=6000000")
	next("READY=1")
	next("WATCHDOG=1")
	b.reload(s.config(setup{}), "configuration reloaded")
	if got := next("RELOADING=1"); !strings.Contains(got, "\nMONOTONIC_USEC=") {
		t.Errorf("got %q", got)
	}
	next("READY=1")
	next("WATCHDOG=1")
	b.signal(syscall.SIGTERM)
	if lines := strings.Split(next("STOPPING=1"), "\n"); !slices.Contains(lines, "STATUS=Draining: 0 calls are left") {
		t.Errorf("got %q", lines)
	}
	b.stopped()
}
