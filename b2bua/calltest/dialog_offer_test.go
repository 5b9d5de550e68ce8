package calltest

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/sim/siptest"
)

// bothEnds runs a test four times: for a change by the carrier and one by the agent, each
// with re-INVITE and UPDATE.
func bothEnds(t *testing.T, trunk, target string, test func(c *talk, e *end, method string)) {
	t.Helper()
	for _, method := range []string{"INVITE", "UPDATE"} {
		for _, who := range []string{"carrier", "agent"} {
			t.Run(method+"/"+who, func(t *testing.T) {
				inTalk(t, trunk, target, func(c *talk) {
					e := c.carrier
					if who == "agent" {
						e = c.agent
					}
					test(c, e, method)
				})
			})
		}
	}
}

// RFC 3264 sections 6.1 and 8.4, RFC 6337 section 5.3: if a side puts the call on hold, in
// any form, or resumes it, we answer with the mirrored direction. The media is held, and
// the other side gets no message. The version in o= increases by one with each change, and
// only then (section 8).
func TestHoldAndResume(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		var version uint64
		for i, step := range []struct {
			host   string
			port   int
			way    string
			answer sdp.Direction
			held   bool
			more   uint64 // how often the version was incremented
		}{
			{e.address, 40000, "sendrecv", sdp.SendRecv, false, 0},
			{e.address, 40000, "sendonly", sdp.RecvOnly, true, 1},
			{e.address, 40000, "sendonly", sdp.RecvOnly, true, 0},
			{e.address, 40000, "inactive", sdp.Inactive, true, 1},
			{"0.0.0.0", 40000, "sendrecv", sdp.SendRecv, true, 1},
			{"0.0.0.0", 40000, "inactive", sdp.Inactive, true, 1},
			{e.address, 40002, "recvonly", sdp.SendOnly, false, 1},
			{e.address, 40004, "sendrecv", sdp.SendRecv, false, 1},
			{"192.0.2.77", 40006, "sendrecv", sdp.SendRecv, false, 0},
		} {
			ok := e.changes(method, siptest.SessionAt(step.host, step.port, "0 101", "a="+step.way), "200")
			if got := described(t0(c), ok).Direction(); got != step.answer {
				t0(c).Errorf("step %d: %s was answered %s; want %s", i, step.way, got, step.answer)
			}
			if now := sdpVersion(t0(c), ok); i > 0 && now != version+step.more {
				t0(c).Errorf("step %d: version %d after %d; want %d more", i, now, version, step.more)
			}
			version = sdpVersion(t0(c), ok)
			want := netip.AddrPort{}
			if step.host != "0.0.0.0" {
				want = netip.AddrPortFrom(netip.MustParseAddr(step.host), uint16(step.port))
			}
			mute := step.way == "recvonly" || step.way == "inactive"
			if p := e.peer(); p.Held != step.held || p.Mute != mute || p.RTP != want {
				t0(c).Errorf("step %d: the media has %v, held %v, mute %v; want %v, %v, %v", i, p.RTP, p.Held, p.Mute, want, step.held, mute)
			}
		}
		c.other(e).p.silent(time.Second)
		if c.other(e).peer().Held {
			t0(c).Error("the other side is held, too")
		}
	})
}

func t0(c *talk) testing.TB { return c.w.t }

// RFC 3264 section 6: the answer has the m= lines of the offer, in their order;
// video, images and more audio are declined with port 0.
func TestOtherStreamsAreDeclined(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		offer := strings.Replace(siptest.SessionAt(e.address, 40000, "0 101"), "m=audio", "m=video 5000 RTP/AVP 99\r\nm=audio", 1) +
			"m=image 5004 udptl t38\r\nm=audio 5006 RTP/AVP 0\r\nm=audio 5008 RTP/SAVP 0\r\n"
		ok := e.changes(method, offer, "200")
		var lines []string
		for line := range strings.SplitSeq(ok.raw, "\r\n") {
			if strings.HasPrefix(line, "m=") {
				lines = append(lines, line)
			}
		}
		got := strings.Join(lines, "; ")
		if want := "m=video 0 RTP/AVP 99; m=audio 1000"; !strings.HasPrefix(got, want) {
			t0(c).Errorf("m= lines %s; want %s…", got, want)
		}
		if want := "m=image 0 udptl t38; m=audio 0 RTP/AVP 0; m=audio 0 RTP/SAVP 0"; !strings.HasSuffix(got, want) {
			t0(c).Errorf("m= lines %s; want …%s", got, want)
		}
	})
}

