package calltest

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// RFC 3264 section 8: the version in o= never decreases, not even when a session timer
// refreshes the session after a refused offer.
func TestRefreshAfterRefusedOffer(t *testing.T) {
	yaml := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: relay, session_expires: 90s,", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, invite := w.carrier.callsAt(w.agent2, "+15095785607")
		w.carrier.isTakenWith(w.agent2, invite, "agent2", d, agentSDP(), "Session-Expires: 90;refresher=uac", "Require: timer")
		seq := w.carrier.reinvite(d, strings.Replace(callerSDP(), "RTP/AVP 0 8 101", "RTP/AVP 0 101", 1))
		w.agent2.concludes(w.agent2.expect("INVITE"), 488, "Not Acceptable Here", "", "")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		time.Sleep(20 * time.Second)
		refresh := w.agent2.expect("INVITE")
		first, _ := originVersion(string(invite.req().Body()))
		now, _ := originVersion(string(refresh.req().Body()))
		if a, _ := strconv.Atoi(first); now != strconv.Itoa(a+2) {
			t.Errorf("version %s after %s and one that was refused", now, first)
		}
		w.agent2.concludes(refresh, 200, "OK", "", agentSDP(), "Session-Expires: 90;refresher=uac", "Require: timer")
		w.callerEnds(w.agent2, d)
	})
}

// If our offer collides with the peer's own and is sent again later, the version in o=
// increases again.
func TestOfferAgainAfterThePeers(t *testing.T) {
	relayed := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: auto,", 1)
	inWorldWith(t, relayed, func(w *world) {
		d, invite, _ := w.answeredBySpare(callerSDP(), agentSDP())
		seq := w.carrier.reinvite(d, strings.Replace(callerSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1))
		w.agent2.concludes(w.agent2.expect("INVITE"), 491, "Request Pending", "", "")
		synctest.Wait() // the transaction sends the ACK before the leg gets the refusal
		w.agent2.agentSends("INVITE", invite, "agent2", 5, agentSDP())
		ok := w.agent2.expect("SIP/2.0 200")
		w.agent2.agentRequest("ACK", invite, "agent2", 5)
		again := w.agent2.expect("INVITE")
		said, _ := originVersion(string(ok.res().Body()))
		now, _ := originVersion(string(again.req().Body()))
		if a, _ := strconv.Atoi(said); now != strconv.Itoa(a+1) {
			t.Errorf("version %s after %s", now, said)
		}
		w.agent2.concludes(again, 200, "OK", "", strings.Replace(agentSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1))
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		synctest.Wait()
		w.callerEnds(w.agent2, d)
	})
}

// If our 200 has no session description, because an earlier answer had it, the version in
// o= does not increase.
func TestAnswerThatIsLeftOutIsNoVersion(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "Supported: 100rel\n"
		w.carrier.invitesTillRung(d)
		invite := w.agent2.progresses(183, "Session Progress", "b", agentSDP())
		w.carrier.prack(d, w.carrier.expect("SIP/2.0 183"), "")
		hold := strings.Replace(callerSDP(), "a=sendrecv", "a=sendonly", 1)
		w.carrier.within(d, "UPDATE", hold, sdpHeader("x")...)
		early, _ := originVersion(string(w.carrier.expect("SIP/2.0 200").res().Body()))
		w.carrier.isTakenWith(w.agent2, invite, "b", d, agentSDP())
		w.carrier.within(d, "UPDATE", hold, sdpHeader("x")...)
		if now, _ := originVersion(string(w.carrier.expect("SIP/2.0 200").res().Body())); now != early {
			t.Errorf("version %s after %s of the same", now, early)
		}
		w.callerEnds(w.agent2, d)
	})
}
