//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"flowbridge/sim"
)

// TestDigitsToINFO has a target without telephone-events. It gets the caller's digits by INFO, and
// its INFO reaches the caller as telephone-events.
func TestDigitsToINFO(t *testing.T) {
	s := newPreparedStage(t)
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
	carrier.leaves(agent, talk.id(carrier))
	b.finish(hungUpByCaller)
}

const dtmfRelay = "application/dtmf-relay"
