package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// toldUntyped returns how many lines of a call's ladder are about a missing Content-Type.
func (w *world) toldUntyped(id string) (n int) {
	w.drain(time.Minute) // the ladder is stored once its legs are gone
	for _, line := range lines(w.ladder(id)) {
		if strings.Contains(line, "answers without Content-Type") {
			n++
		}
	}
	return n
}

// A body without Content-Type in an answer counts as a session description if it begins like one. This holds for
// answers from either side and in any exchange.
func TestAnswerWithoutContentType(t *testing.T) {
	up := func(w *world, extra, sdp string) (*dialogue, received) {
		d := w.carrier.newCall("+15075785607")
		d.extra, d.sdp = extra, sdp
		w.carrier.invite(d)
		d.extra = ""
		d.learn(w.carrier.expect("SIP/2.0 180"))
		return d, w.agent.expect("INVITE")
	}
	for name, play := range map[string]func(w *world){
		"the target's 200": func(w *world) {
			w.agent.untyped = true
			w.callerHangsUp(w.talk(nil, nil).d)
		},
		"a reliable 183 and an empty 200": func(w *world) {
			w.agent.untyped = true
			d, in := up(w, "", callerSDP())
			w.agent.reply(in, 183, "Session Progress", "agent1", agentSDP(), "Require: 100rel", "RSeq: 7")
			w.agent.reply(w.agent.expect("PRACK"), 200, "OK", "", "")
			if m := w.carrier.expect("SIP/2.0 183"); len(m.Body()) == 0 {
				t.Errorf("no early media:\n%s", m.raw)
			}
			w.carrier.isTakenWith(w.agent, in, "agent1", d, "")
			w.callerHangsUp(d)
		},
		"the target's answer to a re-INVITE": func(w *world) {
			c := w.talk(nil, nil)
			w.agent.untyped = true
			seq := c.carrier.offers("INVITE", c.carrier.pcma())
			c.agent.takes(siptest.SessionAt("192.0.2.20", 44000, "8 101"))
			w.carrier.expect("SIP/2.0 200")
			c.carrier.acks(seq, "")
			w.callerHangsUp(c.d)
		},
		"the caller's ACK": func(w *world) {
			d, in := up(w, "", "")
			w.agent.takes(in, "agent1")
			w.carrier.expect("SIP/2.0 200")
			w.carrier.untyped = true
			w.carrier.ackOf(d, d.seq, callerSDP())
			synctest.Wait()
			w.callerHangsUp(d)
		},
		"the caller's PRACK": func(w *world) {
			d, in := up(w, "Supported: 100rel\n", "")
			w.agent.reply(in, 183, "Session Progress", "agent1", agentSDP())
			m := w.carrier.expect("SIP/2.0 183")
			w.carrier.untyped = true
			w.carrier.prack(d, m, callerSDP())
			w.carrier.isTakenBy(w.agent, in, "agent1", d)
			w.callerHangsUp(d)
		},
	} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			play(w)
			r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
			if n := w.toldUntyped(r.ID); n != 1 {
				w.t.Errorf("%d lines in the ladder", n)
			}
		})
	}
}

// An offer without Content-Type is refused (RFC 3261 section 8.2.3), in an INVITE, a re-INVITE and an UPDATE.
func TestOfferWithoutContentType(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.untyped = true
		w.carrier.invite(d)
		if m := w.carrier.expect("SIP/2.0 415"); m.value("Accept") == "" {
			t.Errorf("refused with\n%s", m.raw)
		}
		w.carrier.ackRefused(d)
		w.carrier.untyped = false
		c := w.talk(nil, nil)
		w.carrier.untyped = true
		c.carrier.changes("INVITE", sdpAt("192.0.2.10", 20010), "415")
		w.carrier.untyped = false
		c.hangsUp()
	})
}
