package b2bua

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// What a target is offered where the caller left that to us is no held call.
func TestLateOfferIsNotHeld(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = ""
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		if strings.Contains(invite.raw, "a=sendonly") || strings.Contains(invite.raw, "0.0.0.0") {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.send(strings.Replace(d.request("ACK"), "Content-Length: 0\n\n", fmt.Sprintf("Content-Type: application/sdp\nContent-Length: %d\n\n%s",
			len(sdpAt("192.0.2.10", 20000)), sdpAt("192.0.2.10", 20000)), 1))
		synctest.Wait()
		w.callerHangsUp(d)
		w.record()
	})
}

// RFC 3264 section 8: an offer of ours has the m= lines that there were, in
// their order.
func TestOfferKeepsStreams(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = strings.Replace(callerSDP(), "m=audio", "m=video 30000 RTP/AVP 31\r\nm=audio", 1)
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
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
		w.callerHangsUp(d)
		w.record()
	})
}

// Re-INVITEs that are cancelled leave nothing with the wire.
func TestCancelledReinvitesAreForgotten(t *testing.T) {
	inWorldWith(t, strings.Replace(testConfig, "name: spare, kind: sip,", "name: spare, kind: sip, reinvite: relay,", 1), func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		for range 5 {
			seq := w.carrier.within(d, "INVITE", callerSDP(), sdpHeader("x")...)
			asked := w.agent2.expect("INVITE")
			text := strings.Replace(d.inDialog("INVITE", seq, ""), "INVITE sip:", "CANCEL sip:", 1)
			w.carrier.send(strings.Replace(text, fmt.Sprintf("CSeq: %d INVITE", seq), fmt.Sprintf("CSeq: %d CANCEL", seq), 1))
			w.carrier.expect("SIP/2.0 200")
			w.carrier.expect("SIP/2.0 487")
			ack := strings.Replace(d.inDialog("INVITE", seq, ""), "INVITE sip:", "ACK sip:", 1)
			w.carrier.send(strings.Replace(ack, fmt.Sprintf("CSeq: %d INVITE", seq), fmt.Sprintf("CSeq: %d ACK", seq), 1))
			w.agent2.reply(asked, 488, "Not Acceptable Here", "", "")
			w.agent2.expect("ACK")
			synctest.Wait()
		}
		l := w.server.registry.leg(d.toTag)
		n := inside(l.wire, "servers").Len()
		if n != 0 {
			t.Errorf("%d transactions are kept", n)
		}
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}

// A relayed SUBSCRIBE that the other side knows no usage for ends nothing (RFC
// 5057 section 5.1).
func TestSubscribeUnknown(t *testing.T) {
	inWorldWith(t, strings.Replace(digitsConfig("relay"), "[INFO, MESSAGE]", "[INFO, SUBSCRIBE]", 1), func(w *world) {
		d, _, _ := w.answeredBySpare(callerSDP(), agentSDP())
		w.carrier.within(d, "SUBSCRIBE", "", "Event: x")
		w.agent2.reply(w.agent2.expect("SUBSCRIBE"), 481, "No Such Subscription", "", "")
		w.carrier.expect("SIP/2.0 481")
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}

// Privacy holds for what passes within the dialog, too (RFC 3323 section 4.1).
func TestPrivacyWithinDialog(t *testing.T) {
	inWorldWith(t, strings.Replace(digitsConfig("relay"), `pass_headers: ["X-*"]`, `pass_headers: [P-Asserted-Identity, "X-*"]`, 1), func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "Privacy: id\n"
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		w.agent2.answer(invite, "agent2")
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		synctest.Wait()
		d.extra = ""
		w.carrier.within(d, "INFO", "", "P-Asserted-Identity: <sip:+15075550100@192.0.2.10>", "X-A: b")
		info := w.agent2.expect("INFO")
		if info.value("P-Asserted-Identity") != "" || info.value("X-A") != "b" {
			t.Errorf("INFO:\n%s", info.raw)
		}
		w.agent2.reply(info, 200, "OK", "", "")
		w.carrier.expect("SIP/2.0 200")
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}
