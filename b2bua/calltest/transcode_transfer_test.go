package calltest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/media/dtls"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// opusTalk sets up a call of a caller with Opus. answer is the agent's session description.
func (w *world) opusTalk(answer string) (d *dialogue, invite received) {
	w.t.Helper()
	d = w.carrier.newCall("+15075785607")
	d.sdp = opusSDP("192.0.2.10", 20000, "")
	invite = w.carrier.ringsAt(w.agent, d)
	w.agent.concludes(invite, 200, "OK", "agent1", answer)
	w.carrier.isAnswered(d)
	return d, invite
}

// TestDTLSTransferFromOpus: a call with Opus is transferred to a party with PCMU and DTLS. During the party's handshake
// the caller is transcoded already. If the handshake fails, caller and agent use Opus again.
func TestDTLSTransferFromOpus(t *testing.T) {
	yaml := strings.Replace(toDTLS, "    transfer: local\n", "    transfer: local\n    codecs: [opus]\n", 1)
	yaml = strings.Replace(yaml, "trunks: [pbx, carrier]", "trunks: [pbx]", 1)
	opus := opusSDP("192.0.2.20", 30000, "")
	for _, heard := range []bool{false, true} {
		inWorldWith(t, yaml, func(w *world) {
			d, invite := w.opusTalk(opus)
			w.wantTranscoders([2]bool{})
			w.referred(invite, "<tel:4711>")
			called := w.agent2.expect("INVITE")
			if _, line, _ := strings.Cut(called.raw, "UDP/TLS/RTP/SAVP "); !strings.HasPrefix(line, "0 8 101\r\n") {
				t.Errorf("the party is offered\n%s", called.raw)
			}
			human := w.answersDTLS(called)
			w.wantTranscoders([2]bool{true, false})
			w.wantPlaces(1)
			if heard {
				human.shakes(called, true)
				w.agent.notified("200", "terminated")
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
				w.wantTranscoders([2]bool{true, false})
				w.wantPlaces(1)
				w.callerEnds(w.agent2, d)
				return
			}
			time.Sleep(dtls.Patience)
			w.leavesPBX()
			again := w.agent.expect("INVITE")
			if got := numbersIn(again); got != "111 101" {
				t.Errorf("the agent is offered %s", got)
			}
			w.agent.notified("488", "terminated")
			w.agent.concludes(again, 200, "OK", "", opus)
			w.wantTranscoders([2]bool{})
			w.wantPlaces(0)
			if a, b := changesText(w.session().payloads[media.SideA]), changesText(w.session().payloads[media.SideB]); a+b != "" {
				t.Errorf("changes %q and %q", a, b)
			}
			w.callerEnds(w.agent, d)
		})
	}
}

// TestWarmTransferOfOpus: an announced transfer is refused if the caller's Opus passes unchanged, because the caller
// could not hear our sounds. If the caller is transcoded, it may be announced to a party with G.711.
func TestWarmTransferOfOpus(t *testing.T) {
	inWorldWith(t, strings.Replace(orderConfig, "    transfer_hosts", "    codecs: [opus]\n    transfer_hosts", 1), func(w *world) {
		d, _ := w.opusTalk(opusSDP("192.0.2.20", 30000, ""))
		w.transfers(warm("4711", "beep", "1"), "side a does not speak G.711")
		w.callerEnds(w.agent, d)
	})
	inWorldWith(t, orderConfig, func(w *world) {
		d, _ := w.opusTalk(siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		w.transfers(warm("4711", "beep", "1"), "")
		w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "human", siptest.SessionAt("192.0.2.21", 41000, "8 101"))
		w.goes("announcing")
		w.wantTranscoders([2]bool{true, false})
		w.hears("a hears 6s of law 1 as 8, loop true, yield false", "b hears 1s of law 0 as 0, loop true, yield false",
			"b hears 1s of law 1 as 8, loop true, yield false", "b hears 400ms of law 1 as 8, loop true, yield false")
		time.Sleep(20 * time.Second)
		w.leavesPBX()
		w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		w.goes("failed")
		w.wantTranscoders([2]bool{true, false})
		if n := w.session().made()[media.SideA].Number; n != 0 {
			t.Errorf("the caller is one with the format %d", n)
		}
		w.callerEnds(w.agent, d)
	})
}

// wantPlaces checks how many calls count for the limit of transcoders.
func (w *world) wantPlaces(want int) {
	w.t.Helper()
	synctest.Wait()
	if used, _, _ := w.server.Transcoders().Figures(); used != want {
		w.t.Errorf("%d places are taken; want %d", used, want)
	}
}

