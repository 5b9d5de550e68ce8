package b2bua

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
)

// What TestCallModel has found, as short as it can be.

// RFC 3261 section 9.2: the answers to a CANCEL and to its INVITE have the same
// To tag.
func TestCancelHasTheTagOfItsInvite(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		ringing := w.carrier.expect("SIP/2.0 180")
		w.carrier.cancel(d)
		cancelled := w.carrier.expect("SIP/2.0 200")
		if got, want := cancelled.value("To"), ringing.value("To"); got != want {
			t.Errorf("To of the CANCEL's answer %s; the INVITE's %s", got, want)
		}
		d.learn(w.carrier.expect("SIP/2.0 487"))
		w.carrier.ackRefused(d)
		w.wantRecord("cancelled", cause.CallerCancelled, "caller")
		w.agent.drainFor(time.Minute) // its INVITE has had no answer at all
	})
}

// RFC 6026 section 7.1: an INVITE that comes again when its 200 is acknowledged
// is no new one.
func TestRepeatedReinviteIsNotAnswered(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		seq := w.carrier.reinvite(d, d.sdp)
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		synctest.Wait()
		w.carrier.send(d.inDialog("INVITE", seq, d.sdp, sdpHeader(d.sdp)...))
		w.carrier.silent(time.Second)
		w.callerHangsUp(d)
		w.record()
	})
}

// A 200 that comes again after two re-INVITEs gets ACK: it is no fork that lost.
func TestRepeatedAnswerAfterReinvites(t *testing.T) {
	relayed := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: relay,", 1)
	inWorldWith(t, relayed, func(w *world) {
		d, invite, _ := w.answeredBySpare(callerSDP(), agentSDP())
		for range 2 {
			seq := w.carrier.reinvite(d, callerSDP())
			w.agent2.reply(w.agent2.expect("INVITE"), 200, "OK", "agent2", agentSDP())
			w.agent2.expect("ACK")
			w.carrier.expect("SIP/2.0 200")
			w.carrier.ackOf(d, seq, "")
			synctest.Wait()
		}
		w.agent2.reply(invite, 200, "OK", "agent2", agentSDP())
		if ack := w.agent2.expect("ACK"); ack.value("CSeq") != "1 ACK" {
			t.Errorf("it gets\n%s", ack.raw)
		}
		w.agent2.silent(time.Second)
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}

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
		w.agent2.reply(invite, 200, "OK", "agent2", agentSDP())
		w.agent2.expect("ACK")
		w.agent2.reply(bye, 200, "OK", "", "")
		w.record()
		w.carrier.drainFor(time.Minute)
	})
}

// A re-INVITE that comes again because our 200 was lost gets that again, also
// when its transaction is over (Timer L).
func TestReinviteAgainAfterTimerL(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		seq := w.carrier.reinvite(d, d.sdp)
		time.Sleep(5900 * time.Millisecond) // between two of our own repetitions
		for range 4 {
			w.carrier.expect("SIP/2.0 200")
		}
		w.carrier.send(d.inDialog("INVITE", seq, d.sdp, sdpHeader(d.sdp)...))
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		w.carrier.silent(10 * time.Second)
		w.callerHangsUp(d)
		w.record()
	})
}

// What the caller asked the agent gets an answer when the agent goes, because
// it has handed the caller over.
func TestTransferAnswersWhatTheAgentWasAsked(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		inWorldWith(t, transferConfig, func(w *world) {
			d, invite := w.established()
			w.carrier.within(d, "INFO", "", "Info-Package: x")
			w.agent.expect("INFO")
			w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <sip:bob@192.0.2.21:32681>", "Refer-Sub: false")
			w.agent.expect("SIP/2.0 202")
			called := w.agent2.expect("INVITE sip:bob@192.0.2.21:32681")
			if leaves {
				w.agent.agentRequest("BYE", invite, "agent1", 11)
				w.agent.expect("SIP/2.0 200")
				w.carrier.expect("SIP/2.0 480")
			}
			w.agent2.reply(called, 200, "OK", "bob", sdpAt("192.0.2.21", 41000))
			w.agent2.expect("ACK")
			if !leaves {
				w.carrier.expect("SIP/2.0 480")
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			}
			w.agent.drainFor(time.Minute) // INFO goes on
			w.carrier.bye(d)
			w.carrier.expect("SIP/2.0 200")
			w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "")
			w.record()
		})
	}
}

