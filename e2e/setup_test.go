//go:build e2e

package e2e

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"flowbridge/store"
)

var cancelled = want{"cancelled", "caller_cancelled", "caller", 487, []try{{"caller_cancelled", 0, 0}}}

// TestCancelWhilePreparing has the carrier give up while the platform's API
// hangs, with and without having heard ringing. The agent is not called.
func TestCancelWhilePreparing(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
			"silent",
			setup{target: ", first_response_timeout: 700ms"},
			503,
			want{"failed", "target_silent", "system", 503, []try{{"target_silent", 200, 0}}},
			700 * time.Millisecond,
		},
	} {
		t.Run(c.fault, func(t *testing.T) {
			s := newStage(t)
			s.simulate("--fault", c.fault)
			b := s.serve(c.setup)
			carrier := s.refusedCarrier(c.status, called)
			carrier.finish()
			r := b.records(c.want)[0]
			b.nothingLeft()
			b.stop()
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
	r := b.records(expected)[0]
	b.nothingLeft()
	b.stop()
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

// TestNoMedia has nobody send RTP.
func TestNoMedia(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{media: ", start_timeout: 2s"})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("agent_hangup")
	carrier.finish()
	agent.finish()
	r := b.finish(want{"answered", "no_media", "system", 200, []try{{"", 200, 200}}})[0]
	if r.DurationMS < 2000 || r.DurationMS > 4500 {
		t.Errorf("ended after %d ms; want 2000 and a little", r.DurationMS)
	}
	if m := r.Media; m.A.Rx+m.A.Tx+m.A.Dropped+m.B.Rx+m.B.Tx+m.B.Dropped != 0 {
		t.Errorf("packets in a call without media: %+v", r.Media)
	}
}

// TestCancelCrossesAnswer has the carrier give up at the moment when the agent
// answers, which it comes closer to each time: the carrier gets one final
// answer, the record says the same, and the agent is left with nothing.
func TestCancelCrossesAnswer(t *testing.T) {
	const calls = 40
	s := newStage(t)
	platform := s.simulate("--ring", "20ms")
	b := s.serve(setup{route: ", ringing: on-target"})
	var wanted []want
	var carriers []*rawCarrier
	answered, patient := 0, 20*time.Millisecond
	for i := range calls {
		c := s.newRawCarrier(s.carrier)
		carriers = append(carriers, c)
		id := fmt.Sprintf("crossing-%d", i)
		c.send(c.invite(id))
		c.await("SIP/2.0 180 ", "CSeq: 1 INVITE\r\n")
		<-time.After(patient)
		c.send(sameBranch.Replace(c.request("CANCEL", id)))
		c.await("SIP/2.0 ", "CSeq: 1 CANCEL\r\n")
		final := c.final()
		if strings.HasPrefix(final, "SIP/2.0 200 ") {
			c.send(c.within("ACK", 1, final))
			c.send(c.within("BYE", 2, final))
			c.await("SIP/2.0 200 ", "CSeq: 2 BYE\r\n")
			wanted = append(wanted, hungUpByCaller)
			answered++
			patient -= step(i)
		} else {
			c.send(sameBranch.Replace(c.write("ACK", s.to(), message{raw: final}.header("To"), id, 1, "")))
			wanted = append(wanted, want{"cancelled", "caller_cancelled", "caller", 487, nil})
			patient += step(i)
		}
	}
	if answered == 0 || answered == calls {
		t.Errorf("%d of %d calls were answered: CANCEL and 200 have not met", answered, calls)
	}
	var all []store.Record
	eventually(t, "there is a record of each call", func() bool { all = b.cdrs(); return len(all) == calls })
	b.sameInFile(all)
	for i := range all {
		r := all[calls-1-i]
		got := wantOf(r)
		got.attempts = nil
		expected := wanted[i]
		expected.attempts = nil
		if !reflect.DeepEqual(got, expected) || len(r.Attempts) != 1 {
			t.Errorf("the record of call %d says %+v with %d attempts; want %+v", i, got, len(r.Attempts), expected)
		}
	}
	b.nothingLeft()
	b.stop()
	for _, c := range carriers {
		for c.receive(time.Millisecond) != "" { // what may have come late
		}
		c.consistent()
	}
	if _, ok := platform.find("by=agent"); ok {
		t.Error("the agent had to hang up a call itself")
	}
}

// step is how much sooner or later the carrier gives up after its call i.
func step(i int) time.Duration {
	switch {
	case i < 10:
		return 4 * time.Millisecond
	case i < 20:
		return time.Millisecond
	default:
		return 100 * time.Microsecond
	}
}
