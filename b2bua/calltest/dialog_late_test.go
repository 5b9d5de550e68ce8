package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/internal/siptest"
	"flowbridge/store/record"
)

const can100rel = "Supported: 100rel\n"

// lateCall is an INVITE of the carrier without session description.
func (w *world) lateCall(to, extra string) (d *dialogue) {
	w.t.Helper()
	d = w.carrier.newCall(to)
	d.sdp, d.extra = "", extra
	w.carrier.invite(d)
	d.extra = ""
	return d
}

// RFC 3261 section 13.2.1: an INVITE without offer has the codecs of the target
// offered to it, in the 200, of the one that was chosen; its answer is in ACK.
func TestLateOffer(t *testing.T) {
	inWorldWith(t, talkYAML("", "codecs: [PCMA, PCMU]"), func(w *world) {
		d := w.lateCall("+15075785607", "")
		d.learn(w.carrier.expect("SIP/2.0 180"))
		in := w.agent.expect("INVITE")
		if !strings.Contains(in.raw, " RTP/AVP 8 0 101\r\n") {
			t.Errorf("the target was offered\n%s", in.raw)
		}
		w.agent.reply(in, 183, "Session Progress", "agent1", siptest.SessionAt("192.0.2.20", 30000, "8 101"))
		if early := w.carrier.expect("SIP/2.0 183"); len(early.Body()) > 0 {
			t.Errorf("an offer in a provisional answer that may be lost:\n%s", early.raw)
		}
		w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "8 101"))
		ok := w.carrier.expect("SIP/2.0 200")
		if !strings.Contains(ok.raw, " RTP/AVP 8 101\r\n") || !strings.Contains(ok.raw, "c=IN IP4 198.51.100.1") {
			t.Errorf("the caller was offered\n%s", ok.raw)
		}
		c := w.talkOf(d, in)
		w.carrier.ackOf(d, d.seq, siptest.SessionAt("192.0.2.10", 20000, "8 101"))
		if got := c.carrier.peer().RTP.String(); got != "192.0.2.10:20000" {
			t.Errorf("media goes to %s", got)
		}
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20002, "8 101", "a=sendonly"), "200")
		w.callerHangsUp(d)
		if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Codec != "PCMA" {
			t.Errorf("codec %s", r.Codec)
		}
	})
}

// RFC 3261 section 13.2.1: an ACK without answer, or one that was not offered,
// ends the call.
func TestLateOfferBadACK(t *testing.T) {
	for name, sdp := range map[string]string{
		"none": "", "another codec": siptest.SessionAt("192.0.2.10", 20000, "18"), "nonsense": "v=0\r\n", "no audio": siptest.SessionAt("192.0.2.10", 0, "0"),
		"no address": withoutAddress(siptest.SessionAt("192.0.2.10", 20000, "0")),
	} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			d := w.lateCall("+15075785607", "")
			d.learn(w.carrier.expect("SIP/2.0 180"))
			in := w.agent.expect("INVITE")
			w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			w.carrier.expect("SIP/2.0 200")
			w.carrier.ackOf(d, d.seq, sdp)
			c := w.talkOf(d, in)
			c.carrier.byeTo(cause.BadACK)
			c.agent.byeTo(cause.BadACK)
			w.wantRecord("answered", cause.BadACK, record.EndedBySystem)
		})
	}
}

// RFC 3262 section 5: with 100rel the offer is in the reliable 183, its answer
// in PRACK.
func TestLateOfferReliably(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.lateCall("+15075785607", can100rel)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		in := w.agent.progresses(183, "Session Progress", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		early := w.carrier.expect("SIP/2.0 183")
		if described(t, early).Speaks().Name != "PCMU" {
			t.Errorf("offer\n%s", early.raw)
		}
		w.carrier.prack(d, early, siptest.SessionAt("192.0.2.10", 20000, "0 101"))
		c := w.talkOf(d, in)
		if got := c.carrier.peer().RTP.String(); got != "192.0.2.10:20000" {
			t.Errorf("media goes to %s", got)
		}
		w.agent.concludes(in, 200, "OK", "agent1", "")
		if ok := w.carrier.expect("SIP/2.0 200"); len(ok.Body()) > 0 {
			t.Errorf("the 200 offers again:\n%s", ok.raw)
		}
		w.carrier.ack(d)
		synctest.Wait()
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20002, "0 101"), "200")
		c.hangsUp()
	})
}

