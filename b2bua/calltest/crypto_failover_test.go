package calltest

import (
	"bytes"
	"strings"
	"testing"

	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// A target with SRTP sends early media and fails. The next target has no SRTP and takes the
// call.
func TestFailoverFromSRTP(t *testing.T) {
	inWorldWith(t, talkYAML(bothSecured, "media: {srtp: required}"), func(w *world) {
		d := w.carrier.newCall("+15085785607")
		d.sdp = securedAt("192.0.2.10", 20000, cryptoAttr(1, gcm, 'a'))
		d.sdp = strings.Replace(d.sdp, "SAVP 0 101", "SAVP 8 101", 1)
		w.carrier.invite(d)
		in := w.agent.expect("INVITE")
		_, offered := cryptoOf(t, in)
		w.agent.reply(in, 183, "Session Progress", "agent1", strings.Replace(securedAt("192.0.2.20", 30000, cryptoAttr(1, gcm32, 'b')), "SAVP 0", "SAVP 8", 1))
		early := d.learn(w.carrier.expect("SIP/2.0 183"))
		toA := wantCrypto(t, early, "1", gcm)
		w.wantMedia(media.SideA, 'a', toA)
		l := offered["1"]
		w.wantMedia(media.SideB, 'b', &l.Keys)
		w.agent.concludes(in, 500, "Broken", "agent1", "")
		second := w.agent2.expect("INVITE")
		wantPlain(t, second)
		w.agent2.concludes(second, 200, "OK", "spare", siptest.SessionAt("192.0.2.21", 30000, "8 101"))
		if ok := w.carrier.expect("SIP/2.0 200"); !bytes.Equal(ok.Body(), early.Body()) {
			t.Errorf("the answer changed:\n%s\n%s", early.Body(), ok.Body())
		}
		w.carrier.ack(d)
		w.wantMedia(media.SideA, 'a', toA)
		w.wantMedia(media.SideB, 0, nil)
		if w.relay.sessions[0].exposed {
			t.Error("the first target got plain RTP")
		}
		w.callerEnds(w.agent2, d)
	})
}

// An agent with SRTP transfers the caller to a party without SRTP.
func TestTransferFromSRTP(t *testing.T) {
	yaml := strings.Replace(transferConfig, "transfer: local", "transfer: local\n    media: {srtp: required}", 1)
	yaml = strings.Replace(yaml, `uri: "sip:{{.To.Number}}@192.0.2.21:32681"}`, `uri: "sip:{{.To.Number}}@192.0.2.21:32681", media: {srtp: optional}}`, 1)
	inWorldWith(t, yaml, func(w *world) {
		d, in := w.carrier.callsAt(w.agent, "+15075785607")
		_, offered := cryptoOf(t, in)
		w.carrier.isTakenWith(w.agent, in, "agent1", d, securedAt("192.0.2.20", 30000, cryptoAttr(1, gcm32, 'b')))
		l := offered["1"]
		w.wantMedia(media.SideB, 'b', &l.Keys)
		w.agent.agentRequest("REFER", in, "agent1", 10, "Refer-To: <sip:4711@198.51.100.1>", "Refer-Sub: false")
		w.agent.expect("SIP/2.0 202")
		first := w.agent2.expect("INVITE") // SRTP first, then RTP if that is refused
		if proto, _ := cryptoOf(t, first); proto != "RTP/SAVP" {
			t.Errorf("offered:\n%s", first.raw)
		}
		w.agent2.concludes(first, 488, "Not Acceptable Here", "pbx1", "")
		second := w.agent2.expect("INVITE")
		wantPlain(t, second)
		w.agent2.concludes(second, 200, "OK", "pbx2", siptest.SessionAt("192.0.2.21", 40000, "0 101"))
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantMedia(media.SideB, 0, nil)
		s := w.relay.sessions[0]
		if s.exposed || s.peers[media.SideB].RTP.String() != "192.0.2.21:40000" {
			t.Errorf("exposed: %v; media goes to %v", s.exposed, s.peers[media.SideB].RTP)
		}
		w.callerEnds(w.agent2, d)
	})
}

// Ringback that we play ourselves is encrypted as well, with the keys of our answer.
func TestRingingOverSRTP(t *testing.T) {
	yaml := strings.ReplaceAll(talkYAML(bothSecured, ""), `targets: [agent]`, `targets: [agent], ringing: session-progress`)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = securedAt("192.0.2.10", 20000, cryptoAttr(1, gcm, 'a'))
		w.carrier.invite(d)
		early := d.learn(w.carrier.expect("SIP/2.0 183"))
		toA := wantCrypto(t, early, "1", gcm)
		w.wantMedia(media.SideA, 'a', toA)
		in := w.agent.expect("INVITE")
		wantPlain(t, in)
		w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		if k := wantCrypto(t, w.carrier.expect("SIP/2.0 200"), "1", gcm); !k.Same(toA) {
			t.Error("our key is another in the 200")
		}
		w.carrier.ack(d)
		w.wantMedia(media.SideA, 'a', toA)
		w.callerEnds(w.agent, d)
	})
}
