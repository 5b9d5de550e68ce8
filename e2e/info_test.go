//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"flowbridge/sim"
)

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
