//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowbridge/media/audio"
)

// TestLatch has a carrier whose RTP comes from a port other than the one in its description.
func TestLatch(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"strict", "auto"} {
		t.Run(mode, func(t *testing.T) {
			s := newQuietStage(t)
			s.prepareCalls()
			b := s.serve(setup{trunk: ", media: {latch: " + mode + "}"})
			one, two := s.newSide(s.carrier, audio.ULaw, ""), s.newSide(s.platform, audio.ULaw, "")
			elsewhere := s.newSide(s.carrier, audio.ULaw, "")
			one.from = elsewhere.rtp
			call := s.converse(one, two)
			hers, his := reference(10, 3500*time.Millisecond), reference(11, 3500*time.Millisecond)
			call.both(hers, his)
			const proof = 3 // packets that prove a source; the last of them is relayed
			if mode == "auto" {
				two.awaits(length(hers) - proof + 1)
			} else {
				one.awaits(length(his))
				eventually(t, "the log says that the audio is one-way", func() bool { return b.oneWay() == "a" })
				eventually(t, "all that the carrier says has come", func() bool { return b.calls()[0].Media.A.Dropped == int64(length(hers)) })
			}
			call.hangUp()
			r := b.finish(hungUpByCaller)[0]
			m, n := r.Media, int64(length(hers))
			if mode == "strict" {
				one.heardAll(two, his)
				if len(two.hears())+len(elsewhere.hears()) != 0 || m.OneWay != "a" || m.A.DroppedBy.WrongSource != n || m.A.Dropped != n || m.A.Rx != 0 {
					t.Errorf("%d packets are heard, and %d from where the carrier does not listen; the record's media: %+v", len(two.hears()), len(elsewhere.hears()), m)
				}
				return
			}
			two.heardAll(one, hers[(proof-1)*frame:])
			// The agent's words go to the right place: to the address in the description until the source is
			// learned, and after that to the address that the carrier's packets come from.
			if heard := append(payloads(one.hears()), payloads(elsewhere.hears())...); !bytes.Equal(heard, codes(audio.ULaw, his)) || len(elsewhere.hears()) == 0 {
				t.Errorf("of %d packets the carrier gets %d where it said, and %d where it is", length(his), len(one.hears()), len(elsewhere.hears()))
			}
			if m.OneWay != "" || m.A.DroppedBy.Unproven != proof-1 || m.A.Dropped != proof-1 {
				t.Errorf("the record's media: %+v", m)
			}
		})
	}
}

// oneWay returns the side that is not heard according to the log.
func (s *server) oneWay() (side string) {
	s.t.Helper()
	for _, line := range s.output() {
		if !strings.Contains(line, `"message":"one-way audio"`) {
			continue
		}
		var entry struct{ Side string }
		must(s.t, json.Unmarshal([]byte(line), &entry))
		return entry.Side
	}
	return ""
}

// TestMux has a carrier with RTP and RTCP on one port (RFC 5761), and an agent
// with two.
func TestMux(t *testing.T) {
	s := newQuietStage(t)
	s.prepareCalls()
	b := s.serve(setup{})
	one, two := s.newSide(s.carrier, audio.ULaw, "", "a=rtcp-mux"), s.newSide(s.platform, audio.ULaw, "")
	call := s.converse(one, two)
	if body := call.carrier.received("SIP/2.0 200", 1)[0].body(); !strings.Contains(body, "\r\na=rtcp-mux\r\n") {
		t.Errorf("the carrier was answered\n%s", body)
	}
	if body := call.agent.received("INVITE ", 1)[0].body(); strings.Contains(body, "a=rtcp-mux") {
		t.Errorf("the agent was offered\n%s", body)
	}
	hers, his := reference(13, 2*time.Second), reference(14, 2*time.Second)
	call.both(hers, his)
	one.awaits(length(his))
	two.awaits(length(hers))
	above := netip.AddrPortFrom(two.at.Addr(), two.at.Port()+1)
	fromOne, fromTwo := senderReport(one.ssrc, "one"), senderReport(two.ssrc, "two")
	one.send(one.rtp, fromOne, one.at)
	two.send(two.rtcp, fromTwo, above)
	one.awaits(length(his) + 1)
	eventually(t, "the agent's RTCP port hears the carrier's report", func() bool { return len(two.heardRTCP()) == 1 })
	call.hangUp()
	r := b.finish(hungUpByCaller)[0]
	last := one.heard()[length(his)]
	if !bytes.Equal(last.data, fromTwo) || last.from != one.at || len(one.heardRTCP()) != 0 {
		t.Errorf("the carrier got the report %x from %v, and %d at its other port; want %x from %v", last.data, last.from, len(one.heardRTCP()), fromTwo, one.at)
	}
	if got := two.heardRTCP()[0]; !bytes.Equal(got.data, fromOne) || got.from != above {
		t.Errorf("the agent got the report %x from %v; want %x from %v", got.data, got.from, fromOne, above)
	}
	one.got = one.got[:length(his)]
	one.heardAll(two, his)
	two.heardAll(one, hers)
	s.counts(r, int64(length(hers)))
}
