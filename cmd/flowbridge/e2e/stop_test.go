//go:build e2e

package e2e

import (
	"syscall"
	"testing"
)

// TestStopAfterSilence stops the B2BUA with one signal when no call is live, but a target has left
// an INVITE without any answer a moment ago. It must stop at once.
func TestStopAfterSilence(t *testing.T) {
	s := newStage(t)
	s.simulate("--fault", "silent")
	b := s.serve(setup{target: ", first_response_timeout: 500ms"})
	s.refusedCarrier(503, called).finish()
	b.finish(want{"failed", "target_silent", "system", 503, []try{{"target_silent", 200, 0}}})
}

// TestStopTwiceAfterSilence is the same with a second signal.
func TestStopTwiceAfterSilence(t *testing.T) {
	s := newStage(t)
	s.simulate("--fault", "silent")
	b := s.serve(setup{target: ", first_response_timeout: 500ms"})
	s.refusedCarrier(503, called).finish()
	eventually(t, "/api/calls is empty", func() bool { return len(b.calls()) == 0 })
	b.drain()
	b.signal(syscall.SIGTERM)
	b.stopped()
}

// TestStopWithDeadPeers sends two signals while a call is up whose sides are both gone. The BYEs
// get no answer.
func TestStopWithDeadPeers(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	agent, carrier := s.sippAgent("caller_hangup"), s.sippCarrier("caller_hangup")
	carrier.answered(1)
	agent.confirmed(1)
	agent.kill()
	carrier.kill()
	b.drain()
	b.signal(syscall.SIGTERM)
	b.stopped()
	b.compare(b.cdrList(), []want{{"answered", "shutdown", "system", 200, []try{{"", 200, 200}}}})
}
