//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"flowbridge/store"
)

var cancelled = want{"cancelled", "caller_cancelled", "caller", 487, []try{{"caller_cancelled", 0, 0}}}

// TestCancelWhilePreparing has the carrier give up while the platform's API
// hangs, with and without having heard ringing. The agent is not called.
func TestCancelWhilePreparing(t *testing.T) {
	for _, ringing := range []string{"none", "immediate"} {
		t.Run("ringing_"+ringing, func(t *testing.T) {
			s := newStage(t)
			api := s.prepareCalls()
			api.hang = true
			b := s.serve(setup{route: ", ringing: " + ringing, prepare: ", timeout: 20s"})
			agent := s.sippAgent("cancel")
			carrier := s.sippCarrier("cancel")
			if ringing == "immediate" {
				carrier.received("SIP/2.0 180", 1)
			} else {
				carrier.received("SIP/2.0 100", 1)
			}
			eventually(t, "the platform is asked", func() bool { return len(api.requests()) == 1 })
			carrier.proceed(carrier.sent("INVITE ", 1)[0].header("Call-ID"))
			carrier.finish()
			if n := len(carrier.count(true, "SIP/2.0 180")); (n == 1) != (ringing == "immediate") {
				t.Errorf("%d times 180 with ringing: %s", n, ringing)
			}
			b.finish(cancelled)
			if got := agent.trace(); len(got) > 0 {
				t.Errorf("the agent was sent %q", got[0].first())
			}
		})
	}
}

// TestCancelWhileRinging has the carrier give up after the agent's 180.
func TestCancelWhileRinging(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{route: ", ringing: on-target"})
	agent := s.sippAgent("cancel")
	carrier := s.sippCarrier("cancel")
	carrier.received("SIP/2.0 180", 1)
	carrier.proceed(carrier.sent("INVITE ", 1)[0].header("Call-ID"))
	carrier.finish()
	agent.finish()
	invite, cancel := agent.received("INVITE ", 1)[0], agent.received("CANCEL ", 1)[0]
	if cancel.header("Via") != invite.header("Via") || cancel.header("CSeq") != "1 CANCEL" {
		t.Errorf("CANCEL with Via %q and CSeq %q; want the INVITE's Via %q", cancel.header("Via"), cancel.header("CSeq"), invite.header("Via"))
	}
	expected := cancelled
	expected.attempts = []try{{"caller_cancelled", 200, 0}}
	b.finish(expected)
}

// TestRefused has the target, or the way to it, fail; the carrier gets one
// final answer and the record says why.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		fault  string
		setup  setup
		status int
		want   want
		limit  time.Duration // for the whole call
	}{
		{"busy", setup{}, 486, want{"busy", "target_busy", "agent", 486, []try{{"target_busy", 200, 486}}}, time.Second},
		{"500", setup{}, 503, want{"failed", "prepare_failed", "system", 503, []try{{"prepare_failed", 500, 0}}}, 3 * time.Second},
		{"failed", setup{}, 503, want{"failed", "prepare_refused", "system", 503, []try{{"prepare_refused", 200, 0}}}, 3 * time.Second},
		{"malformed", setup{}, 503, want{"failed", "prepare_invalid", "system", 503, []try{{"prepare_invalid", 200, 0}}}, 3 * time.Second},
		{"hang", setup{}, 503, want{"failed", "prepare_timeout", "system", 503, []try{{"prepare_timeout", 0, 0}}}, 3 * time.Second},
		{
			"silent", setup{target: ", first_response_timeout: 700ms"}, 503,
			want{"failed", "target_silent", "system", 503, []try{{"target_silent", 200, 0}}}, 700 * time.Millisecond,
		},
	} {
		t.Run(c.fault, func(t *testing.T) {
			s := newStage(t)
			s.simulate("--fault", c.fault)
			b := s.serve(c.setup)
			carrier := s.refusedCarrier(c.status, called)
			carrier.finish()
			r := b.finish(c.want)[0]
			// What the machine takes on top, when it is busy.
			const slack = 700 * time.Millisecond
			if took := r.EndedAt.Sub(r.StartedAt.Time); took > c.limit+slack {
				t.Errorf("refused after %v; want at most %v", took, c.limit)
			}
			if n := len(carrier.count(true, "SIP/2.0 180")); n != 1 {
				t.Errorf("%d times 180; want it once", n)
			}
		})
	}
}

