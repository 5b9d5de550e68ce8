package b2bua

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/media"
	"flowbridge/store"
)

func TestCallAnsweredCallerHangsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		ringing := d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE sip:+15075785607@192.0.2.20:32681")

		if got := ringing.value("Contact"); got != "<sip:198.51.100.1:5060>" {
			t.Errorf("Contact toward the carrier %q", got)
		}
		for header, want := range map[string]string{
			"X-EI": "S.id-1;", "P-Asserted-Identity": "<sip:+15075550100@198.51.100.1>", "Max-Forwards": "69",
			"Contact": "<sip:198.51.100.1:5060>", "To": "<sip:+15075785607@192.0.2.20:32681>", "CSeq": "1 INVITE",
			"X-Empty": "",
		} {
			if got := invite.value(header); got != want {
				t.Errorf("%s: %q; want %q", header, got, want)
			}
		}
		if !strings.Contains(invite.raw, "\r\nx-Caller: +15075550100\r\n") {
			t.Error("configured header is not on the wire as it was spelled")
		}
		if got := invite.value("From"); !strings.HasPrefix(got, `"Ann Smith" <sip:+15075550100@198.51.100.1>;tag=`) {
			t.Errorf("From %q", got)
		}
		for _, secret := range []string{"carrier-1", "192.0.2.10", "10.9.9.9", "peer's own name"} {
			if strings.Contains(invite.raw, secret) {
				t.Errorf("the target can see %q of the carrier's side", secret)
			}
		}
		if !strings.Contains(invite.raw, "c=IN IP4 198.51.100.1\r\n") || !strings.Contains(invite.raw, "m=audio 10002 RTP/AVP 0 8 101\r\n") ||
			!strings.Contains(invite.raw, "a=fmtp:101 0-15\r\n") || !strings.Contains(invite.raw, "a=rtcp:10003\r\n") {
			t.Errorf("offer to the target:\n%s", invite.raw)
		}

		w.agent.reply(invite, 180, "Ringing", "agent1", "")
		time.Sleep(2 * time.Second)
		w.agent.answer(invite, "agent1")
		ack := w.agent.expect("ACK sip:agent@192.0.2.20:32681")
		if ack.value("CSeq") != "1 ACK" || !strings.Contains(ack.value("To"), "tag=agent1") {
			t.Errorf("ACK:\n%s", ack.raw)
		}
		ok := w.carrier.expect("SIP/2.0 200")
		if !strings.Contains(ok.raw, "m=audio 10000 RTP/AVP 0 8 101\r\n") || strings.Contains(ok.raw, "192.0.2.20") {
			t.Errorf("answer to the carrier:\n%s", ok.raw)
		}
		if tagOf(ok.res().To().Params) != d.toTag {
			t.Error("200 has another To tag than 180")
		}
		w.carrier.ack(d)
		time.Sleep(time.Minute)
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		bye := w.agent.expect("BYE sip:agent@192.0.2.20:32681")
		w.agent.reply(bye, 200, "OK", "", "")

		r := w.wantRecord("answered", CauseCallerHangup, store.EndedByCaller)
		if r.DurationMS != 60_000 || r.SetupMS != 2000 || r.SynthflowCallID != "id-1" || r.Codec != "PCMU" ||
			r.SIPStatus != 200 || r.Q850 != 16 || r.Media.A.Rx != 7 || len(r.Attempts) != 1 || r.Target != "agent" {
			t.Errorf("record %+v", r)
		}
	})
}

func TestAgentHangsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.established()
		w.agent.agentRequest("BYE", invite, "agent1", 1)
		w.agent.expect("SIP/2.0 200")
		bye := w.carrier.expect("BYE sip:ann@192.0.2.10:5060")
		if tagOf(bye.req().From().Params) != d.toTag || tagOf(bye.req().To().Params) != "ann" {
			t.Errorf("BYE is not of the dialog:\n%s", bye.raw)
		}
		w.carrier.reply(bye, 200, "OK", "", "")
		w.wantRecord("answered", CauseAgentHangup, store.EndedByAgent)
	})
}

