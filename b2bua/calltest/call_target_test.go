package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/store/record"
)

// Two forks of the target answer: one is the call, the other is acknowledged
// and hung up.
func TestForked200(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.established()
		w.agent.answer(invite, "fork2")
		ack := w.agent.expect("ACK")
		bye := w.agent.expect("BYE")
		if !strings.Contains(ack.value("To"), "tag=fork2") || !strings.Contains(bye.value("To"), "tag=fork2") {
			t.Errorf("the wrong fork was hung up:\n%s\n%s", ack.raw, bye.raw)
		}
		w.agent.reply(bye, 200, "OK", "", "")
		w.agent.answer(invite, "agent1") // our ACK was lost
		if again := w.agent.expect("ACK"); !strings.Contains(again.value("To"), "tag=agent1") {
			t.Errorf("ACK of the repeated 200:\n%s", again.raw)
		}
		w.agent.silent(time.Second)
		w.callerEnds(w.agent, d)
		time.Sleep(20 * time.Second)
		w.agent.answer(invite, "fork3") // nobody knows the call any more
		w.agent.expect("ACK")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		time.Sleep(20 * time.Second)
		w.agent.answer(invite, "fork4") // 64*T1 are over: no UAS waits for an ACK any more
		w.agent.silent(time.Minute)
	})
}

// A refusal that is repeated, because its ACK was lost, is acknowledged each
// time, also long after the call (RFC 3261 section 17.1.1.3).
func TestRepeatedRefusal(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		for i := range 50 {
			w.agent.reply(invite, 486, "Busy Here", "a", "")
			ack := w.agent.expect("ACK sip:+15075785607@192.0.2.20:32681 SIP/2.0")
			if message.BranchOf(ack.Message) != message.BranchOf(invite.Message) || ack.value("CSeq") != "1 ACK" ||
				ack.value("To") != invite.value("To")+";tag=a" || ack.value("From") != invite.value("From") {
				t.Fatalf("ACK number %d:\n%s", i+1, ack.raw)
			}
			synctest.Wait() // the transaction is gone: one that is just going may not answer
		}
		w.carrier.isRefused(d, "486")
		w.wantRecord("busy", cause.TargetBusy, record.EndedByAgent)
		time.Sleep(30 * time.Second)
		w.agent.concludes(invite, 486, "Busy Here", "a", "")
		time.Sleep(30 * time.Second)
		w.agent.reply(invite, 486, "Busy Here", "a", "")
		w.agent.silent(time.Second)
	})
}

// What a target answers beyond the offer does not reach the carrier, and
// streams are declined at their place whatever the answer's attributes say.
func TestAnswerIsHeldToTheOffer(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = strings.Replace(sdpAt("192.0.2.10", 20000), "m=audio", "m=video 20002 RTP/AVP 99\r\nm=audio", 1)
		invite := w.carrier.ringsAt(w.agent, d)
		answer := strings.NewReplacer("RTP/AVP 0 8 101", "RTP/AVP 18 0 101", "t=0 0\r\n", "t=0 0\r\na=lang:m=1\r\n").Replace(agentSDP())
		w.agent.concludes(invite, 200, "OK", "a", answer)
		ok := w.carrier.expect("SIP/2.0 200")
		if !strings.Contains(ok.raw, "a=lang:m=1\r\nm=video 0 RTP/AVP 99\r\nm=audio 10000 RTP/AVP 0 101\r\n") {
			t.Errorf("answer to the carrier:\n%s", ok.raw)
		}
		w.carrier.ack(d)
		w.callerHangsUp(d)
		if r := w.record(); r.Codec != "PCMU" {
			t.Errorf("codec %q", r.Codec)
		}
	})
}

// Early media is passed on in every mode, once; the 180 that the carrier has,
// or is not to have, becomes 183.
func TestEarlyMedia(t *testing.T) {
	for _, tt := range []struct {
		ringing, first, then string
		code                 int
	}{
		{"immediate", "SIP/2.0 180", "SIP/2.0 183", 180},
		{"immediate", "SIP/2.0 180", "SIP/2.0 183", 183},
		{"on-target", "", "SIP/2.0 180", 180},
		{"none", "", "SIP/2.0 183", 180},
	} {
		t.Run(tt.ringing+" "+tt.then, func(t *testing.T) {
			yaml := strings.Replace(testConfig, `targets: [agent]}`, `targets: [agent], ringing: `+tt.ringing+`}`, 1)
			inWorldWith(t, yaml, func(w *world) {
				d := w.carrier.dials("+15075785607")
				if tt.first != "" {
					w.carrier.expect(tt.first)
				}
				invite := w.agent.expect("INVITE")
				for range 3 {
					w.agent.reply(invite, tt.code, "Early", "a", agentSDP())
				}
				early := d.learn(w.carrier.expect(tt.then))
				if !strings.Contains(early.raw, "m=audio 10000 ") {
					t.Errorf("early media:\n%s", early.raw)
				}
				w.agent.reply(invite, 180, "Ringing", "a", "")
				w.carrier.silent(time.Second)
				w.agent.takes(invite, "a")
				if ok := w.carrier.expect("SIP/2.0 200"); string(ok.Body()) != string(early.Body()) {
					t.Errorf("the answer changed:\n%s\n%s", early.Body(), ok.Body())
				}
				w.carrier.ack(d)
				w.callerEnds(w.agent, d)
			})
		})
	}
}

// A header that is configured stands for ours of its name.
func TestConfiguredHeaderReplacesOurs(t *testing.T) {
	yaml := strings.Replace(testConfig, `X-Empty: "{{.Header \"X-None\"}}"`,
		`P-Asserted-Identity: "<sip:+18005550199@example.com>"
      User-Agent: "Contact Centre 7"`, 1)
	inWorldWith(t, yaml, func(w *world) {
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		for name, want := range map[string]string{
			"P-Asserted-Identity": "<sip:+18005550199@example.com>", "User-Agent": "Contact Centre 7",
		} {
			if all := invite.GetHeaders(name); len(all) != 1 || all[0].Value() != want {
				t.Errorf("%s: %v", name, all)
			}
		}
		w.carrier.isBusyAt(w.agent, invite, "a", d)
		w.record()
	})
}
