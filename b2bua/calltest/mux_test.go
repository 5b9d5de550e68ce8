package calltest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// RFC 5761 section 5.1.1: if a side offers a=rtcp-mux, our answer accepts it, and has no
// separate address for RTCP. The other side's session is independent of it.
func TestMuxIsAnswered(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		ok := e.changes(method, siptest.SessionAt(e.address, 40000, "0 101", "a=rtcp-mux", "a=rtcp:40009"), "200")
		if n := strings.Count(ok.raw, "a=rtcp-mux\r\n"); n != 1 || strings.Contains(ok.raw, "a=rtcp:") {
			t0(c).Errorf("a=rtcp-mux %d times, and a=rtcp is not wanted:\n%s", n, ok.raw)
		}
		if p := e.peer(); !p.Mux {
			t0(c).Errorf("the media was told %+v; want RTCP on the port of RTP", p)
		}
		if c.other(e).peer().Mux {
			t0(c).Error("the other side has it too")
		}
		ok = e.changes(method, siptest.SessionAt(e.address, 40000, "0 101", "a=rtcp:40009"), "200")
		if strings.Contains(ok.raw, "rtcp-mux") {
			t0(c).Errorf("answered to an offer without it:\n%s", ok.raw)
		}
		if p := e.peer(); p.Mux || p.RTCP.Port() != 40009 {
			t0(c).Errorf("the media was told %+v; want RTCP at 40009", p)
		}
	})
}

func TestMuxOfTheCaller(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=rtcp-mux")
		in := w.carrier.ringsAt(w.agent, d)
		if strings.Contains(in.raw, "rtcp-mux") {
			t.Errorf("offered to the target:\n%s", in.raw)
		}
		// The target's answer has a=rtcp-mux, although our offer had not.
		w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101", "a=rtcp-mux"))
		if ok := w.carrier.expect("SIP/2.0 200"); !strings.Contains(ok.raw, "a=rtcp-mux\r\n") {
			t.Errorf("not answered:\n%s", ok.raw)
		}
		w.carrier.ack(d)
		c := w.talkOf(d, in)
		if a, b := c.carrier.peer(), c.agent.peer(); !a.Mux || b.Mux {
			t.Errorf("mux %v, %v; want it for the caller alone", a.Mux, b.Mux)
		}
		// Our offer to the caller keeps a=rtcp-mux.
		seq := c.carrier.offers("INVITE", "")
		offer := w.carrier.expect("SIP/2.0 200")
		if !strings.Contains(offer.raw, "a=rtcp-mux\r\n") {
			t.Errorf("our offer takes it away:\n%s", offer.raw)
		}
		c.carrier.acks(seq, siptest.SessionAt("192.0.2.10", 20000, "0 101"))
		if c.carrier.peer().Mux {
			t.Error("the caller's answer does without it, and the media does not")
		}
		c.hangsUp()
	})
}

// The codec of a side's media is the one that was negotiated for the call, not the first
// one that the side offers.
func TestCodecOfAPeer(t *testing.T) {
	d, err := sdp.Parse([]byte(strings.Replace(siptest.SessionAt("192.0.2.10", 20000, "96 0 9"), "telephone-event/8000", "opus/48000/2", 1)))
	must(t, err)
	for name, want := range map[string]string{"PCMU": "PCMU 8000", "G722": "G722 8000", "OPUS": "OPUS 48000", "ILBC": "OPUS 48000"} {
		speaks := sdp.Codec{Name: name, Clock: 8000}
		if name == "OPUS" {
			speaks.Clock = 48000
		}
		p := agreement.PeerOf(d, speaks, netip.Addr{}, nil, config.LatchAuto)
		if got := fmt.Sprint(p.Codec, " ", p.ClockRate); got != want {
			t.Errorf("%s: got %s; want %s", name, got, want)
		}
	}
}
