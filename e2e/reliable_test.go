//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestReliableToCarrier has a carrier demand that provisional answers are
// reliable: each waits for the PRACK of the one before it. Without an offer in
// its INVITE, the one with SDP is our offer.
func TestReliableToCarrier(t *testing.T) {
	t.Parallel()
	for name, words := range map[string][]string{
		"offer":      {"@OFFER@", `(sdp 7 "0 8 101" "sendrecv")`, "@ANSWER@", ""},
		"late_offer": {"@OFFER@", "", "@ANSWER@", `(sdp 7 "0 101" "sendrecv")`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.prepareCalls()
			b := s.serve(setup{})
			one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
			agent := s.sippAgent("early_media", two.key()...)
			carrier := s.carrierPlays("reliable", one.key(), words...)
			carrier.final(3, "PRACK")
			early := carrier.received("SIP/2.0 183", 1)[0]
			ringing := carrier.received("SIP/2.0 180", 1)[0]
			for _, m := range []message{ringing, early} {
				if m.header("Require") != "100rel" || m.header("RSeq") == "" {
					t.Errorf("not reliable:\n%s", m.raw)
				}
			}
			agent.proceed(agent.received("INVITE ", 1)[0].header("Call-ID"))
			talk := s.talkingEarly(one, two, carrier, agent, early)
			talk.says(one, two)
			talk.says(two, one)
			if answer := carrier.final(1, "INVITE"); answer.body() != "" && answer.body() != early.body() {
				t.Errorf("the 200 has another SDP than the 183:\n%s\n%s", answer.body(), early.body())
			}
			carrier.proceed(talk.id(carrier))
			carrier.finish()
			agent.finish()
			b.finish(hungUpByCaller)
		})
	}
}

// TestReliableFromAgent has an agent whose provisional answers are reliable:
// they are acknowledged, and the SDP of the first counts.
func TestReliableFromAgent(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{target: ", rel100: supported", route: ", ringing: on-target"})
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("reliable", two.key()...)
	carrier := s.sippCarrier("caller_hangup", one.key()...)
	pracks := agent.received("PRACK ", 2)
	invite := agent.received("INVITE ", 1)[0]
	if !strings.Contains(invite.header("Supported"), "100rel") {
		t.Errorf("Supported: %s", invite.header("Supported"))
	}
	for i, m := range pracks {
		want := []string{"4711 1 INVITE", "4712 1 INVITE"}[i]
		cseq := []string{"2 PRACK", "3 PRACK"}[i]
		if m.header("RAck") != want || m.header("CSeq") != cseq || tag(m.header("To")) == "" || m.header("Call-ID") != invite.header("Call-ID") {
			t.Errorf("RAck %q; want %q:\n%s", m.header("RAck"), want, m.raw)
		}
	}
	agent.proceed(invite.header("Call-ID"))
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	carrier.proceed(talk.id(carrier))
	carrier.finish()
	agent.finish()
	b.finish(hungUpByCaller)
}

// TestUnsupported has INVITEs ask for what can't be had: they are refused
// before there is a call, and say what could be had.
func TestUnsupported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trunk, headers string
		status         int
		name, value    string // of a header of the refusal
	}{
		"extension":     {"", `"Require: e2e, 100rel"`, 420, "Unsupported", "e2e"},
		"no_100rel":     {", rel100: off", `"Require: 100rel"`, 420, "Unsupported", "100rel"},
		"needs_100rel":  {", rel100: required", `"Supported: timer"`, 421, "Require", "100rel"},
		"short_session": {", min_se: 120s", `"Supported: timer" "Session-Expires: 100"`, 422, "Min-SE", "120"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.prepareCalls()
			b := s.serve(setup{trunk: c.trunk})
			carrier := s.carrierPlays("unsupported", nil, "@HEADERS@", c.headers, "@STATUS@", fmt.Sprint(c.status))
			carrier.finish()
			if got := carrier.final(1, "INVITE"); got.header(c.name) != c.value {
				t.Errorf("want %s: %s in\n%s", c.name, c.value, got.raw)
			}
			b.finish()
		})
	}
}

// TestNoPRACK has a carrier that never acknowledges our reliable 180: it comes
// again and again for 32 s, and then the INVITE is refused.
func TestNoPRACK(t *testing.T) {
	s := newLongStage(t)
	s.prepareCalls()
	b := s.serve(setup{media: ", start_timeout: 60s"})
	agent := s.sippAgent("cancel")
	carrier := s.sippCarrier("no_prack")
	carrier.finish()
	agent.finish()
	if n := len(carrier.count(true, "SIP/2.0 180")); n < 6 || n > 7 {
		t.Errorf("%d times 180; want 7", n) // 0, .5, 1.5, 3.5, 7.5, 15.5, 31.5 s
	}
	b.finish(want{"failed", "no_prack", "system", 504, []try{{"no_prack", 200, 0}}})
}
