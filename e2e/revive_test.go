//go:build e2e

package e2e

import (
	"testing"
)

// restart kills the B2BUA and starts it again with this setup, which has to name its ports.
func (s *stage) restart(o setup) *server {
	s.Helper()
	s.server.kill()
	again := startServer(s.T, s.server.dir, s.config(o))
	again.targets = s.server.targets
	s.server = again
	return again
}

// TestKilledCallLivesOn: a call that is up goes on after SIGKILL and a restart, with its audio, a change of its codec and
// its end.
func TestKilledCallLivesOn(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
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
	carrier.proceed(talk.id(carrier))
	carrier.finish()
	agent.finish()
	if r := b.finish(hungUpByCaller)[0]; r.Codec != "PCMA" || r.Restored != 2 {
		t.Errorf("the record says %s, restored %d times", r.Codec, r.Restored)
	}
}
