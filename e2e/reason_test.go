//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestReason has a side say why it hangs up: the other side is told, and so is
// the record.
func TestReason(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by, reason string
		q850       int
		told       string // how the Reason of the other BYE begins
	}{
		"carrier_q850": {"carrier", `Q.850;cause=31;text="Normal, unspecified"`, 31, "Q.850;cause=31"},
		"agent_q850":   {"agent", `Q.850 ;cause=41`, 41, "Q.850;cause=41"},
		"agent_both":   {"agent", `SIP;cause=200;text="Call completed elsewhere", Q.850;cause=26`, 26, "Q.850;cause=26"},
		"none":         {"carrier", "", 16, "Q.850;cause=16"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.prepareCalls()
			b := s.serve(setup{})
			words := []string{"@BY@", c.by, "@REASON@", c.reason}
			agent := s.agentPlays("reason", nil, words...)
			carrier := s.carrierPlays("reason", nil, words...)
			onA, onB := carrier.answered(1), agent.confirmed(1)
			other, expected := agent, hungUpByCaller
			if c.by == "carrier" {
				carrier.proceed(onA...)
			} else {
				other, expected = carrier, hungUpByAgent
				agent.proceed(onB...)
			}
			carrier.finish()
			agent.finish()
			if got := other.received("BYE ", 1)[0].header("Reason"); !strings.HasPrefix(got, c.told) {
				t.Errorf("the other side is told %q; want %q", got, c.told)
			}
			if r := b.finish(expected)[0]; r.Q850 != c.q850 {
				t.Errorf("the record says %d; want %d", r.Q850, c.q850)
			}
		})
	}
}

// TestReasonOfCancel has the carrier say why it gives up: the agent is told.
func TestReasonOfCancel(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{route: ", ringing: on-target"})
	agent := s.sippAgent("cancel")
	carrier := s.carrierPlays("give_up", nil, "@REASON@", `SIP;cause=200;text="Call completed elsewhere"`)
	carrier.received("SIP/2.0 180", 1)
	carrier.proceed(carrier.sent("INVITE ", 1)[0].header("Call-ID"))
	carrier.finish()
	agent.finish()
	if got := agent.received("CANCEL ", 1)[0].header("Reason"); !strings.HasPrefix(got, "SIP;cause=200") {
		t.Errorf("the agent is told %q", got)
	}
	expected := cancelled
	expected.attempts = []try{{"caller_cancelled", 200, 0}}
	b.finish(expected)
}
