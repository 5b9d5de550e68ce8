package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/sdp"
	"flowbridge/store/record"
)

// A target that says nothing is given up after first_response_timeout; what
// it says later is seen to.
func TestSilentTarget(t *testing.T) {
	for name, late := range map[string]func(w *world, invite received){
		"for ever": func(*world, received) {},
		"late 180": func(w *world, invite received) {
			w.agent.reply(invite, 180, "Ringing", "a", "")
			w.agent.takesCancel(invite, "a")
		},
		"late 200": func(w *world, invite received) {
			w.agent.takes(invite, "a")
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		},
	} {
		runIn(t, name, testConfig, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			begin := time.Now()
			w.carrier.invitesTillRung(d)
			w.carrier.isRefused(d, "503")
			if got := time.Since(begin); got != 4*time.Second {
				w.t.Errorf("503 after %v; want 4s", got)
			}
			var invite received
			for _, m := range w.agent.rest() {
				invite = m
			}
			r := w.wantRecord("failed", cause.TargetSilent, record.EndedBySystem)
			if len(r.Attempts) != 1 || r.Attempts[0].Cause != string(cause.TargetSilent) {
				w.t.Errorf("attempts %+v", r.Attempts)
			}
			late(w, invite)
			time.Sleep(time.Minute)
			for _, m := range w.agent.rest() { // the INVITE goes on being sent until its transaction times out
				if m.value("CSeq") != "1 INVITE" {
					w.t.Errorf("unexpected:\n%s", m.raw)
				}
			}
		})
	}
}

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

// A call that comes to nothing ends with what its only target said, or with 503, or 404 without a route.
func TestTargetRefuses(t *testing.T) {
	refused := func(code int, reason string) func(w *world) {
		return func(w *world) { w.agent.concludes(w.agent.expect("INVITE"), code, reason, "a", "") }
	}
	for _, tt := range []struct {
		name, called, want string
		play               func(w *world)
		disposition        string
		cause              cause.Cause
		by                 string
	}{
		{"busy", "+15075785607", "486 Busy Here", refused(486, "Busy Here"), "busy", cause.TargetBusy, record.EndedByAgent},
		{"not found", "+15075785607", "404 No Such Number", refused(404, "No Such Number"), "failed", cause.TargetRefused, record.EndedByAgent},
		{"error", "+15075785607", "503 Service Unavailable", refused(500, "Broken"), "failed", cause.TargetError, record.EndedBySystem},
		{"declined", "+15075785607", "603 Decline", refused(603, "Decline"), "failed", cause.TargetRefused, record.EndedByAgent},
		{"not prepared", "+15075785607", "503", nothing, "failed", cause.PrepareRefused, record.EndedBySystem},
		{"no route", "+49301234567", "404", nothing, "failed", cause.NoRoute, record.EndedBySystem},
	} {
		runIn(t, tt.name, testConfig, func(w *world) {
			if tt.cause == cause.PrepareRefused {
				w.prepare.err = &outbound.PrepareError{Cause: tt.cause, Status: 200, Err: sdp.ErrNoCodec}
			}
			d := w.carrier.dials(tt.called)
			if tt.cause != cause.NoRoute {
				d.learn(w.carrier.expect("SIP/2.0 180"))
			}
			tt.play(w)
			w.carrier.isRefused(d, tt.want)
			r := w.wantRecord(tt.disposition, tt.cause, tt.by)
			if tt.cause == cause.PrepareRefused && (len(r.Attempts) != 1 || r.Attempts[0].PrepareStatus != 200) {
				w.t.Errorf("attempts %+v; want one, with prepare status 200", r.Attempts)
			}
		})
	}
}

// The second target gets the call when the first one fails, and the ringing
// of the target that rings is passed on.
func TestNextTarget(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dials("+15085785607")
		w.agent.concludes(w.agent.expect("INVITE"), 500, "Broken", "a", "")
		invite := w.agent2.expect("INVITE sip:+15085785607@192.0.2.21:32681")
		if invite.value("X-EI") != "" {
			t.Error("the second target got the first one's header")
		}
		w.agent2.reply(invite, 180, "Ringing", "b", "")
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.agent2.takes(invite, "b")
		w.carrier.isAnswered(d)
		r := w.callerEnds(w.agent2, d)
		if len(r.Attempts) != 2 || r.Attempts[0].Cause != string(cause.TargetError) || r.Target != "spare" {
			t.Errorf("record %+v", r)
		}
	})
}

// A refusal that is repeated, because its ACK was lost, is acknowledged each
// time, also long after the call (RFC 3261 section 17.1.1.3).
func TestRepeatedRefusal(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		invite := w.agent.expect("INVITE")
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
		w.carrier.invitesTillRung(d)
		invite := w.agent.expect("INVITE")
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
		d := w.carrier.dialsTillRung("+15075785607")
		invite := w.agent.expect("INVITE")
		for name, want := range map[string]string{
			"P-Asserted-Identity": "<sip:+18005550199@example.com>", "User-Agent": "Contact Centre 7",
		} {
			if all := invite.GetHeaders(name); len(all) != 1 || all[0].Value() != want {
				t.Errorf("%s: %v", name, all)
			}
		}
		w.agent.concludes(invite, 486, "Busy Here", "a", "")
		w.carrier.isRefused(d, "486")
		w.record()
	})
}

// A target that rings for ever is cancelled after ring_timeout.
func TestRingTimeout(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		invite := w.agent.expect("INVITE")
		begin := time.Now()
		w.agent.reply(invite, 180, "Ringing", "a", "")
		time.Sleep(50 * time.Second)
		cancel := w.agent.expect("CANCEL")
		if got := time.Since(begin); got != time.Minute {
			t.Errorf("CANCEL after %v; want 1m", got)
		}
		w.agent.reply(cancel, 200, "OK", "a", "")
		w.agent.concludes(invite, 487, "Request Terminated", "a", "")
		refused := w.carrier.expect("SIP/2.0 ")
		for strings.HasPrefix(refused.raw, "SIP/2.0 180") { // repeated each minute
			refused = w.carrier.expect("SIP/2.0 ")
		}
		if !strings.HasPrefix(refused.raw, "SIP/2.0 503") {
			t.Errorf("the carrier got\n%s", refused.raw)
		}
		w.carrier.ackRefused(d)
		w.wantRecord("no_answer", cause.RingTimeout, record.EndedBySystem)
	})
}

// The whole set-up has its own limit, over all targets and their preparation.
func TestSetupTimeout(t *testing.T) {
	yaml := strings.Replace(testConfig, `targets: [agent, spare], ringing: on-target}`,
		`targets: [agent, spare], ringing: on-target, setup_timeout: 10s, otherwise: 480}`, 1)
	inWorldWith(t, yaml, func(w *world) {
		w.prepare.after = 2 * time.Second
		w.prepare.err = &outbound.PrepareError{Cause: cause.PrepareFailed, Err: sdp.ErrNoCodec}
		d := w.carrier.newCall("+15085785607")
		begin := time.Now()
		w.carrier.invite(d)
		invite := w.agent2.progresses(180, "Ringing", "b", "")
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.carrier.expect("SIP/2.0 480")
		if got := time.Since(begin); got != 10*time.Second {
			t.Errorf("480 after %v; want 10s", got)
		}
		w.carrier.ackRefused(d)
		w.agent2.takesCancel(invite, "b")
		r := w.wantRecord("no_answer", cause.SetupTimeout, record.EndedBySystem)
		if len(r.Attempts) != 2 || r.Attempts[1].Cause != string(cause.SetupTimeout) {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}