func TestCancelBeforeAnswer(t *testing.T) {
	for name, when := range map[string]func(w *world, d *dialogue){
		"while prepare hangs": func(w *world, _ *dialogue) {},
		"after the target's 180": func(w *world, _ *dialogue) {
			w.agent.reply(w.agent.expect("INVITE"), 180, "Ringing", "a", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				hang := strings.Contains(name, "prepare")
				if hang {
					w.prepare.after = time.Hour
				}
				d := w.carrier.newCall("+15075785607")
				w.carrier.invite(d)
				d.learn(w.carrier.expect("SIP/2.0 180"))
				when(w, d)
				synctest.Wait()
				w.carrier.cancel(d)
				w.carrier.expect("SIP/2.0 200")
				refused := w.carrier.expect("SIP/2.0 487")
				if tagOf(refused.res().To().Params) != d.toTag {
					t.Error("487 has another To tag than 180")
				}
				w.carrier.ackRefused(d)
				if !hang {
					cancel := w.agent.expect("CANCEL sip:+15075785607@192.0.2.20:32681")
					w.agent.reply(cancel, 200, "OK", "a", "")
					w.wantRecord("cancelled", CauseCallerCancelled, store.EndedByCaller)
					return
				}
				w.wantRecord("cancelled", CauseCallerCancelled, store.EndedByCaller)
				w.agent.silent(time.Minute)
			})
		})
	}
}

// The INVITE of a cancelled leg B is still answered: with 487, 200, or never.
func TestCancelCrossesAnswerOfTarget(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		w.agent.reply(invite, 180, "Ringing", "a", "")
		synctest.Wait()
		w.carrier.cancel(d)
		cancel := w.agent.expect("CANCEL")
		w.agent.answer(invite, "a") // crossed
		w.agent.expect("ACK")
		bye := w.agent.expect("BYE sip:agent@192.0.2.20:32681")
		w.agent.reply(bye, 200, "OK", "", "")
		w.agent.reply(cancel, 481, "Too Late", "a", "")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.expect("SIP/2.0 487")
		w.carrier.ackRefused(d)
		w.wantRecord("cancelled", CauseCallerCancelled, store.EndedByCaller)
	})
}

// The carrier's CANCEL reaches our transaction after the target's 200 reached
// us, but before our own 200 went out: 487 wins, the target gets BYE.
func TestCancelBeats200ToCarrier(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		synctest.Wait()
		w.agent.answer(invite, "a")
		w.carrier.cancel(d) // both are in flight at the same instant
		w.agent.expect("ACK")
		// Whichever won, the carrier has one final answer and the agent is not left alone.
		final := map[string]int{}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		for _, m := range w.carrier.rest() {
			final[m.value("CSeq")+" "+m.raw[8:11]]++
		}
		switch {
		case final["1 INVITE 487"] == 1 && final["1 INVITE 200"] == 0:
			w.carrier.ackRefused(d)
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			w.wantRecord("cancelled", CauseCallerCancelled, store.EndedByCaller)
		case final["1 INVITE 200"] == 1 && final["1 INVITE 487"] == 0:
			w.carrier.ackRefused(d)
			w.carrier.bye(d)
			w.carrier.expect("SIP/2.0 200")
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			w.wantRecord("answered", CauseCallerHangup, store.EndedByCaller)
		default:
			t.Errorf("final answers %v", final)
		}
	})
}

func TestCancelBeforeItsInvite(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.cancel(d)
		synctest.Wait()
		w.carrier.invite(d)
		got := map[string]bool{}
		for range 2 {
			m := w.carrier.expect("SIP/2.0 ")
			for strings.HasPrefix(m.raw, "SIP/2.0 100") {
				m = w.carrier.expect("SIP/2.0 ")
			}
			got[m.value("CSeq")+" "+m.raw[8:11]] = true
			if m.value("CSeq") == "1 INVITE" {
				d.learn(m)
			}
		}
		if !got["1 CANCEL 200"] || !got["1 INVITE 487"] {
			t.Errorf("answers %v", got)
		}
		w.carrier.ackRefused(d)
		w.wantRecord("cancelled", CauseCallerCancelled, store.EndedByCaller)
		w.agent.silent(time.Minute)
	})
}

func TestCancelWithoutInvite(t *testing.T) {
	inWorld(t, func(w *world) {
		w.carrier.cancel(w.carrier.newCall("+15075785607"))
		w.carrier.expect("SIP/2.0 481")
	})
}

func TestRetransmittedInviteMakesOneCall(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		synctest.Wait()
		w.carrier.rest() // what the transaction said to the retransmission
		w.carrier.invite(d)
		w.carrier.expect("SIP/2.0 180") // and to this one
		w.agent.answer(invite, "a")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		synctest.Wait()
		w.carrier.invite(d) // very late
		w.carrier.silent(time.Second)
		if n := len(w.prepare.asked); n != 1 {
			t.Errorf("%d calls were prepared", n)
		}
		merged := *d
		merged.branch += "x"
		w.carrier.invite(&merged)
		w.carrier.expect("SIP/2.0 482")
		w.carrier.ackRefused(&merged)
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.record()
	})
}

