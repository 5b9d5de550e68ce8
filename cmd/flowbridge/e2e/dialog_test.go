//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"flowbridge/sim"
)

// carrierPlays is like sippCarrier, with words replaced in the scenario.
func (s *stage) carrierPlays(scenario string, options []string, replace ...string) *sipp {
	s.Helper()
	options = append([]string{"-s", called}, options...)
	return s.sipp("carrier", scenario+"/uac.xml", s.freePort(s.carrier), append(options, s.server.sip.String()), replace...)
}

// agentPlays is like sippAgent, with words replaced in the scenario.
func (s *stage) agentPlays(scenario string, options []string, replace ...string) *sipp {
	s.Helper()
	return s.agentAt(s.agent, scenario, options, replace...)
}

// agentAt is like agentPlays, at another address.
func (s *stage) agentAt(at netip.AddrPort, scenario string, options []string, replace ...string) *sipp {
	s.Helper()
	a := s.sipp("agent", scenario+"/uas.xml", at, options, replace...)
	eventually(s.T, "the agent listens", func() bool { return a.ended() || bound(s.T, "udp", a.addr) })
	return a
}

// final waits for the final answer to a request of this SIPp.
func (p *sipp) final(seq int, method string) message {
	p.t.Helper()
	var found message
	cseq := fmt.Sprintf("%d %s", seq, method)
	if !within(patience, func() bool {
		ended := p.ended() // read first, because the last message may come with the end
		for _, m := range p.trace() {
			if m.received && m.header("CSeq") == cseq && strings.HasPrefix(m.raw, "SIP/2.0 ") && !strings.HasPrefix(m.raw, "SIP/2.0 1") {
				found = m
			}
		}
		return found.raw != "" || ended
	}) || found.raw == "" {
		p.t.Fatalf("%s: no final answer to %s", p.name, cseq)
	}
	return found
}

// talk is the media of a call that is up, with SIPp on both sides.
type talk struct {
	*stage
	one, two       *phone // the carrier's phone and the agent's
	carrier, agent *sipp
	toA, toB       netip.AddrPort // addresses that they send to
	ids            map[*sipp]string
	bursts         uint32
	format         byte              // payload type of RTP
	said           map[*phone]uint32 // number of bursts
	first          map[bool]*phone   // the first phone that spoke: true for the carrier's side, false for the other
}

// talking waits until a call is up.
func (s *stage) talking(one, two *phone, carrier, agent *sipp) *talk {
	s.Helper()
	return s.talkingEarly(one, two, carrier, agent, carrier.received("SIP/2.0 200", 1)[0])
}

// talkingEarly is like talking, but takes our SDP from an early response, such as a 183, instead of the 200.
func (s *stage) talkingEarly(one, two *phone, carrier, agent *sipp, early message) *talk {
	s.Helper()
	k := &talk{stage: s, one: one, two: two, carrier: carrier, agent: agent, said: map[*phone]uint32{}, first: map[bool]*phone{}}
	k.ids = map[*sipp]string{carrier: carrier.answered(1)[0], agent: agent.confirmed(1)[0]}
	var err error
	k.toA, err = early.rtp()
	must(s, err)
	k.toB, err = agent.received("INVITE ", 1)[0].rtp()
	must(s, err)
	return k
}

// id returns the call's Call-ID on the side of a SIPp.
func (k *talk) id(p *sipp) string { return k.ids[p] }

// at returns the address that a phone must send to.
func (k *talk) at(p *phone) netip.AddrPort {
	if p == k.one {
		return k.toA
	}
	return k.toB
}

// burst returns a short piece of speech, different each time, in a phone's one stream. It continues
// after everything the phone has sent, whether that was received or not.
func (k *talk) burst(from *phone) [][]byte {
	const length, pause = 10, 50 // packets
	k.bursts++
	packets := speech(sim.Words(uint64(k.bursts))[:length*frame], 0xb000+uint32(local(from.rtp).Port()))
	for _, p := range packets {
		p[1] |= k.format
		binary.BigEndian.PutUint16(p[2:], binary.BigEndian.Uint16(p[2:])+uint16(k.said[from]*length))
		binary.BigEndian.PutUint32(p[4:], binary.BigEndian.Uint32(p[4:])+k.said[from]*(length+pause)*frame)
	}
	k.said[from]++
	return packets
}

// says makes one phone speak and waits until the other one has received all of it. The first phone
// of a side is relayed unchanged. A phone that takes its place continues the stream that the other
// side hears.
func (k *talk) says(from, to *phone) {
	k.Helper()
	packets, before := k.burst(from), len(to.heard())
	from.talk(packets, k.at(from))
	eventually(k.T, "what is said is heard", func() bool { return len(to.heard()) == before+len(packets) })
	if k.first[from == k.one] == nil {
		k.first[from == k.one] = from
	}
	asItIs, heard := k.first[from == k.one] == from, to.heard()
	for i, a := range heard[before:] {
		got, sent := a.data, packets[i]
		switch {
		case asItIs:
			if !bytes.Equal(got, sent) {
				k.Fatalf("packet %d is %x; want %x", i, got, sent)
			}
		case !bytes.Equal(got[:2], sent[:2]) || !bytes.Equal(got[12:], sent[12:]):
			k.Fatalf("packet %d is %x; want what is in %x", i, got, sent)
		case before+i > 0 && !follows(got, heard[before+i-1].data):
			k.Fatalf("packet %d is %x: it does not follow %x", i, got, heard[before+i-1].data)
		case i > 0 && timestamp(got)-timestamp(heard[before+i-1].data) != frame:
			k.Fatalf("packet %d is %x: its timestamp does not follow that of %x", i, got, heard[before+i-1].data)
		}
	}
}

// follows reports whether an RTP packet is the next one of a stream.
func follows(next, last []byte) bool {
	return bytes.Equal(next[8:12], last[8:12]) && binary.BigEndian.Uint16(next[2:]) == binary.BigEndian.Uint16(last[2:])+1 &&
		int32(timestamp(next)-timestamp(last)) > 0
}

// timestamp returns the timestamp of an RTP packet.
func timestamp(packet []byte) uint32 { return binary.BigEndian.Uint32(packet[4:]) }

// both makes both sides speak, and checks that they are heard.
func (k *talk) both() {
	k.Helper()
	k.says(k.one, k.two)
	k.says(k.two, k.one)
}

// silent makes one side speak, which the other side must not hear. Then it makes the other side
// speak.
func (k *talk) silent(from, to *phone) {
	k.Helper()
	before := len(to.heard())
	from.talk(k.burst(from), k.at(from))
	k.says(to, from)
	if n := len(to.heard()) - before; n != 0 {
		k.Errorf("%d packets reach the side that holds", n)
	}
}