// TestFailover has the first target fail in its two ways and the second one
// take the call; the carrier notices nothing.
func TestFailover(t *testing.T) {
	s := newStage(t)
	s.simulate("--fault", "500")
	brokenAPI := s.api
	s.simulate("--fault", "silent")
	silentAPI, silentAgent := s.api, s.agent
	s.simulate("--fault", "hangup:500ms")
	another := func(name, api string, agent any) string {
		return fmt.Sprintf(`  - {name: %s, kind: synthflow, uri: "sip:{{.To.Number}}@%v", first_response_timeout: 500ms,
     prepare: {api: "%s", token_env: E2E_TOKEN}, headers: {X-EI: "S.{{.Prepare.CallID}};"}}
`, name, agent, api)
	}
	config := s.config(setup{route: "@"})
	config = replaceOnce(t, config, "routes:\n", another("broken", brokenAPI, silentAgent)+another("silent", silentAPI, silentAgent)+"routes:\n")
	config = replaceOnce(t, config, "targets: [synthflow]@", "targets: [broken, silent, synthflow]")
	b := startServer(t, t.TempDir(), config)
	s.server = b
	carrier := s.sippCarrier("agent_hangup")
	carrier.finish()
	expected := hungUpByAgent
	expected.attempts = []try{{"prepare_failed", 500, 0}, {"target_silent", 200, 0}, {"", 200, 200}}
	r := b.finish(expected)[0]
	for i, name := range []string{"broken", "silent", "synthflow"} {
		if r.Attempts[i].Target != name {
			t.Errorf("attempt %d was at %s; want %s", i+1, r.Attempts[i].Target, name)
		}
	}
	if n := len(carrier.count(true, "SIP/2.0 180")); n != 1 {
		t.Errorf("%d times 180; want it once", n)
	}
}

// TestLate has an agent that takes its time: the caller hears ringing until
// then. Here the agent hangs up, too.
func TestLate(t *testing.T) {
	s := newStage(t)
	s.simulate("--fault", "late:3s")
	b := s.serve(setup{})
	carrier := s.sippCarrier("caller_hangup")
	carrier.received("SIP/2.0 180", 1)
	if live := b.calls(); len(live) != 1 || live[0].Phase == "bridged" {
		t.Errorf("live calls: %+v; want one that is not answered", live)
	}
	ids := carrier.answered(1)
	carrier.proceed(ids...)
	carrier.finish()
	r := b.finish(hungUpByCaller)[0]
	if r.SetupMS < 3000 || r.SetupMS > 4500 {
		t.Errorf("set-up took %d ms; want 3000 and a little", r.SetupMS)
	}
}

// TestAgentHangsUp has the simulator end the call.
func TestAgentHangsUp(t *testing.T) {
	s := newStage(t)
	s.simulate("--fault", "hangup:1s", "--ring", "100ms", "--echo", "300ms")
	b := s.serve(setup{})
	s.sippCarrier("agent_hangup").finish()
	r := b.finish(hungUpByAgent)[0]
	if r.DurationMS < 900 || r.DurationMS > 2500 {
		t.Errorf("the call lasted %d ms; want 1000 and a little", r.DurationMS)
	}
}

// TestNoRoute calls a number that no route takes.
func TestNoRoute(t *testing.T) {
	s := newStage(t)
	api := s.prepareCalls()
	b := s.serve(setup{})
	carrier := s.refusedCarrier(404, "+4930123456")
	carrier.finish()
	r := b.finish(want{"failed", "no_route", "system", 404, nil})[0]
	if r.Target != "" || r.Route != "" || len(api.requests()) != 0 {
		t.Errorf("the record says %+v, and the platform was asked %+v", r, api.requests())
	}
}

// TestLostACK has a carrier whose ACK never arrives: the 200 is repeated at
// growing intervals for 32 s, then both sides get BYE.
func TestLostACK(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{media: ", timeout: 60s"})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("lost_ack")
	carrier.received("SIP/2.0 200", 1)
	carrier.finish()
	agent.finish()
	// T1 doubling to T2: 0, .5, 1.5, 3.5, 7.5, 11.5 … 31.5 s.
	if n := len(carrier.count(true, "SIP/2.0 200")); n != 11 {
		t.Errorf("%d times 200; want 11", n)
	}
	r := b.finish(want{"answered", "no_ack", "system", 200, []try{{"", 200, 200}}})[0]
	if r.DurationMS < 31900 || r.DurationMS > 34000 {
		t.Errorf("BYE after %d ms; want 32000", r.DurationMS)
	}
}

// TestMediaTimeout has nobody send RTP.
func TestMediaTimeout(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{media: ", timeout: 2s"})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("agent_hangup")
	carrier.finish()
	agent.finish()
	r := b.finish(want{"answered", "media_timeout", "system", 200, []try{{"", 200, 200}}})[0]
	if r.DurationMS < 2000 || r.DurationMS > 4500 {
		t.Errorf("ended after %d ms; want 2000 and a little", r.DurationMS)
	}
	if (r.Media != store.Media{}) {
		t.Errorf("packets in a call without media: %+v", r.Media)
	}
}