// TestTransferWithinOpus: the transcoded caller of an agent with PCMU is transferred to a party with Opus, which the
// caller has as well.
func TestTransferWithinOpus(t *testing.T) {
	yaml := strings.Replace(orderConfig, `{{.To.Number}}@192.0.2.21:32681"}`, `{{.To.Number}}@192.0.2.21:32681", codecs: [opus]}`, 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.opusTalk(siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		w.wantTranscoders([2]bool{true, false})
		w.transfers(toNumber("4711"), "")
		called := w.agent2.expect("INVITE")
		if got := numbersIn(called); got != "111 101" {
			t.Errorf("the party is offered %s", got)
		}
		w.agent2.concludes(called, 200, "OK", "human", opusSDP("192.0.2.21", 41000, ""))
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.goes("done")
		w.wantTranscoders([2]bool{})
		w.wantPlaces(0)
		w.callerEnds(w.agent2, d)
	})
}

// TestRescueToAnotherCodec: an agent with Opus dies, and an agent with PCMU takes over, or the reverse.
func TestRescueToAnotherCodec(t *testing.T) {
	for _, opusFirst := range []bool{true, false} {
		agent, spare, now := opusSDP("192.0.2.20", 30000, ""), siptest.SessionAt("192.0.2.21", 41000, "0 101"), [2]bool{true, false}
		yaml := strings.Replace(rescueConfig, "@RESCUE@", "", 1)
		at, offered := `@192.0.2.20:32681"`, "0 8 101"
		if !opusFirst {
			agent, spare, now = siptest.SessionAt("192.0.2.20", 30000, "0 101"), opusSDP("192.0.2.21", 41000, ""), [2]bool{}
			yaml = strings.Replace(yaml, `    headers: {X-Lost`, "    codecs: [opus]\n    headers: {X-Lost", 1)
			offered = "111 101"
		} else {
			yaml = strings.Replace(yaml, at, at+", codecs: [opus]", 1)
		}
		inWorldWith(t, yaml, func(w *world) {
			d, invite := w.opusTalk(agent)
			w.wantTranscoders([2]bool{!opusFirst, false})
			w.agentDies(time.Second, invite, "Reason: Q.850;cause=41")
			called := w.agent2.expect("INVITE")
			if got := numbersIn(called); got != offered {
				t.Errorf("the next agent is offered %s; want %s", got, offered)
			}
			w.agent2.concludes(called, 200, "OK", "spare", spare)
			w.carrier.silent(time.Second)
			w.wantTranscoders(now)
			places := 0
			if now[media.SideA] {
				places = 1
			}
			w.wantPlaces(places)
			w.callerHangsUpAt(w.agent2, d)
		})
	}
}

// TestOriginateToOpus: in a placed call, the person called first is offered those codecs of the trunk into which the
// agents' codecs can be transcoded. A transcoder is reserved before the person is called.
func TestOriginateToOpus(t *testing.T) {
	yaml := strings.Replace(originateConfig, "    max_calls: 1\n", "    max_calls: 1\n    codecs: [opus]\n", 1)
	yaml = strings.Replace(yaml, `agent@192.0.2.21:32681"}`, `agent@192.0.2.21:32681", codecs: [opus]}`, 1)
	inWorldWith(t, yaml, func(w *world) {
		_, invite := w.originates(origination())
		if got := numbersIn(invite); got != "0 8 101" {
			t.Errorf("the customer is offered %s", got)
		}
		w.wantPlaces(1)
		called := w.customerTakes(invite)
		if got := numbersIn(called); got != "96 101" {
			t.Errorf("the agent is offered %s", got)
		}
		w.agent.concludes(called, 200, "OK", "agent1", opusSDP("192.0.2.20", 30000, ""))
		w.wantTranscoders([2]bool{false, true})
		w.wantPlaces(1)
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		w.wantPlaces(0)
	})
	inWorldWith(t, strings.Replace(yaml, "media: {", "media: {transcode: off, ", 1), func(w *world) {
		_, err := w.server.Originate(w.t.Context(), origination())
		must(t, err)
		w.wantRecord("failed", cause.NoCommonCodec, record.EndedBySystem)
	})
}