// A 200 that is never acknowledged is sent at T1, doubled up to T2, and after
// 64*T1 both legs end (RFC 3261 section 13.3.1.4).
func TestLostACK(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.agent.answer(w.agent.expect("INVITE"), "a")
		w.agent.expect("ACK")
		begin := time.Now()
		var at []time.Duration
		for {
			m := <-w.carrier.in
			if strings.HasPrefix(m.raw, "BYE") {
				if got := time.Since(begin); got != 32*time.Second {
					t.Errorf("BYE after %v; want 32s", got)
				}
				w.carrier.reply(m, 200, "OK", "", "")
				break
			}
			at = append(at, time.Since(begin).Round(time.Millisecond))
		}
		want := []time.Duration{0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500}
		if len(at) != len(want) {
			t.Fatalf("200 sent at %v", at)
		}
		for i := range want {
			if at[i] != want[i]*time.Millisecond {
				t.Errorf("200 number %d at %v; want %v", i, at[i], want[i]*time.Millisecond)
			}
		}
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantRecord("answered", CauseNoACK, store.EndedBySystem)
	})
}

func TestByeBeforeACK(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.agent.answer(w.agent.expect("INVITE"), "a")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.carrier.ack(d)
		w.wantRecord("answered", CauseCallerHangup, store.EndedByCaller)
		w.carrier.silent(time.Minute) // the 200 to the INVITE is not sent again
	})
}

// The agent hangs up before the carrier's ACK: a UAS may not send BYE before
// it (RFC 3261 section 15).
func TestAgentHangsUpBeforeACK(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		w.agent.answer(invite, "a")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.agent.agentRequest("BYE", invite, "a", 1)
		w.agent.expect("SIP/2.0 200")
		w.carrier.silent(400 * time.Millisecond)
		w.carrier.ack(d)
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.wantRecord("answered", CauseAgentHangup, store.EndedByAgent)
	})
}

// A target that says nothing is given up after first_response_timeout; what
// it says later is seen to.
func TestSilentTarget(t *testing.T) {
	for name, late := range map[string]func(w *world, invite message){
		"for ever": func(*world, message) {},
		"late 180": func(w *world, invite message) {
			w.agent.reply(invite, 180, "Ringing", "a", "")
			w.agent.reply(w.agent.expect("CANCEL"), 200, "OK", "a", "")
			w.agent.reply(invite, 487, "Request Terminated", "a", "")
			w.agent.expect("ACK")
		},
		"late 200": func(w *world, invite message) {
			w.agent.answer(invite, "a")
			w.agent.expect("ACK")
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				d := w.carrier.newCall("+15075785607")
				begin := time.Now()
				w.carrier.invite(d)
				d.learn(w.carrier.expect("SIP/2.0 180"))
				w.carrier.expect("SIP/2.0 503")
				w.carrier.ackRefused(d)
				if got := time.Since(begin); got != 4*time.Second {
					t.Errorf("503 after %v; want 4s", got)
				}
				var invite message
				for _, m := range w.agent.rest() {
					invite = m
				}
				r := w.wantRecord("failed", CauseTargetSilent, store.EndedBySystem)
				if len(r.Attempts) != 1 || r.Attempts[0].Cause != string(CauseTargetSilent) {
					t.Errorf("attempts %+v", r.Attempts)
				}
				late(w, invite)
				time.Sleep(time.Minute)
				for _, m := range w.agent.rest() { // the INVITE goes on being sent until its transaction times out
					if m.value("CSeq") != "1 INVITE" {
						t.Errorf("unexpected:\n%s", m.raw)
					}
				}
			})
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
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantRecord("answered", CauseCallerHangup, store.EndedByCaller)
		time.Sleep(time.Minute)
		w.agent.answer(invite, "fork3") // long after: nobody knows the call any more
		w.agent.expect("ACK")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
	})
}

