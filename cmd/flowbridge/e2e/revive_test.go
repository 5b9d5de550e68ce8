//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"flowbridge/media/audio"
)

// restart kills the B2BUA and starts it again with this setup, which must name its ports. If the B2BUA has a seat, the
// standby node takes over.
func (s *stage) restart(o setup) *server {
	s.Helper()
	if s.seat != nil { // a slow database, followed by a kill, may cost a call: this figure of the node tells
		eventually(s.T, "the database has the calls", func() bool {
			return strings.Contains(s.server.text("/metrics"), "\nflowbridge_calls_unprotected 0\n")
		})
		s.server.kill()
		return s.seat.goesOver(s)
	}
	s.server.kill()
	again := startServer(s.T, s.server.dir, s.config(o))
	again.targets = s.server.targets
	s.server = again
	return again
}

// TestKilledCallLivesOn: a call that is up continues after SIGKILL and a restart, with its audio, a change of its codec
// and its end.
func TestKilledCallLivesOn(t *testing.T) {
	s := newPreparedStage(t)
	o := setup{listen: []string{"udp://" + s.freePort(s.b2bua).String()}}
	s.serve(o)
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.agentPlays("change", append(two.key(), "-aa"), "@REFUSAL@", "")
	carrier := s.carrierPlays("change", append(one.key(), "-aa"), "@STATUS@", "200")
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	s.restart(o)
	talk.both()
	carrier.proceed(talk.id(carrier))
	carrier.final(2, "INVITE")
	talk.format = 8
	talk.both()
	b := s.restart(o)
	talk.both()
	carrier.leaves(agent, talk.id(carrier))
	if r := b.finish(hungUpByCaller)[0]; r.Codec != "PCMA" || r.Restored != 2 {
		t.Errorf("the record says %s, restored %d times", r.Codec, r.Restored)
	}
}

// TestKilledSecureCallLivesOn: a recorded call with SRTP, with a different suite on each side, survives two kills and
// an upgrade. The second kill comes when its numbers have passed 65535. Each side hears the other, under the same keys
// as before, and each process has its part of the recording.
func TestKilledSecureCallLivesOn(t *testing.T) {
	s := newQuietStage(t)
	s.prepareCalls()
	const hers, his = "AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80"
	o := recordingSetup("record: always")
	o.listen = []string{"udp://" + s.freePort(s.b2bua).String()}
	o.trunk = ", media: {srtp: required, srtp_suites: [" + hers + "]}"
	o.target = ", media: {srtp: required, srtp_suites: [" + his + "]}"
	s.serve(o)
	one, two := s.newSide(s.carrier, audio.ULaw, hers), s.newSide(s.platform, audio.ULaw, his)
	call := s.converse(one, two, "-aa") // a side that does not send RTP soon is asked after a restart
	for i, change := range []func(){func() {}, func() { s.restart(o) }, func() { s.server.upgrade() }, func() { s.restart(o) }} {
		change()
		said, answered := reference(uint64(10+i), 1500*time.Millisecond), reference(uint64(20+i), 1500*time.Millisecond)
		call.both(said, answered)
		eventually(t, "both are heard", func() bool {
			return endsWith(payloads(one.hears()), codes(audio.ULaw, answered)) && endsWith(payloads(two.hears()), codes(audio.ULaw, said))
		})
	}
	call.hangUp()
	r := s.server.finish(hungUpByCaller)[0]
	if r.Restored != 2 || r.Media.A.SRTP != hers || r.Media.B.SRTP != his || r.Media.A.DroppedBy.Unauthentic+r.Media.B.DroppedBy.Unauthentic != 0 {
		t.Errorf("restored %d times, media %+v", r.Restored, r.Media)
	}
	if len(r.Recordings) != 2*4 {
		t.Errorf("%d files are recorded: %+v", len(r.Recordings), r.Recordings)
	}
}

// TestKilledCallOverTLS: if a call's connection ended with its process, the next process ends the call over a new one.
func TestKilledCallOverTLS(t *testing.T) { killedOverTLS(newPreparedStage(t)) }

func killedOverTLS(s *stage) {
	ca := s.authority("ca")
	o := ca.secured(setup{})
	for i, l := range o.listen { // the addresses of the next process
		o.listen[i] = strings.TrimSuffix(l, "0") + strconv.Itoa(int(s.freePort(s.b2bua).Port()))
	}
	s.serve(o)
	agent := s.sippAgent("caller_hangup", "-aa")
	old := s.connect(s.carrier, ca.trusts(nil))
	ok := old.setUp("lives")
	b := s.restart(o)
	old.conn.Close()
	again := s.connect(s.carrier, ca.trusts(nil))
	again.hangUp("lives", ok)
	agent.finish()
	again.conn.Close()
	if r := b.finish(hungUpByCaller)[0]; r.Restored != 1 {
		s.Errorf("restored %d times", r.Restored)
	}
}

// TestFailedStartLeavesCalls: a start fails after it has taken over the calls of a killed process, because another
// program has the admin port. The failed process tells the peers nothing, and the next one continues the calls.
func TestFailedStartLeavesCalls(t *testing.T) {
	s := newPreparedStage(t)
	o := setup{listen: []string{"udp://" + s.freePort(s.b2bua).String()}}
	s.serve(o)
	agent := s.sippAgent("caller_hangup", "-aa") // a side that sends no RTP is asked after a restart
	carrier := s.sippCarrier("caller_hangup", "-m", "1", "-aa")
	ids := carrier.answered(1)
	agent.confirmed(1)
	s.server.kill()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer busy.Close()
	configure(t, s.server.dir, replaceOnce(t, s.config(o), `admin: {listen: "127.0.0.1:0"}`, fmt.Sprintf("admin: {listen: %q}", busy.Addr())))
	cmd := exec.Command(program, "serve")
	cmd.Dir = s.server.dir
	cmd.Env = append(os.Environ(), "E2E_TOKEN="+apiToken, raceEnv)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "address already in use") {
		t.Fatalf("%v: %s", err, out)
	}
	again := startServer(t, s.server.dir, s.config(o))
	again.targets = s.server.targets
	s.server = again
	carrier.leaves(agent, ids...)
	if r := again.finish(hungUpByCaller)[0]; r.Restored != 2 { // the failed start has taken it over, too
		t.Errorf("restored %d times", r.Restored)
	}
}
