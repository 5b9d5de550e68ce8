//go:build e2e

package e2e

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
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
		after  time.Duration // at the least
	}{
		{"busy", setup{}, 486, want{"busy", "target_busy", "agent", 486, []try{{"target_busy", 200, 486}}}, 0},
		{"500", setup{}, 503, want{"failed", "prepare_failed", "system", 503, []try{{"prepare_failed", 500, 0}}}, 0},
		{"failed", setup{}, 503, want{"failed", "prepare_refused", "system", 503, []try{{"prepare_refused", 200, 0}}}, 0},
		{"malformed", setup{}, 503, want{"failed", "prepare_invalid", "system", 503, []try{{"prepare_invalid", 200, 0}}}, 0},
		{
			"hang",
			setup{prepare: ", timeout: 700ms"},
			503,
			want{"failed", "prepare_timeout", "system", 503, []try{{"prepare_timeout", 0, 0}}},
			700 * time.Millisecond,
		},
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
			if took := r.EndedAt.Sub(r.StartedAt.Time); took < c.after {
				t.Errorf("refused after %v; want %v at least", took, c.after)
			}
			carrier.ringsOnce()
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
	carrier.ringsOnce()
}

// TestLate has an agent that takes its time: the caller hears ringing until
// then.
func TestLate(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{})
	agent := s.agentPlays("human", nil, "@BY@", "carrier")
	carrier := s.sippCarrier("caller_hangup")
	carrier.received("SIP/2.0 180", 1)
	invite := agent.received("INVITE ", 1)[0]
	agent.sent("SIP/2.0 180", 1)
	if live := b.calls(); len(live) != 1 || live[0].Phase != "dialing" {
		t.Errorf("live calls: %+v; want one that is not answered", live)
	}
	if n := len(carrier.count(true, "SIP/2.0 2")); n != 0 {
		t.Errorf("%d times 200 before the agent answered", n)
	}
	agent.proceed(invite.header("Call-ID"))
	carrier.proceed(carrier.answered(1)...)
	carrier.finish()
	agent.finish()
	b.finish(hungUpByCaller)
	carrier.ringsOnce()
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
	b := s.serve(setup{media: ", timeout: 1s"})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("agent_hangup")
	carrier.finish()
	agent.finish()
	r := b.finish(want{"answered", "no_media", "system", 200, []try{{"", 200, 200}}})[0]
	if m := r.Media; m.A.Rx+m.A.Tx+m.A.Dropped+m.B.Rx+m.B.Tx+m.B.Dropped != 0 {
		t.Errorf("packets in a call without media: %+v", r.Media)
	}
}

// TestCancelCrossesAnswer has the carrier give up at the moment when the agent
// answers, wherever that is, which it comes closer to each time: the carrier gets one final
// answer, the record says the same, and the agent is left with nothing.
func TestCancelCrossesAnswer(t *testing.T) {
	const calls = 40
	s := newStage(t)
	platform := s.simulate("--ring", "100ms")
	b := s.serve(setup{route: ", ringing: on-target"})
	var wanted []want
	var carriers []*rawCarrier
	answered, patient, step := 0, 100*time.Millisecond, 64*time.Millisecond
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
			patient = max(patient-step, 0)
		} else {
			c.send(sameBranch.Replace(c.write("ACK", s.to(), message{raw: final}.header("To"), id, 1, "")))
			wanted = append(wanted, want{"cancelled", "caller_cancelled", "caller", 487, nil})
			patient += step
		}
		if answered > 0 && answered <= i { // both have happened: the moment is between them
			step = max(step/2, time.Millisecond/10)
		}
	}
	if answered == 0 || answered == calls {
		t.Errorf("%d of %d calls were answered: CANCEL and 200 have not met", answered, calls)
	}
	var all []record.Record
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
