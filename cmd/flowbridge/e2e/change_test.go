//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestCodecChange has the carrier go over to A-law while the agent is busy with a
// change of its own: it is asked twice, and takes it.
func TestCodecChange(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.agentPlays("change", two.key(), "@REFUSAL@", "491 Request Pending")
	carrier := s.carrierPlays("change", one.key(), "@STATUS@", "200")
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	carrier.proceed(talk.id(carrier))
	const pcma = " RTP/AVP 8 101\r\n"
	if answer := carrier.final(2, "INVITE"); !strings.Contains(answer.body(), pcma) {
		t.Errorf("the change is answered with %q; want %q", answer.body(), pcma)
	}
	talk.format = 8
	talk.both()
	carrier.leaves(agent, talk.id(carrier))
	invites := agent.received("INVITE ", 3)
	if len(invites) != 3 {
		t.Errorf("the agent got %d INVITEs; want 3", len(invites))
	}
	for _, m := range invites[1:] {
		if !strings.Contains(m.body(), pcma) || tag(m.header("To")) == "" {
			t.Errorf("the agent was asked\n%s\nwant %q", m.raw, pcma)
		}
		s.versions(invites[0], m)
	}
	s.hides(carrier, agent)
	if r := b.finish(hungUpByCaller)[0]; r.Codec != "PCMA" {
		t.Errorf("the record says %s; want PCMA", r.Codec)
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

// TestLateOffer has an INVITE without SDP: the answer to our offer comes with the ACK.
func TestLateOffer(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	carrier := s.sippCarrier("late_offer", one.key()...)
	talk := s.talking(one, two, carrier, agent)
	talk.reaches(two, one) // media before the answer in the ACK has no way
	talk.says(one, two)
	talk.says(two, one)
	carrier.leaves(agent, talk.id(carrier))
	if offer := agent.received("INVITE ", 1)[0].body(); !strings.Contains(offer, " RTP/AVP 0 8 101\r\n") {
		t.Errorf("the agent was offered %q; want 0 8 101", offer)
	}
	if r := b.finish(hungUpByCaller)[0]; r.Codec != "PCMU" {
		t.Errorf("the record says codec %q; want PCMU", r.Codec)
	}
}