func TestTargetRefuses(t *testing.T) {
	for _, tt := range []struct {
		code        int
		reason      string
		want        string
		disposition string
		cause       Cause
		by          string
	}{
		{486, "Busy Here", "SIP/2.0 486 Busy Here", "busy", CauseTargetBusy, store.EndedByAgent},
		{404, "No Such Number", "SIP/2.0 404 No Such Number", "failed", CauseTargetRefused, store.EndedByAgent},
		{500, "Broken", "SIP/2.0 503 Service Unavailable", "failed", CauseTargetError, store.EndedBySystem},
		{603, "Decline", "SIP/2.0 603 Decline", "failed", CauseTargetRefused, store.EndedByAgent},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			inWorld(t, func(w *world) {
				d := w.carrier.newCall("+15075785607")
				w.carrier.invite(d)
				d.learn(w.carrier.expect("SIP/2.0 180"))
				w.agent.reply(w.agent.expect("INVITE"), tt.code, tt.reason, "a", "")
				w.agent.expect("ACK")
				w.carrier.expect(tt.want)
				w.carrier.ackRefused(d)
				w.wantRecord(tt.disposition, tt.cause, tt.by)
			})
		})
	}
}

func TestPrepareFails(t *testing.T) {
	inWorld(t, func(w *world) {
		w.prepare.err = &PrepareError{Cause: CausePrepareRefused, Status: 200, Err: errNoCodec}
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.carrier.expect("SIP/2.0 503")
		w.carrier.ackRefused(d)
		r := w.wantRecord("failed", CausePrepareRefused, store.EndedBySystem)
		if len(r.Attempts) != 1 || r.Attempts[0].PrepareStatus != 200 {
			t.Errorf("attempts %+v", r.Attempts)
		}
		w.agent.silent(time.Second)
	})
}

// The second target gets the call when the first one fails, and the ringing
// of the target that rings is passed on.
func TestNextTarget(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15085785607")
		w.carrier.invite(d)
		w.agent.reply(w.agent.expect("INVITE"), 500, "Broken", "a", "")
		w.agent.expect("ACK")
		invite := w.agent2.expect("INVITE sip:+15085785607@192.0.2.21:32681")
		if invite.value("X-EI") != "" {
			t.Error("the second target got the first one's header")
		}
		w.agent2.reply(invite, 180, "Ringing", "b", "")
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.agent2.answer(invite, "b")
		w.agent2.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "")
		r := w.wantRecord("answered", CauseCallerHangup, store.EndedByCaller)
		if len(r.Attempts) != 2 || r.Attempts[0].Cause != string(CauseTargetError) || r.Target != "spare" {
			t.Errorf("record %+v", r)
		}
	})
}

func TestNoRoute(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+49301234567")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 404"))
		w.carrier.ackRefused(d)
		w.wantRecord("failed", CauseNoRoute, store.EndedBySystem)
	})
}

func TestMediaTimeoutEndsBothLegs(t *testing.T) {
	inWorld(t, func(w *world) {
		w.established()
		s := w.relay.sessions[0]
		if s.peers[media.SideA].RTP != netip.MustParseAddrPort("192.0.2.10:20000") ||
			s.peers[media.SideB].RTP != netip.MustParseAddrPort("192.0.2.20:30000") || !s.started {
			t.Errorf("session %+v", s)
		}
		s.onEvent(media.EventSilent{Since: 30 * time.Second})
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantRecord("answered", CauseMediaTimeout, store.EndedBySystem)
	})
}

func TestMaxDuration(t *testing.T) {
	inWorld(t, func(w *world) {
		w.established()
		time.Sleep(time.Hour)
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		if r := w.wantRecord("answered", CauseMaxDuration, store.EndedBySystem); r.DurationMS != 3_600_000 {
			t.Errorf("lasted %d ms", r.DurationMS)
		}
	})
}

func TestShutdownHangsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.established()
		w.server.Drain()
		w.server.HangupAll()
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantRecord("answered", CauseShutdown, store.EndedBySystem)
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		if refused := d.learn(w.carrier.expect("SIP/2.0 503")); refused.value("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	})
}

// A stranger's packets are not heard; an in-dialog request with our tag is,
// from any address.
func TestStrangers(t *testing.T) {
	inWorld(t, func(w *world) {
		stranger := w.peer(netip.MustParseAddrPort("203.0.113.66:5060"))
		defer stranger.conn.Close()
		d := stranger.newCall("+15075785607")
		stranger.invite(d)
		stranger.send(d.request("OPTIONS"))
		d.toTag = "forged"
		stranger.bye(d)
		stranger.silent(time.Second)
		if n := w.server.Rejected().UnknownSource.Load(); n != 3 {
			t.Errorf("%d strangers counted; want 3", n)
		}
		_, invite := w.established()
		stranger.agentRequest("BYE", invite, "agent1", 1) // the platform's, from an address that nobody announced
		stranger.expect("SIP/2.0 200")
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.record()
	})
}