// RFC 3261 section 14.2: an unusable offer is refused, the session stays as it was, and the
// next change works. RFC 3264 section 8.2: an offer that removes the stream, or has only
// T.38, is refused as well.
func TestBadOffersInMidCall(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		before := e.peer()
		for _, bad := range []struct{ sdp, want string }{
			{"v=1\r\n", "400"},
			{"v=0\r\nnonsense\r\n", "400"},
			{siptest.SessionAt(e.address, 40000, "0 101") + strings.Repeat("a=x:"+strings.Repeat("y", 60)+"\r\n", 150), "400"},
			{withoutAddress(siptest.SessionAt(e.address, 40000, "0 101")), "400"},
			{siptest.SessionAt(e.address, 0, "0 101"), "488"},
			{siptest.SessionAt("2001:db8::7", 40000, "0 101"), "488"},
			{strings.Replace(siptest.SessionAt(e.address, 40000, "0"), "m=audio 40000 RTP/AVP 0", "m=image 40000 udptl t38", 1), "488"},
			{strings.Replace(siptest.SessionAt(e.address, 40000, "0"), "RTP/AVP", "RTP/SAVP", 1), "488"},
		} {
			e.changes(method, bad.sdp, bad.want)
		}
		if e == c.carrier {
			c.w.carrier.within(c.d, method, "hello", "Content-Type: text/plain")
			m := e.p.expect("SIP/2.0 415")
			if m.value("Accept") != message.AcceptedBodies {
				t0(c).Errorf("415 without Accept:\n%s", m.raw)
			}
			e.settlesRefused(method, m)
		}
		if !reflect.DeepEqual(e.peer(), before) {
			t0(c).Error("a refused offer changed the media")
		}
		e.changes(method, siptest.SessionAt(e.address, 40008, "0 101"), "200")
		if got := e.peer().RTP.Port(); got != 40008 {
			t0(c).Errorf("media goes to port %d; want 40008", got)
		}
	})
}

// RFC 3264 section 8: our offer has the same m= lines as before, in the same order, also if the caller heard our ringing.
func TestOfferKeepsStreams(t *testing.T) {
	for progress, ringing := range map[string]string{"180": "", "183": ", ringing: session-progress, ringback: eu"} {
		runIn(t, progress, strings.Replace(testConfig, "targets: [agent]", "targets: [agent]"+ringing, 1), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = strings.Replace(callerSDP(), "m=audio", "m=video 30000 RTP/AVP 31\r\nm=audio", 1)
			w.carrier.invite(d)
			w.carrier.expect("SIP/2.0 " + progress)
			w.carrier.isTakenBy(w.agent, w.agent.expect("INVITE"), "agent1", d)
			seq := w.carrier.within(d, "INVITE", "")
			ok := w.carrier.expect("SIP/2.0 200")
			var lines []string
			for line := range strings.SplitSeq(ok.raw, "\r\n") {
				if strings.HasPrefix(line, "m=") {
					lines = append(lines, strings.Join(strings.Fields(line)[:1], ""))
				}
			}
			if strings.Join(lines, " ") != "m=video m=audio" || !strings.Contains(ok.raw, "m=video 0 ") {
				t.Errorf("offer:\n%s", ok.raw)
			}
			w.carrier.ackOf(d, seq, strings.Replace(callerSDP(), "m=audio", "m=video 0 RTP/AVP 31\r\nm=audio", 1))
			w.callerEnds(w.agent, d)
		})
	}
}