// A PRACK without answer, or one that can't be used, ends the set-up.
func TestLateOfferBadPRACK(t *testing.T) {
	for name, sdp := range map[string]string{"none": "", "another codec": siptest.SessionAt("192.0.2.10", 20000, "18")} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			d := w.lateCall("+15075785607", can100rel)
			d.learn(w.carrier.expect("SIP/2.0 180"))
			in := w.agent.progresses(183, "Session Progress", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			w.carrier.prack(d, w.carrier.expect("SIP/2.0 183"), sdp)
			w.carrier.isRefused(d, "488")
			w.agent.takesCancel(in, "agent1")
			w.wantRecord("failed", cause.BadAnswer, record.EndedBySystem)
		})
	}
}

// The second target is offered its own codecs; those that the caller was told
// stay.
func TestLateOfferFailover(t *testing.T) {
	for _, early := range []bool{false, true} {
		inWorldWith(t, talkYAML("", "codecs: [PCMU, PCMA]"), func(w *world) {
			d := w.lateCall("+15085785607", can100rel)
			in := w.agent.expect("INVITE")
			if !strings.Contains(in.raw, " RTP/AVP 0 8 101\r\n") {
				t.Errorf("the first target was offered\n%s", in.raw)
			}
			if early {
				w.agent.reply(in, 183, "Session Progress", "a", siptest.SessionAt("192.0.2.20", 30000, "8 101"))
				m := w.carrier.expect("SIP/2.0 183")
				w.carrier.prack(d, m, siptest.SessionAt("192.0.2.10", 20000, "8 101"))
			}
			w.agent.concludes(in, 500, "Broken", "a", "")
			in = w.agent2.expect("INVITE")
			if !strings.Contains(in.raw, " RTP/AVP 8 101\r\n") {
				t.Errorf("the second target was offered\n%s", in.raw)
			}
			w.agent2.concludes(in, 200, "OK", "b", siptest.SessionAt("192.0.2.21", 30000, "8 101"))
			ok := d.learn(w.carrier.expect("SIP/2.0 200"))
			if (len(ok.Body()) == 0) != early {
				t.Errorf("early %v:\n%s", early, ok.raw)
			}
			if early {
				w.carrier.ack(d)
			} else {
				w.carrier.ackOf(d, d.seq, siptest.SessionAt("192.0.2.10", 20000, "8 101"))
			}
			synctest.Wait()
			w.callerEnds(w.agent2, d)
		})
	}
}

// RFC 3261 section 14.2: a re-INVITE without offer gets one of the session as it
// is, and the answer in its ACK counts; without one the call ends.
func TestLateReinvite(t *testing.T) {
	eachEnd(t, func(c *talk, e, far *end) {
		seq := e.offers("INVITE", "")
		ok := e.p.expect("SIP/2.0 200")
		if d := described(t0(c), ok); d.Speaks().Name != "PCMU" || d.Direction() != sdp.SendRecv || d.Connection() != "198.51.100.1" {
			t0(c).Errorf("offer\n%s", ok.raw)
		}
		far.changes("UPDATE", siptest.SessionAt(far.address, 40000, "0 101"), "200")
		e.changes("UPDATE", siptest.SessionAt(e.address, 40000, "0 101"), "491") // our offer has no answer
		e.acks(seq, siptest.SessionAt(e.address, 40002, "0 101", "a=inactive"))
		if p := e.peer(); p.RTP.Port() != 40002 || !p.Held {
			t0(c).Errorf("media %+v", p)
		}
		far.p.silent(time.Second)
		seq = e.offers("INVITE", "")
		e.p.expect("SIP/2.0 200")
		e.acks(seq, "")
		e.byeTo(cause.BadACK)
		far.byeTo(cause.BadACK)
		c.w.wantRecord("answered", cause.BadACK, record.EndedBySystem)
	})
}

// What a target is offered where the caller left that to us is no held call.
func TestLateOfferIsNotHeld(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = ""
		invite := w.carrier.ringsAt(w.agent, d)
		if strings.Contains(invite.raw, "a=sendonly") || strings.Contains(invite.raw, "0.0.0.0") {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		w.agent.takes(invite, "agent1")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.send(strings.Replace(d.request("ACK"), "Content-Length: 0\n\n", fmt.Sprintf("Content-Type: application/sdp\nContent-Length: %d\n\n%s",
			len(sdpAt("192.0.2.10", 20000)), sdpAt("192.0.2.10", 20000)), 1))
		synctest.Wait()
		w.callerEnds(w.agent, d)
	})
}
