//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// human is the number that callers are transferred to, and bob the user.
const human = "+15075550177"

// handover is a transfer by the agent.
type handover struct {
	to    string // Refer-To; @HOST@ stands for a host that the agent may name
	holds bool   // the agent holds the call first, and the caller is told
	by    string // which side hangs up in the end: carrier, or agent, which is then the human

	request string   // start of the human's INVITE
	headers []string // headers that the INVITE must have
	want    want
}

// transferred returns the record of a call that was transferred.
func transferred(w want, second try) want {
	w.attempts = append(slices.Clone(w.attempts), second)
	return w
}

// TestTransfer makes the agent transfer the caller to a party that takes the call. Audio flows between the caller and
// the new party. TestTransfers of calltest has the other possible outcomes.
func TestTransfer(t *testing.T) {
	t.Parallel()
	answered := try{"", 0, 200}
	toHuman := "INVITE sip:" + human + "@"
	for name, c := range map[string]handover{
		"sip_number": {
			to: "<sip:" + human + "@@B2BUA@?User-to-User=56a390f3%3Bencoding%3Dhex&X-Why=billing%20question&Via=evil>", by: "agent", request: toHuman,
			headers: []string{"User-to-User: 56a390f3;encoding=hex", "X-Why: billing question", "Referred-By: <sip:agent@e2e.example>"},
			want:    transferred(hungUpByAgent, answered),
		},
		"sip_host": {
			to: "<sip:bob@@HOST@?Replaces=1%40x%3Bto-tag%3D2%3Bfrom-tag%3D3>", by: "carrier", request: "INVITE sip:bob@",
			headers: []string{"Replaces: 1@x;to-tag=2;from-tag=3"},
			want:    transferred(hungUpByCaller, answered),
		},
		"held_before": {
			to: "<tel:" + human + ">", holds: true, by: "agent", request: toHuman,
			want: transferred(hungUpByAgent, answered),
		},
	} {
		t.Run(name, func(t *testing.T) { c.run(t) })
	}
}

// transfers lets the agent transfer to numbers, by the caller's trunk, and to a host.
func (s *stage) transfers(mode string, callee netip.AddrPort) setup {
	return setup{
		trunk:  fmt.Sprintf(`, uri: "sip:{{.To.Number}}@%v"`, callee),
		target: fmt.Sprintf(`, transfer: %s, transfer_numbers: ["^\\+1507"], transfer_hosts: ["%v"]`, mode, callee),
	}
}

// transferrer is the agent. It accepts reports at any time: two may come at once, which can't be written in a scenario.
func (s *stage) transferrer(options []string, replace ...string) *sipp {
	s.Helper()
	return s.agentPlays("transfer", append(options, "-aa"), replace...)
}

func (c *handover) run(t *testing.T) {
	s := newPreparedStage(t)
	calleeAt := s.freePort(s.stranger)
	o := s.transfers("local", calleeAt)
	if c.holds {
		o.target += ", reinvite: relay"
	}
	b := s.serve(o)
	one, two, three := s.newPhone(s.carrier), s.newPhone(s.platform), s.newPhone(s.stranger)
	callee := s.agentAt(calleeAt, "human", three.key(), "@BY@", c.by)
	to := strings.NewReplacer("@B2BUA@", b.sip.String(), "@HOST@", calleeAt.String()).Replace(c.to)
	agent := s.transferrer(two.key(), "@TO@", to, "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", "false", "@HOLDS@", fmt.Sprint(c.holds))
	waits := "agent_hangup"
	switch {
	case c.by == "carrier":
		waits = "caller_hangup"
	case c.holds:
		waits = "held"
	}
	carrier := s.carrierPlays(waits, one.key(), "@ANSWER@", `"recvonly"`)
	talk := s.talking(one, two, carrier, agent)
	talk.both()

	agent.proceed(talk.id(agent))
	invite := callee.received("INVITE ", 1)[0]
	if c.holds {
		talk.silent(one, two)
	} else {
		talk.both() // the caller is with the agent until the new party answers
	}
	id := invite.header("Call-ID")
	callee.proceed(id)
	c.checkInvite(t, invite)
	callee.received("ACK ", 1)
	talk.two = three
	var err error
	talk.toB, err = invite.rtp()
	must(t, err)
	agent.received("BYE ", 1)
	if c.holds {
		carrier.received("ACK ", 2) // the carrier is no longer held
	}
	talk.both()
	switch c.by {
	case "carrier":
		carrier.proceed(talk.id(carrier))
	case "agent":
		callee.proceed(id)
	}
	carrier.finish()
	agent.finish()
	callee.finish()
	c.checkReports(t, agent)
	for _, p := range []*sipp{agent, callee} {
		for _, m := range p.count(true, "") {
			if strings.Contains(m.raw, s.carrier.String()) {
				t.Errorf("%s has seen the carrier's address:\n%s", p.name, m.raw)
			}
		}
	}
	r := b.finish(c.want)[0]
	if second := r.Attempts[1]; second.Reason != "transfer" {
		t.Errorf("the second attempt is %+v", second)
	}
}

// checkInvite checks the INVITE to the human.
func (c *handover) checkInvite(t *testing.T, invite message) {
	t.Helper()
	if !strings.HasPrefix(invite.raw, c.request) {
		t.Errorf("the human is called by %q; want %q", invite.first(), c.request)
	}
	for _, h := range append(c.headers, "P-Asserted-Identity: <sip:"+caller+"@") {
		if !strings.Contains(invite.raw, "\r\n"+h) {
			t.Errorf("no %q in\n%s", h, invite.raw)
		}
	}
	if strings.Contains(invite.raw, "evil") || strings.Contains(invite.raw, "X-EI") {
		t.Errorf("what the human should not have:\n%s", invite.raw)
	}
}

// checkReports checks the NOTIFYs to the agent.
func (c *handover) checkReports(t *testing.T, agent *sipp) {
	t.Helper()
	var got []string
	reports := []string{"100 Trying", "180 Ringing", "200 OK"}
	notifies := agent.count(true, "NOTIFY ")
	for i, m := range notifies {
		got = append(got, strings.TrimPrefix(strings.TrimSpace(m.body()), "SIP/2.0 "))
		state := "active"
		if i == len(reports)-1 {
			state = "terminated"
		}
		if m.header("Content-Type") != "message/sipfrag;version=2.0" || m.header("Event") != "refer" || !strings.HasPrefix(m.header("Subscription-State"), state) {
			t.Errorf("report %d of %d:\n%s", i+1, len(reports), m.raw)
		}
	}
	if !slices.Equal(got, reports) {
		t.Errorf("the agent was told %q; want %q", got, reports)
	}
	accepted := agent.received("SIP/2.0 202", 1)[0]
	if accepted.header("Refer-Sub") == "false" || accepted.header("Contact") == "" {
		t.Errorf("accepted with\n%s", accepted.raw)
	}
}