// A challenge to a PRACK is answered in its early dialog: CSeq goes on there.
func TestChallengedPRACK(t *testing.T) {
	yaml := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, rel100: supported, auth: {username: u, password_env: PW},", 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		w.agent2.reply(invite, 180, "Ringing", "agent2", "", "Require: 100rel", "RSeq: 1")
		prack := w.agent2.expect("PRACK")
		w.agent2.reply(prack, 401, "Unauthorized", "", "", `WWW-Authenticate: Digest realm="r", nonce="n"`)
		again := w.agent2.expect("PRACK")
		if got := prack.value("CSeq") + ", " + again.value("CSeq"); got != "2 PRACK, 3 PRACK" {
			t.Errorf("CSeq: %s", got)
		}
		w.agent2.reply(again, 200, "OK", "", "")
		w.agent2.reply(invite, 200, "OK", "agent2", agentSDP())
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		synctest.Wait()
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}

// RFC 3311 section 5.2: an UPDATE is answered in time, also where the other side
// does not say what it thinks of the change. What it takes too late is undone.
func TestUpdateDoesNotWaitForTheOtherSide(t *testing.T) {
	relayed := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: relay,", 1)
	inWorldWith(t, relayed, func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.within(d, "UPDATE", strings.Replace(callerSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1), sdpHeader("x")...)
		invite := w.agent2.expect("INVITE")
		w.agent2.reply(invite, 100, "Trying", "", "")
		at := time.Now()
		w.carrier.expect("SIP/2.0 504")
		if waited := time.Since(at); waited > 30*time.Second {
			t.Errorf("it waited for %v", waited)
		}
		w.agent2.reply(invite, 200, "OK", "agent2", strings.Replace(agentSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1))
		w.agent2.expect("ACK")
		again := w.agent2.expect("INVITE")
		if !strings.Contains(again.raw, "RTP/AVP 0 101") && !strings.Contains(again.raw, "RTP/AVP 0 8 101") {
			t.Errorf("the session is not offered again:\n%s", again.raw)
		}
		w.agent2.reply(again, 200, "OK", "agent2", agentSDP())
		w.agent2.expect("ACK")
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}

// RFC 4028: an UPDATE before the answer starts no session timer, which would
// have us send BYE to who has no final answer.
func TestEarlyUpdateStartsNoTimer(t *testing.T) {
	yaml := strings.Replace(testConfig, `{name: carrier,`, `{name: carrier, session_expires: 90s,`, 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		w.agent2.reply(invite, 180, "Ringing", "b", "")
		w.carrier.within(d, "UPDATE", "")
		if ok := w.carrier.expect("SIP/2.0 200"); ok.value("Session-Expires") != "" {
			t.Errorf("the UPDATE gets\n%s", ok.raw)
		}
		time.Sleep(59 * time.Second)
		w.agent2.reply(invite, 180, "Ringing", "b", "")
		w.agent2.reply(invite, 486, "Busy Here", "b", "")
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 486")
		w.carrier.ackRefused(d)
		w.record()
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
		w.carrier.reply(offer, 200, "OK", "", callerSDP())
		w.carrier.expect("ACK")
		w.carrier.expect("BYE") // of a dialog that is not known any more
		w.record()
		w.agent2.drainFor(time.Minute)
	})
}

