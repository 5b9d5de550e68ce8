//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
	"testing"

	"flowbridge/sim"
)

// TestCodecChange has the carrier go over to A-law: the agent is asked. It
// takes it, at once or after it was busy with a change of its own, or does not;
// then the call goes on as it was.
func TestCodecChange(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	b := s.serve(setup{media: ", timeout: 60s"})
	agent := s.sippAgent("cancel")
	carrier := s.sippCarrier("no_prack")
	carrier.finish()
	agent.finish()
	if n := len(carrier.count(true, "SIP/2.0 180")); n < 6 || n > 7 {
		t.Errorf("%d times 180; want 7", n) // 0, .5, 1.5, 3.5, 7.5, 15.5, 31.5 s
	}
	b.finish(want{"failed", "no_prack", "system", 504, []try{{"no_prack", 200, 0}}})
}

// TestMultipart has a carrier send its location and an ISUP message with its
// SDP: the agent gets those that it may, as they are.
func TestMultipart(t *testing.T) {
	t.Parallel()
	const location, isup = "application/pidf+xml", "application/isup"
	for name, c := range map[string]struct {
		types, target   string
		passed, dropped []string
	}{
		"none":     {"", "", nil, nil},
		"location": {location, ", budget: {size: 1200}", []string{location}, nil},
		"both":     {location + ", " + isup, ", budget: {size: 1400}", []string{location, isup}, nil},
		"no_room":  {location + ", " + isup, ", overflow: trim", []string{location}, []string{isup, "User-Agent", "Allow"}},
	} {
		passed := c.passed
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.prepareCalls()
			b := s.serve(setup{target: ", pass_parts: [" + c.types + "]" + c.target})
			one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
			agent := s.sippAgent("caller_hangup", two.key()...)
			carrier := s.sippCarrier("multipart", one.key()...)
			talk := s.talking(one, two, carrier, agent)
			talk.both()
			carrier.proceed(talk.id(carrier))
			carrier.finish()
			agent.finish()
			if r := b.finish(hungUpByCaller)[0]; !slices.Equal(r.Attempts[0].DroppedHeaders, c.dropped) {
				t.Errorf("left out was %q; want %q", r.Attempts[0].DroppedHeaders, c.dropped)
			}
			invite := agent.received("INVITE ", 1)[0]
			parts := partsOf(t, invite)
			sent := partsOf(t, carrier.sent("INVITE ", 1)[0])
			if len(parts) != 1+len(passed) || !strings.HasPrefix(parts["application/sdp"], "v=0\r\n") {
				t.Fatalf("the agent got %d parts:\n%s", len(parts), invite.raw)
			}
			for _, kind := range passed {
				if parts[kind] != sent[kind] || parts[kind] == "" {
					t.Errorf("%s has become %q; it was %q", kind, parts[kind], sent[kind])
				}
			}
			if slices.Contains(passed, location) && !strings.Contains(invite.raw, "\r\nContent-ID: <here@e2e.example>\r\n") {
				t.Errorf("the part has no Content-ID:\n%s", invite.raw)
			}
		})
	}
}

// partsOf are the parts of a body by their types.
func partsOf(t *testing.T, m message) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.header("Content-Type"))
	if err != nil {
		t.Fatalf("%v:\n%s", err, m.raw)
	}
	if kind == "application/sdp" {
		return map[string]string{kind: m.body()}
	}
	all := map[string]string{}
	r := multipart.NewReader(strings.NewReader(m.body()), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, m.raw)
		}
		text, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		all[kind] = string(text)
	}
}

// TestDigitsToINFO has a target without telephone-events: it gets the caller's
// by INFO, and its INFO reaches the caller as telephone-events.
func TestDigitsToINFO(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{target: ", dtmf: info"})
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("digits_info", two.key()...)
	carrier := s.sippCarrier("caller_hangup", one.key()...)
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	words := speech(sim.Words(77)[:30*frame], 0x77)
	for i, digit := range []byte{5, 11} {
		at := uint16(200 + 10*i)
		one.talk(keypress(digit, at, uint32(20000+4000*i), 0x77), talk.toA)
	}
	one.talk(words, talk.toA)
	var got []string
	for _, m := range agent.received("INFO ", 2) {
		got = append(got, m.header("Content-Type")+" "+strings.SplitN(m.body(), "\r\n", 2)[0])
	}
	if want := []string{dtmfRelay + " Signal=5", dtmfRelay + " Signal=#"}; !slices.Equal(got, want) {
		t.Errorf("the agent got %q; want %q", got, want)
	}
	agent.sent("SIP/2.0 200", 3)
	if got := two.digits(); got != "" {
		t.Errorf("the agent got %q in its media", got)
	}
	agent.proceed(talk.id(agent))
	agent.received("SIP/2.0 200", 1)
	two.talk(speech(sim.Words(78)[:30*frame], 0x78), talk.toB)
	eventually(t, "the carrier gets the digit", func() bool { return one.digits() == "9" })
	carrier.proceed(talk.id(carrier))
	carrier.finish()
	agent.finish()
	b.finish(hungUpByCaller)
}

const dtmfRelay = "application/dtmf-relay"

// TestDigitsFromINFO has a caller without telephone-events send a digit by
// INFO, and a target that wants them.
func TestDigitsFromINFO(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{target: ", dtmf: rfc4733"})
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	carrier := s.sippCarrier("digits_info", one.key()...)
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	carrier.proceed(talk.id(carrier))
	carrier.final(2, "INFO")
	one.talk(speech(sim.Words(77)[:30*frame], 0x77), talk.toA)
	eventually(t, "the agent gets the digit", func() bool { return two.digits() == "*" })
	carrier.proceed(talk.id(carrier))
	carrier.finish()
	agent.finish()
	if n := len(agent.count(true, "INFO ")); n != 0 {
		t.Errorf("the agent got %d INFOs too", n)
	}
	b.finish(hungUpByCaller)
}
