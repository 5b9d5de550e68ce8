package calltest

import (
	"strings"
	"testing"
	"time"
)

// The 200 to a re-INVITE of ours gets its ACK (RFC 3261 section 13.2.2.4), also
// where our BYE has crossed it.
func TestReinviteAnsweredAfterBye(t *testing.T) {
	relayed := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: relay,", 1)
	inWorldWith(t, relayed, func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.reinvite(d, callerSDP())
		invite := w.agent2.expect("INVITE")
		w.carrier.bye(d)
		if ok := w.carrier.expect("SIP/2.0 200"); ok.value("CSeq") != "3 BYE" {
			t.Errorf("the BYE gets\n%s", ok.raw)
		}
		w.carrier.expect("SIP/2.0 487")
		w.carrier.ackOf(d, 2, "")
		bye := w.agent2.expect("BYE")
		w.agent2.concludes(invite, 200, "OK", "agent2", agentSDP())
		w.agent2.reply(bye, 200, "OK", "", "")
		w.record()
		w.carrier.drainFor(time.Minute)
	})
}

// RFC 3311 section 5.2: an UPDATE is answered in time, also where the other side
// does not answer the change. A change that it accepts too late is undone.
func TestUpdateDoesNotWaitForTheOtherSide(t *testing.T) {
	relayed := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: relay,", 1)
	inWorldWith(t, relayed, func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.within(d, "UPDATE", strings.Replace(callerSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1), sdpHeader("x")...)
		invite := w.agent2.progresses(100, "Trying", "", "")
		at := time.Now()
		w.carrier.expect("SIP/2.0 504")
		if waited := time.Since(at); waited > 30*time.Second {
			t.Errorf("it waited for %v", waited)
		}
		w.agent2.concludes(invite, 200, "OK", "agent2", strings.Replace(agentSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1))
		again := w.agent2.expect("INVITE")
		if !strings.Contains(again.raw, "RTP/AVP 0 101") && !strings.Contains(again.raw, "RTP/AVP 0 8 101") {
			t.Errorf("the session is not offered again:\n%s", again.raw)
		}
		w.agent2.concludes(again, 200, "OK", "agent2", agentSDP())
		w.callerEnds(w.agent2, d)
	})
}

// The caller hangs up before its 200 to our re-INVITE has come: that gets its ACK
// all the same.
func TestReinviteAnsweredAfterTheCall(t *testing.T) {
	relayed := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: relay,", 1)
	inWorldWith(t, relayed, func(w *world) {
		d, invite, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.agent2.agentSends("INVITE", invite, "agent2", 5, agentSDP())
		offer := w.carrier.expect("INVITE")
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.agent2.expect("SIP/2.0 487")
		w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "")
		w.carrier.concludes(offer, 200, "OK", "", callerSDP())
		w.carrier.expect("BYE") // of a dialog that is not known any more
		w.record()
		w.agent2.drainFor(time.Minute)
	})
}
