package calltest

import (
	"context"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/reach"
)

// inPingedWorld runs a test in a world whose agent gets OPTIONS every ten seconds.
func inPingedWorld(t *testing.T, ping string, test func(w *world)) {
	t.Helper()
	inWorldWith(t, strings.Replace(testConfig, "- name: agent\n", "- name: agent\n    ping: {"+ping+"}\n", 1), func(w *world) {
		ctx, cancel := context.WithCancel(w.t.Context())
		done := make(chan struct{})
		go func() { defer close(done); reach.Ping(ctx, w.admission.Peers.Load, w.server.Stack()) }()
		defer func() { cancel(); <-done }()
		test(w)
	})
}

// agentCircuit returns the state of the circuit for the agent's SIP.
func (w *world) agentCircuit() circuit.Status {
	return w.admission.Peers.Load().Targets["agent"].SIP.Status()
}

// If a target does not answer OPTIONS, it is out of use before any call tries it. After two answers it is in use again.
// No call is used as a trial.
func TestPing(t *testing.T) {
	inPingedWorld(t, "interval: 10s", func(w *world) {
		first := w.agent.expect("OPTIONS sip:192.0.2.20:32681 SIP/2.0")
		w.agent.reply(first, 405, "Not Allowed", "a", "")
		for range 2 {
			w.agent.expect("OPTIONS")
			w.agent.drainFor(9 * time.Second) // the OPTIONS and their retransmissions
			if s := w.agentCircuit(); s.State != circuit.Closed || s.Probe != "no answer to OPTIONS" {
				t.Errorf("too early: %+v", s)
			}
		}
		w.agent.expect("OPTIONS")
		w.agent.drainFor(2 * time.Second)
		if s := w.agentCircuit(); s.State != circuit.Open || s.Opened != 1 {
			t.Fatalf("after three without an answer: %+v", s)
		}
		d := w.carrier.dials("+15085785607")
		w.carrier.isBusyAt(w.agent2, w.agent2.expect("INVITE"), "x", d)
		w.wantCauses(w.record(), cause.TargetCircuitOpen, cause.TargetBusy)
		if s := w.server.Stack().Names().States("agent"); len(s) != 1 || s[0].Cause != "no answer to OPTIONS" {
			t.Errorf("addresses: %+v", s)
		}
		w.agent.reply(w.agent.expect("OPTIONS"), 503, "No", "a", "")
		for range 2 {
			if s := w.agentCircuit(); s.State != circuit.Open {
				t.Errorf("too early: %+v", s)
			}
			w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "a", "")
			time.Sleep(time.Millisecond)
		}
		if s := w.agentCircuit(); s.State != circuit.Closed || s.Probe != "" {
			t.Errorf("after two answers: %+v", s)
		}
		if s := w.server.Stack().Names().States("agent"); len(s) != 1 || !s[0].Until.IsZero() {
			t.Errorf("addresses: %+v", s)
		}
	})
}

// Over TCP, a target that accepts no connection is out of use as well.
func TestPingOverTCP(t *testing.T) {
	yaml := strings.NewReplacer("- name: agent\n", "- name: agent\n    ping: {interval: 5s}\n    transport: tcp\n", `5060"]}`, overTCP).Replace(testConfig)
	inWorldWith(t, yaml, func(w *world) {
		ctx, cancel := context.WithCancel(w.t.Context())
		done := make(chan struct{})
		go func() { defer close(done); reach.Ping(ctx, w.admission.Peers.Load, w.server.Stack()) }()
		defer func() { cancel(); <-done }()
		time.Sleep(11 * time.Second)
		if s := w.agentCircuit(); s.State != circuit.Open {
			t.Errorf("without a listener: %+v", s)
		}
		p := w.streamAgent(agentAddr).accept()
		for range 2 {
			p.reply(p.expect("OPTIONS"), 200, "OK", "a", "")
		}
		time.Sleep(time.Millisecond)
		if s := w.agentCircuit(); s.State != circuit.Closed {
			t.Errorf("with one: %+v", s)
		}
	})
}
