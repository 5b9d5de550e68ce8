//go:build e2e

package e2e

import (
	"fmt"
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

// newStandby starts a node in a directory that has its configuration. It takes no calls yet.
func newStandby(t *testing.T, dir string) *server {
	t.Helper()
	cmd := exec.Command(program, "serve")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "E2E_TOKEN="+apiToken, raceEnv)
	s := &server{process: start(t, "flowbridge serve", cmd), dir: dir}
	eventually(t, "the node stands by", func() bool { return s.logged("standing by") == 1 })
	return s
}

// TestSeatGoesOver: a recorded call with SRTP goes on at the node that stands by when its own is killed, with its audio
// and its end. The node that was killed has no record of the call when it comes back.
func TestSeatGoesOver(t *testing.T) {
	s := newQuietStage(t)
	s.prepareCalls()
	pg := pgtest.Start(t)
	url := pg.Database()
	dsn, key := filepath.Join(t.TempDir(), "dsn"), filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(dsn, []byte(url+"\n"), 0o600))
	must(t, os.WriteFile(key, []byte("a-secret-of-the-seat-with-32-characters\n"), 0o600))
	const suite = "AEAD_AES_256_GCM"
	o := recordingSetup("record: always")
	o.listen, o.media = []string{"udp://" + s.freePort(s.b2bua).String()}, ", engine: userspace"
	o.trunk = ", media: {srtp: required, srtp_suites: [" + suite + "]}"
	node := func(name string) string {
		return s.config(o) + fmt.Sprintf("fleet: {dsn_file: %s, node: %s, takeover: {seat: east, key_file: %s, patience: 1m}}\n", dsn, name, key)
	}
	s.server = startServer(t, t.TempDir(), node("a"))
	s.server.targets = []uint16{s.agent.Port()}
	dir := t.TempDir()
	configure(t, dir, node("b"))
	b := newStandby(t, dir)
	must(t, b.cmd.Process.Signal(syscall.SIGSTOP)) // a machine that is slow must not have the lease end
	b.targets = s.server.targets
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
	a := s.server
	a.kill()
	must(t, b.cmd.Process.Signal(syscall.SIGCONT))
	b.begins()
	s.server = b
	both(20)
	call.hangUp()
	r := b.finish(hungUpByCaller)[0]
	if r.Restored != 1 || r.Node != "b" {
		t.Errorf("restored %d times, by %s", r.Restored, r.Node)
	}
	if n := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_calls WHERE record ->> 'restored' = '1'`); n != 1 {
		t.Errorf("%d records in the database", n)
	}
	if n := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_states`); n != 0 {
		t.Errorf("%d states are left", n)
	}
	back := startServer(t, a.dir, node("a"))
	if back.logged("calls of this node's journal went on elsewhere") != 1 {
		t.Errorf("the node that is back says\n%s", strings.Join(back.output(), "\n"))
	}
	if n := len(back.cdrs()); n != 0 {
		t.Errorf("it has %d records of calls that went on elsewhere", n)
	}
	back.stop()
}
