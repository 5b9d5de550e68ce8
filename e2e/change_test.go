//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestCodecChange has the carrier go over to A-law: the agent is asked. It
// takes it, at once or after it was busy with a change of its own, or does not;
// then the call goes on as it was.
func TestCodecChange(t *testing.T) {
	for name, c := range map[string]struct {
		refusal string
		status  string // that the carrier gets
		codec   string
		asked   int // times
	}{
		"taken":   {"", "200", "PCMA", 1},
		"glare":   {"491 Request Pending", "200", "PCMA", 2},
		"refused": {"488 Not Acceptable Here", "488", "PCMU", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.prepareCalls()
			b := s.serve(setup{})
			one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
			agent := s.agentPlays("change", two.key(), "@REFUSAL@", c.refusal)
			carrier := s.carrierPlays("change", one.key(), "@STATUS@", c.status)
			talk := s.talking(one, two, carrier, agent)
			talk.both()
			carrier.proceed(talk.id(carrier))
			answer := carrier.final(2, "INVITE")
			if c.codec == "PCMA" {
				if !strings.Contains(answer.body(), " RTP/AVP 8 101\r\n") {
					t.Errorf("the change is answered with %q", answer.body())
				}
				talk.format = 8
			} else if answer.header("Warning") == "" {
				t.Errorf("refused without Warning:\n%s", answer.raw)
			}
			talk.both()
			carrier.proceed(talk.id(carrier))
			carrier.finish()
			agent.finish()
			invites := agent.received("INVITE ", 1+c.asked)
			if len(invites) != 1+c.asked {
				t.Errorf("the agent got %d INVITEs; want %d", len(invites), 1+c.asked)
			}
			for _, m := range invites[1:] {
				if !strings.Contains(m.body(), " RTP/AVP 8 101\r\n") || tag(m.header("To")) == "" {
					t.Errorf("the agent was asked\n%s", m.raw)
				}
				s.versions(invites[0], m)
			}
			s.hides(carrier, agent)
			if r := b.finish(hungUpByCaller)[0]; r.Codec != c.codec {
				t.Errorf("the record says %s; want %s", r.Codec, c.codec)
			}
		})
	}
}

// versions checks that a description of a session is a later version of another
// one (RFC 3264 section 8).
func (s *stage) versions(before, after message) {
	s.Helper()
	origin := func(m message) []string {
		_, line, _ := strings.Cut(m.body(), "\r\no=")
		line, _, _ = strings.Cut(line, "\r\n")
		return strings.Fields(line)
	}
	x, y := origin(before), origin(after)
	if len(x) != 6 || len(y) != 6 || x[1] != y[1] || x[2] >= y[2] || len(x[2]) > len(y[2]) {
		s.Errorf("o=%v is no later version of o=%v", y, x)
	}
}

// TestReoffer has the carrier send a re-INVITE without SDP: it is offered the
// session as it is, and its answer moves its media.
func TestReoffer(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{})
	one, two, moved := s.newPhone(s.carrier), s.newPhone(s.platform), s.newPhone(s.carrier)
	agent := s.sippAgent("caller_hangup", two.key()...)
	carrier := s.sippCarrier("reoffer", append(one.key(), "-key", "second_port", moved.key()[2])...)
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	carrier.proceed(talk.id(carrier))
	offer := carrier.final(2, "INVITE")
	if rtp, err := offer.rtp(); err != nil || rtp != talk.toA || !strings.Contains(offer.body(), " RTP/AVP 0") {
		t.Errorf("the carrier was offered %v (%v):\n%s", rtp, err, offer.body())
	}
	carrier.sent("ACK ", 2)
	talk.one = moved
	talk.says(moved, two) // its media says where it is, whenever the ACK is read
	talk.says(two, moved)
	carrier.proceed(talk.id(carrier))
	carrier.finish()
	agent.finish()
	b.finish(hungUpByCaller)
}

// TestLateOffer has INVITEs without SDP: the answer to our offer comes with the
// ACK, or does not.
func TestLateOffer(t *testing.T) {
	badACK := want{"answered", "bad_ack", "system", 200, []try{{"", 200, 200}}}
	for name, c := range map[string]struct {
		answer string // formats
		want   want
	}{
		"answered":  {"0 101", hungUpByCaller},
		"no_answer": {"none", badACK},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.prepareCalls()
			b := s.serve(setup{})
			one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
			agent := s.sippAgent("caller_hangup", two.key()...)
			carrier := s.carrierPlays("late_offer", one.key(), "@ANSWER@", c.answer)
			if c.answer == "none" {
				carrier.finish()
				agent.finish()
			} else {
				talk := s.talking(one, two, carrier, agent)
				talk.says(one, two)
				talk.says(two, one)
				carrier.proceed(talk.id(carrier))
				carrier.finish()
				agent.finish()
			}
			if offer := agent.received("INVITE ", 1)[0].body(); !strings.Contains(offer, " RTP/AVP 0 8 101\r\n") {
				t.Errorf("the agent was offered %q", offer)
			}
			if r := b.finish(c.want)[0]; r.Codec != "PCMU" {
				t.Errorf("the record says codec %q", r.Codec)
			}
		})
	}
}

// TestReliableToCarrier has a carrier demand that provisional answers are
// reliable: each waits for the PRACK of the one before it. Without an offer in
// its INVITE, the one with SDP is our offer.
func TestReliableToCarrier(t *testing.T) {
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

// TestINFO has both sides send INFO, and answer it: bodies pass as they are.
func TestINFO(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{})
	agent, carrier := s.sippAgent("info"), s.sippCarrier("info")
	ids := carrier.answered(1)
	agent.confirmed(1)
	carrier.proceed(ids...)
	pass := func(what string, from, to message) {
		t.Helper()
		if from.body() == "" || to.body() != from.body() || to.header("Content-Type") != from.header("Content-Type") {
			t.Errorf("%s has become\n%s\nit was\n%s", what, to.raw, from.raw)
		}
	}
	carrier.sent("SIP/2.0 200", 1)
	agent.received("SIP/2.0 200", 1)
	cues := func(all []message) (out []message) { // without the driver's
		for _, m := range all {
			if m.body() != "" {
				out = append(out, m)
			}
		}
		return out
	}
	there := cues(agent.received("INFO ", 1))[0]
	pass("the carrier's INFO", carrier.sent("INFO ", 1)[0], there)
	pass("the agent's INFO", agent.sent("INFO ", 1)[0], cues(carrier.received("INFO ", 2))[0])
	pass("the agent's answer", agent.sent("SIP/2.0 200", 2)[1], carrier.final(2, "INFO"))
	pass("the carrier's answer", carrier.sent("SIP/2.0 200", 1)[0], agent.final(1, "INFO"))
	if there.header("X-Not-Passed") != "" {
		t.Errorf("a header has passed:\n%s", there.raw)
	}
	carrier.proceed(ids...)
	carrier.finish()
	agent.finish()
	s.hides(carrier, agent)
	b.finish(hungUpByCaller)
}

// TestReason has a side say why it hangs up: the other side is told, and so is
// the record.
func TestReason(t *testing.T) {
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
