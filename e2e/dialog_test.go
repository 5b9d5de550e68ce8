//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"flowbridge/sim"
)

// carrierPlays is sippCarrier with words replaced in the scenario.
func (s *stage) carrierPlays(scenario string, options []string, replace ...string) *sipp {
	s.Helper()
	options = append([]string{"-s", called}, options...)
	return s.sipp("carrier", scenario+"/uac.xml", s.freePort(s.carrier), append(options, s.server.sip.String()), replace...)
}

// agentPlays is sippAgent with words replaced in the scenario.
func (s *stage) agentPlays(scenario string, options []string, replace ...string) *sipp {
	s.Helper()
	return s.agentAt(s.agent, scenario, options, replace...)
}

// agentAt is agentPlays at another address.
func (s *stage) agentAt(at netip.AddrPort, scenario string, options []string, replace ...string) *sipp {
	s.Helper()
	a := s.sipp("agent", scenario+"/uas.xml", at, options, replace...)
	eventually(s.T, "the agent listens", func() bool { return a.ended() || bound(s.T, "udp", a.addr) })
	return a
}

// final waits for the final answer to a request of this SIPp's.
func (p *sipp) final(seq int, method string) message {
	p.t.Helper()
	var found message
	cseq := fmt.Sprintf("%d %s", seq, method)
	if !within(patience, func() bool {
		for _, m := range p.trace() {
			if m.received && m.header("CSeq") == cseq && strings.HasPrefix(m.raw, "SIP/2.0 ") && !strings.HasPrefix(m.raw, "SIP/2.0 1") {
				found = m
			}
		}
		return found.raw != "" || p.ended()
	}) || found.raw == "" {
		p.t.Fatalf("%s: no final answer to %s", p.name, cseq)
	}
	return found
}

// talk is the media of a call that is up, with SIPp on both sides.
type talk struct {
	*stage
	one, two       *phone // the carrier's and the agent's
	carrier, agent *sipp
	toA, toB       netip.AddrPort // where they send
	ids            map[*sipp]string
	bursts         uint32
	format         byte // of RTP
}

// talking waits until a call is up.
func (s *stage) talking(one, two *phone, carrier, agent *sipp) *talk {
	s.Helper()
	return s.talkingEarly(one, two, carrier, agent, carrier.received("SIP/2.0 200", 1)[0])
}

// talkingEarly is talking where the carrier had our SDP in another answer.
func (s *stage) talkingEarly(one, two *phone, carrier, agent *sipp, early message) *talk {
	s.Helper()
	k := &talk{stage: s, one: one, two: two, carrier: carrier, agent: agent}
	k.ids = map[*sipp]string{carrier: carrier.answered(1)[0], agent: agent.confirmed(1)[0]}
	var err error
	if k.toA, err = early.rtp(); err != nil {
		s.Fatal(err)
	}
	if k.toB, err = agent.received("INVITE ", 1)[0].rtp(); err != nil {
		s.Fatal(err)
	}
	return k
}

// id is the call's Call-ID on the side of a SIPp.
func (k *talk) id(p *sipp) string { return k.ids[p] }

// at is where a phone has to send.
func (k *talk) at(p *phone) netip.AddrPort {
	if p == k.one {
		return k.toA
	}
	return k.toB
}

// burst is a little speech of its own, in the one stream of a phone.
func (k *talk) burst(from *phone) [][]byte {
	k.bursts++
	ssrc := uint32(0xb001)
	if from == k.two {
		ssrc = 0xb002
	}
	packets := speech(sim.Words(uint64(k.bursts))[:10*frame], ssrc)
	for _, p := range packets {
		p[1] |= k.format
		binary.BigEndian.PutUint16(p[2:], binary.BigEndian.Uint16(p[2:])+uint16(k.bursts*10))
		binary.BigEndian.PutUint32(p[4:], binary.BigEndian.Uint32(p[4:])+k.bursts*1000*frame)
	}
	return packets
}

// says has one phone speak and waits until the other one hears all of it.
func (k *talk) says(from, to *phone) {
	k.Helper()
	packets, before := k.burst(from), len(to.heard())
	from.talk(packets, k.at(from))
	eventually(k.T, "what is said is heard", func() bool { return len(to.heard()) == before+len(packets) })
	all := to.heard()
	for i, a := range all[before:] {
		if a.data[1] != packets[i][1] || string(a.data[12:]) != string(packets[i][12:]) {
			k.Fatalf("packet %d is not what was sent", i)
		}
		if string(a.data[8:12]) != string(all[0].data[8:12]) {
			k.Fatalf("packet %d is of another stream than the first: % x, % x", i, a.data[:12], all[0].data[:12])
		}
		if last := all[before+max(i, 1)-1].data; i > 0 && (number(a.data) != number(last)+1 || binary.BigEndian.Uint32(a.data[4:])-binary.BigEndian.Uint32(last[4:]) != frame) {
			k.Fatalf("packet %d does not follow on the one before: % x, % x", i, a.data[:12], last[:12])
		}
	}
}

// number is an RTP packet's sequence number.
func number(packet []byte) uint16 { return binary.BigEndian.Uint16(packet[2:]) }

// both has both sides speak and be heard.
func (k *talk) both() {
	k.Helper()
	k.says(k.one, k.two)
	k.says(k.two, k.one)
}

// silent has one side speak, which the other one does not hear, and then that one.
func (k *talk) silent(from, to *phone) {
	k.Helper()
	before := len(to.heard())
	from.talk(k.burst(from), k.at(from))
	k.says(to, from)
	if n := len(to.heard()) - before; n != 0 {
		k.Errorf("%d packets reach the side that holds", n)
	}
}