// TestKeysOfOpus: dtmf works for a side with Opus as for any other side: its telephone-events end at the server, and
// INFO of the other side becomes telephone-events for it, with the clock rate behind the transcoder.
func TestKeysOfOpus(t *testing.T) {
	for _, mode := range []string{"info", "rfc4733"} {
		inWorldWith(t, talkYAML("", "dtmf: "+mode), func(w *world) {
			d, invite := w.opusTalk(siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			s := w.session()
			if c, p := s.made()[media.SideA], s.peers[media.SideA]; !c.Events.Has(101) || !c.Scaled.Has(101) || !p.Events.Has(101) ||
				p.ClockRate != media.OpusClock {
				t.Errorf("dtmf %s: %+v of %+v", mode, c, p)
			}
			if mode == "info" {
				if want := (media.TelephoneEvents{On: true, PayloadType: 101, ClockRate: 8000, Divert: true}); s.events[media.SideA] != want {
					t.Errorf("keys of the caller: %+v", s.events[media.SideA])
				}
				w.agent.agentSends("INFO", invite, "agent1", 2, "Signal=5\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay")
				w.agent.expect("SIP/2.0 200")
				if got := strings.Join(s.digits, " "); got != "a 5 160ms as 101/8000" {
					t.Errorf("the caller gets %q", got)
				}
			}
			w.callerEnds(w.agent, d)
		})
	}
}

// TestRingingInOpusGoesOver: a caller with Opus that hears our ringback still hears it after an upgrade.
func TestRingingInOpusGoesOver(t *testing.T) {
	yaml := strings.Replace(talkYAML("", ""), "targets: [agent]}", "targets: [agent], ringing: session-progress}", 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = opusSDP("192.0.2.10", 20000, "")
		w.carrier.invite(d)
		told := d.learn(w.carrier.expect("SIP/2.0 183"))
		in := w.agent.progresses(180, "Ringing", "agent1", "")
		w.upgraded()
		again := w.cancelledAndAgain(in)
		if m := w.carrier.expect("SIP/2.0 183"); string(m.Body()) != string(told.Body()) || numbersIn(again) != "0 8 101" {
			t.Errorf("the caller is told\n%s\nand the agent is offered %s", m.raw, numbersIn(again))
		}
		w.wantTranscoders([2]bool{true, false})
		w.wantPlaces(1)
		w.agent.concludes(again, 200, "OK", "agent2", siptest.SessionAt("192.0.2.20", 30000, "8 101"))
		w.carrier.isAnswered(d)
		if n := w.session().made()[media.SideA].Number; n != 8 {
			t.Errorf("the caller is one with the format %d", n)
		}
		w.callerEnds(w.agent, d)
	})
}

// TestCodecFails: if a codec fails, the call ends, whether or not it has been answered.
func TestCodecFails(t *testing.T) {
	failed := media.EventFailed{Side: media.SideA, Err: errors.New("it panicked")}
	answer := siptest.SessionAt("192.0.2.20", 30000, "0 101")
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		w.opusTalk(answer)
		w.session().onEvent(failed)
		hungUpOn(w.carrier, w.agent)
		w.wantRecord(record.DispositionAnswered, cause.InternalError, record.EndedBySystem)
		w.wantPlaces(0)
	})
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = opusSDP("192.0.2.10", 20000, "")
		in := w.carrier.ringsAt(w.agent, d)
		w.agent.reply(in, 183, "Session Progress", "agent1", answer)
		w.carrier.expect("SIP/2.0 183")
		w.session().onEvent(failed)
		w.carrier.isRefused(d, "500")
		w.agent.takesCancel(in, "agent1")
		w.wantRecord("failed", cause.InternalError, record.EndedBySystem)
		w.wantPlaces(0)
	})
}

// TestCodecFailsWhileCallerWaits: if a codec fails, a caller that hears our ringback or music gets 500. In a placed
// call without an agent, the person called first gets BYE.
func TestCodecFailsWhileCallerWaits(t *testing.T) {
	failed := media.EventFailed{Side: media.SideA, Err: errors.New("it panicked")}
	wants := func(w *world) {
		w.wantRecord("failed", cause.InternalError, record.EndedBySystem)
	}
	ringing := strings.Replace(talkYAML("", ""), "targets: [agent]}", "targets: [agent], ringing: session-progress}", 1)
	runIn(t, "ringing", ringing, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = opusSDP("192.0.2.10", 20000, "")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 183"))
		in := w.agent.progresses(180, "Ringing", "agent1", "")
		w.wantTranscoders([2]bool{true, false})
		w.session().onEvent(failed)
		w.carrier.isRefused(d, "500")
		w.agent.takesCancel(in, "agent1")
		wants(w)
		w.wantPlaces(0)
	})
	runIn(t, "queue", strings.Replace(queueConfig, "timeout: 50s", "timeout: 50s, sound: hold", 1), func(w *world) {
		first, invite := w.carrier.callsAt(w.agent, "+15075785607")
		w.carrier.isTakenBy(w.agent, invite, "agent1", first)
		second := w.carrier.newCall("+15075785608")
		second.sdp = opusSDP("192.0.2.10", 20002, "")
		w.carrier.invitesTillRung(second)
		second.learn(w.carrier.expect("SIP/2.0 183"))
		w.relay.sessions[1].onEvent(failed)
		w.carrier.isRefused(second, "500")
		wants(w)
		w.wantPlaces(0)
		w.callerEnds(w.agent, first)
	})
	yaml := strings.Replace(originateConfig, "    max_calls: 1\n", "    max_calls: 1\n    codecs: [opus]\n", 1)
	yaml = strings.Replace(yaml, `agent@192.0.2.21:32681"}`, `agent@192.0.2.21:32681", codecs: [opus]}`, 1)
	runIn(t, "customer", yaml, func(w *world) {
		_, invite := w.originates(origination())
		called := w.customerTakes(invite)
		w.agent.reply(called, 183, "Session Progress", "agent1", opusSDP("192.0.2.20", 30000, ""))
		w.wantTranscoders([2]bool{false, true})
		w.session().onEvent(failed)
		w.agent.takesCancel(called, "agent1")
		hungUpOn(w.carrier)
		w.wantPlaces(0)
	})
}