// RFC 3264 section 8: the version in o= never goes back, not even where the
// session is refreshed after an offer that was refused.
func TestRefreshAfterRefusedOffer(t *testing.T) {
	yaml := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: relay, session_expires: 90s,", 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		w.agent2.reply(invite, 200, "OK", "agent2", agentSDP(), "Session-Expires: 90;refresher=uac", "Require: timer")
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		synctest.Wait()
		seq := w.carrier.reinvite(d, strings.Replace(callerSDP(), "RTP/AVP 0 8 101", "RTP/AVP 0 101", 1))
		w.agent2.reply(w.agent2.expect("INVITE"), 488, "Not Acceptable Here", "", "")
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		time.Sleep(20 * time.Second)
		refresh := w.agent2.expect("INVITE")
		first, _ := originVersion(string(invite.req().Body()))
		now, _ := originVersion(string(refresh.req().Body()))
		if a, _ := strconv.Atoi(first); now != strconv.Itoa(a+2) {
			t.Errorf("version %s after %s and one that was refused", now, first)
		}
		w.agent2.reply(refresh, 200, "OK", "", agentSDP(), "Session-Expires: 90;refresher=uac", "Require: timer")
		w.agent2.expect("ACK")
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}

// After our BYE nothing is sent in a dialog, not even what was challenged.
func TestChallengeAfterBye(t *testing.T) {
	yaml := strings.Replace(digitsConfig("relay"), "- {name: spare, kind: sip,", "- {name: spare, kind: sip, auth: {username: u, password_env: PW},", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.within(d, "INFO", "", "Info-Package: x")
		info := w.agent2.expect("INFO")
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.carrier.expect("SIP/2.0 487")
		bye := w.agent2.expect("BYE")
		w.agent2.reply(info, 401, "Unauthorized", "", "", `WWW-Authenticate: Digest realm="r", nonce="n"`)
		w.agent2.silent(400 * time.Millisecond)
		w.agent2.reply(bye, 200, "OK", "", "")
		w.record()
	})
}

// The version in o= grows as well where our offer is repeated after the peer's
// own, which it had to wait for.
func TestOfferAgainAfterThePeers(t *testing.T) {
	relayed := strings.Replace(testConfig, "- {name: spare, kind: sip,", "- {name: spare, kind: sip, reinvite: auto,", 1)
	inWorldWith(t, relayed, func(w *world) {
		d, invite, _ := w.answeredBySpare(callerSDP(), agentSDP())
		seq := w.carrier.reinvite(d, strings.Replace(callerSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1))
		w.agent2.reply(w.agent2.expect("INVITE"), 491, "Request Pending", "", "")
		w.agent2.expect("ACK")
		synctest.Wait() // the transaction acknowledges before the leg hears of it
		w.agent2.agentSends("INVITE", invite, "agent2", 5, agentSDP())
		ok := w.agent2.expect("SIP/2.0 200")
		w.agent2.agentRequest("ACK", invite, "agent2", 5)
		again := w.agent2.expect("INVITE")
		said, _ := originVersion(string(ok.res().Body()))
		now, _ := originVersion(string(again.req().Body()))
		if a, _ := strconv.Atoi(said); now != strconv.Itoa(a+1) {
			t.Errorf("version %s after %s", now, said)
		}
		w.agent2.reply(again, 200, "OK", "", strings.Replace(agentSDP(), "RTP/AVP 0 8 101", "RTP/AVP 8 101", 1))
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, seq, "")
		synctest.Wait()
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}

// A session description that a 200 leaves out, because there was one before, does
// not count as a version in o=.
func TestUnsaidAnswerIsNoVersion(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "Supported: 100rel\n"
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		w.agent2.reply(invite, 183, "Session Progress", "b", agentSDP())
		w.carrier.prack(d, w.carrier.expect("SIP/2.0 183"), "")
		hold := strings.Replace(callerSDP(), "a=sendrecv", "a=sendonly", 1)
		w.carrier.within(d, "UPDATE", hold, sdpHeader("x")...)
		early, _ := originVersion(string(w.carrier.expect("SIP/2.0 200").res().Body()))
		w.agent2.reply(invite, 200, "OK", "b", agentSDP())
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		synctest.Wait()
		w.carrier.within(d, "UPDATE", hold, sdpHeader("x")...)
		if now, _ := originVersion(string(w.carrier.expect("SIP/2.0 200").res().Body())); now != early {
			t.Errorf("version %s after %s of the same", now, early)
		}
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}
