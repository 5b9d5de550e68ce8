//go:build e2e

package e2e

import "testing"

// TestLostACK has a carrier whose ACK never arrives: the 200 is repeated at
// growing intervals for 32 s, then both sides get BYE.
func TestLostACK(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{media: ", start_timeout: 60s"})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("lost_ack")
	carrier.received("SIP/2.0 200", 1)
	carrier.finish()
	agent.finish()
	// T1 doubling to T2: 0, .5, 1.5, 3.5, 7.5, 11.5 … 31.5 s. On a busy machine
	// each is a little late and so are all that follow.
	if n := len(carrier.count(true, "SIP/2.0 200")); n < 9 || n > 11 {
		t.Errorf("%d times 200; want 11", n)
	}
	r := b.finish(want{"answered", "no_ack", "system", 200, []try{{"", 200, 200}}})[0]
	if r.DurationMS < 31900 || r.DurationMS > 34000 {
		t.Errorf("BYE after %d ms; want 32000", r.DurationMS)
	}
}