// TestTrialInterruptsChangeOfOpus: caller and agent are changing a session with Opus when a party with PCMU and DTLS
// answers a transfer. The change is undone, still with Opus, and then the caller is transcoded.
func TestTrialInterruptsChangeOfOpus(t *testing.T) {
	yaml := strings.Replace(toDTLS, "    transfer: local\n", "    transfer: local\n    reinvite: relay\n    codecs: [opus]\n", 1)
	yaml = strings.Replace(yaml, "trunks: [pbx, carrier]", "trunks: [pbx]", 1)
	opus := opusSDP("192.0.2.20", 30000, "")
	inWorldWith(t, yaml, func(w *world) {
		d, invite := w.opusTalk(opus)
		c := w.talkOf(d, invite)
		w.agent.agentSends("INVITE", invite, "agent1", 1, opus+"a=sendonly\r\n", sdpHeader("v")...)
		change := w.carrier.expect("INVITE")
		w.referred(invite, "<tel:4711>")
		called := w.agent2.expect("INVITE")
		human := w.answersDTLS(called)
		c.agent.ackRefusal(w.agent.expect("SIP/2.0 491"))
		w.carrier.concludes(change, 200, "OK", "", opusSDP("192.0.2.10", 20000, "")+"a=recvonly\r\n")
		again := w.carrier.expect("INVITE")
		if got := numbersIn(again); got != "111 101" {
			t.Errorf("the caller is offered %s", got)
		}
		w.carrier.concludes(again, 200, "OK", "", opusSDP("192.0.2.10", 20000, ""))
		w.wantTranscoders([2]bool{true, false})
		human.shakes(called, true)
		w.agent.notified("200", "terminated")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantTranscoders([2]bool{true, false})
		w.callerEnds(w.agent2, d)
	})
}

// TestOtherAgentAfterChangeToOpus: a caller changes from PCMU to Opus during a call, and is then transferred, or loses
// its agent. The next agent has PCMU as well.
func TestOtherAgentAfterChangeToOpus(t *testing.T) {
	pcmu := siptest.SessionAt("192.0.2.20", 30000, "0 101")
	changes := func(w *world) *dialogue {
		c := w.talkIn("0 101", "0 101")
		c.carrier.changes("INVITE", opusSDP("192.0.2.10", 20000, ""), "200")
		w.wantTranscoders([2]bool{true, false})
		return c.d
	}
	holds := func(w *world, d *dialogue) { // changes nothing but the direction
		for _, way := range []string{"a=sendonly\r\n", "a=sendrecv\r\n"} {
			seq := w.carrier.within(d, "INVITE", opusSDP("192.0.2.10", 20000, "")+way, sdpHeader("v")...)
			if got := numbersIn(w.carrier.expect("SIP/2.0 200")); got != "111 101" {
				w.t.Errorf("the caller is answered %s", got)
			}
			w.carrier.ackOf(d, seq, "")
			w.wantTranscoders([2]bool{true, false})
			if a, b := changesText(w.session().payloads[media.SideA]), changesText(w.session().payloads[media.SideB]); a+b != "" {
				w.t.Errorf("changes %q and %q", a, b)
			}
		}
	}
	runIn(t, "transfer", orderConfig, func(w *world) {
		d := changes(w)
		w.transfers(toNumber("4711"), "")
		w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "human", pcmu)
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.goes("done")
		w.wantTranscoders([2]bool{true, false})
		holds(w, d)
		w.callerEnds(w.agent2, d)
	})
	runIn(t, "rescue", strings.Replace(rescueConfig, "@RESCUE@", "", 1), func(w *world) {
		c := w.talkIn("0 101", "0 101")
		c.carrier.changes("INVITE", opusSDP("192.0.2.10", 20000, ""), "200")
		w.agentDies(time.Second, c.invite, "Reason: Q.850;cause=41")
		w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "spare", pcmu)
		w.wantTranscoders([2]bool{true, false})
		holds(w, c.d)
		w.callerHangsUpAt(w.agent2, c.d)
	})
}
