//go:build e2e

package e2e

import (
	"bytes"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// likeness is the minimum score of sim.Match for the same sound.
const likeness = 0.9

// TestCall makes a carrier call the simulator. The caller hears the greeting, and its own words
// come back byte by byte.
func TestCall(t *testing.T) {
	s := newStage(t)
	platform := s.simulate()
	b := s.serve(setup{})
	phone := s.newPhone(s.carrier)
	carrier := s.sippCarrier("caller_hangup", phone.key()...)
	ids := carrier.answered(1)
	to := carrier.rtpOf("SIP/2.0 200", 1)
	if to.Addr() != s.b2bua {
		t.Errorf("the carrier is to send its RTP to %v; want an address of the B2BUA, %v", to, s.b2bua)
	}
	words := sim.Words(uint64(s.b2bua.As4()[3]))
	phone.talk(speech(words, 0xca11), to)
	live := b.calls()
	if len(live) != 1 || live[0].Phase != "bridged" || live[0].SIPCallID != ids[0] {
		t.Fatalf("live calls: %+v; want one that is bridged, with Call-ID %s", live, ids[0])
	}
	said, greeting := codes(audio.ULaw, words), codes(audio.ULaw, sim.Greeting(live[0].SynthflowCallID))
	eventually(t, "all words have come to the B2BUA", func() bool { return b.calls()[0].Media.A.Rx == int64(len(words)/frame) })
	eventually(t, "the greeting and some of the echo are heard", func() bool {
		heard := phone.payloads()
		return compare(said, heard[min(len(greeting), len(heard)):]).known >= 100
	})
	carrier.proceed(ids...)
	carrier.finish()
	r := b.finish(hungUpByCaller)[0]

	eventually(t, "the carrier has all that was sent to it", func() bool { return int64(len(phone.heard())) >= r.Media.A.Tx })
	heard := phone.payloads()
	if !bytes.HasPrefix(heard, greeting) {
		t.Errorf("the greeting is not what the carrier heard first: %+v", compare(greeting, heard))
	}
	isHeard(t, "the caller's words", said, heard[min(len(greeting), len(heard)):], 100)
	if d := phone.quickest(said); d < 595*time.Millisecond { // the echo is delayed by 600 ms
		t.Errorf("the caller's words come back after %v; want 600 ms and more", d)
	}
	if r.From != caller || r.To != called || r.Codec != "PCMU" || r.Target != "synthflow" || r.Route != "routes[0]" {
		t.Errorf("the record says %+v", r)
	}
	if n := int64(len(words) / frame); r.Media.A.Rx != n || r.Media.B.Tx != n {
		t.Errorf("%d packets from the carrier, %d to the agent; want %d", r.Media.A.Rx, r.Media.B.Tx, n)
	}
	if n := int64(len(phone.heard())); r.Media.A.Tx != n || r.Media.B.Rx != n {
		t.Errorf("%d packets from the agent, %d to the carrier, which got %d", r.Media.B.Rx, r.Media.A.Tx, n)
	}
	eventually(t, "the agent says that the caller hung up", func() bool { _, ok := platform.find("by=caller"); return ok })
}

// TestRelay has SIPp on both sides and compares every packet: RTP, key presses and RTCP must pass
// unchanged in both directions.
func TestRelay(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	n := s.relayed(8000, func() {})
	s.counts(b.finish(hungUpByCaller)[0], n)
}

// relayed makes a call between two SIPps, and relays this many samples of speech in each direction,
// while during runs. It returns the number of packets in each direction.
func (s *stage) relayed(samples int, during func()) int64 {
	s.Helper()
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	carrier := s.sippCarrier("caller_hangup", one.key()...)
	ids := carrier.answered(1)
	agent.confirmed(1)
	n := s.relaysWhile(one, two, carrier, agent, samples, during)
	carrier.leaves(agent, ids...)
	return n
}

// relays makes both sides of a call that is up speak, press a key and send RTCP, and compares the
// packets that arrive. It returns the number of packets of each side.
func (s *stage) relays(one, two *phone, carrier, agent *sipp) int64 {
	s.Helper()
	return s.relaysWhile(one, two, carrier, agent, 8000, func() {})
}

// relaysWhile is like relays, with this many samples of speech, while during runs.
func (s *stage) relaysWhile(one, two *phone, carrier, agent *sipp, samples int, during func()) int64 {
	s.Helper()
	toA := carrier.rtpOf("SIP/2.0 200", 1)
	toB := agent.rtpOf("INVITE ", 1)
	ways := []*way{
		{from: one, to: two, at: toA, expectFrom: toB, name: "to the agent", ssrc: 0xa1, digit: 5},
		{from: two, to: one, at: toB, expectFrom: toA, name: "to the carrier", ssrc: 0xb2, digit: 11},
	}
	for _, w := range ways {
		words := sim.Words(uint64(w.ssrc))
		for len(words) < samples {
			words = append(words, words...)
		}
		w.packets = append(speech(words[:samples], w.ssrc), keypress(w.digit, uint16(samples/frame+100), uint32(samples+4160), w.ssrc)...)
		w.report = senderReport(w.ssrc, "e2e")
		w.from.send(w.from.rtcp, w.report, netip.AddrPortFrom(w.at.Addr(), w.at.Port()+1))
	}
	var speaking sync.WaitGroup
	for _, w := range ways {
		speaking.Go(func() { w.from.talk(w.packets, w.at) })
	}
	during()
	speaking.Wait()
	for _, w := range ways {
		eventually(s.T, "RTP and RTCP have come "+w.name, func() bool {
			w.gotRTP, w.gotReports = w.to.heard(), w.to.heardRTCP()
			return len(w.gotRTP) >= len(w.packets) && len(w.gotReports) >= 1
		})
		w.compare(s.T)
	}
	return int64(len(ways[0].packets))
}

// counts checks that all counts of a record are n packets.
func (s *stage) counts(r record.Record, n int64) {
	s.Helper()
	if m := r.Media; m.A.Rx != n || m.A.Tx != n || m.B.Rx != n || m.B.Tx != n || m.A.Lost+m.B.Lost+m.A.Dropped+m.B.Dropped != 0 {
		s.Errorf("the record counts %+v; want %d packets everywhere and none lost", m, n)
	}
}

// way is one direction of a call's media.
type way struct {
	from, to           *phone
	at                 netip.AddrPort // address that the sender sends to
	expectFrom         netip.AddrPort // address of its peer as the receiver knows it
	packets            [][]byte
	report             []byte
	name               string
	ssrc               uint32
	digit              byte
	gotRTP, gotReports []arrival
}

// compare checks that every packet arrived as it was sent, from the address in the SDP.
func (w *way) compare(t *testing.T) {
	t.Helper()
	w.compareRTP(t)
	above := netip.AddrPortFrom(w.expectFrom.Addr(), w.expectFrom.Port()+1)
	if a := w.gotReports[0]; len(w.gotReports) != 1 || !bytes.Equal(a.data, w.report) || a.from != above {
		t.Errorf("%d reports %s, the first %x from %v; want %x from %v", len(w.gotReports), w.name, a.data, a.from, w.report, above)
	}
}

func (w *way) compareRTP(t *testing.T) {
	t.Helper()
	for i, a := range w.gotRTP {
		if i >= len(w.packets) || !bytes.Equal(a.data, w.packets[i]) {
			t.Errorf("packet %d %s is not what was sent: %x", i, w.name, a.data)
			return
		}
		if a.from != w.expectFrom {
			t.Errorf("packet %d %s comes from %v; want %v", i, w.name, a.from, w.expectFrom)
			return
		}
	}
}

// hides checks that neither side has seen the other's address.
func (s *stage) hides(carrier, agent *sipp) {
	s.Helper()
	for _, m := range carrier.count(true, "") {
		if strings.Contains(m.raw, s.platform.String()) {
			s.Errorf("the carrier has seen the agent's address:\n%s", m.raw)
		}
	}
	for _, m := range agent.count(true, "") {
		if strings.Contains(m.raw, s.carrier.String()) {
			s.Errorf("the agent has seen the carrier's address:\n%s", m.raw)
		}
	}
}

// tag returns the tag of a From or To value.
func tag(value string) string {
	_, after, _ := strings.Cut(value, ";tag=")
	t, _, _ := strings.Cut(after, ";")
	return t
}
