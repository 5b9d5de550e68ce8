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
	talk.reaches(two, moved) // which it does once the ACK is read
	talk.says(moved, two)
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
				talk.reaches(two, one) // media before the answer in the ACK has no way
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
