package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/store/record"
)

// soundingQueue returns queueConfig with a sound for waiting callers, and with additional keys for the trunk.
func soundingQueue(trunk string) string {
	return strings.NewReplacer("timeout: 50s}", "timeout: 50s, sound: hold}, ringback: eu", `country: "1"}`, `country: "1"`+trunk+"}").Replace(queueConfig)
}

// sounds places a call on a route that plays the caller a sound before the answer. It returns the dialogue and the 183.
func (w *world) sounds(to, extra, offer string) (*dialogue, received) {
	w.t.Helper()
	d := w.carrier.newCall(to)
	d.extra = extra
	if offer != "" {
		d.sdp = offer
	}
	w.carrier.invite(d)
	for d.extra = ""; ; {
		m := d.learn(w.carrier.expect("SIP/2.0 18"))
		if m.value("RSeq") != "" {
			w.carrier.prack(d, m, "")
		}
		if m.res().StatusCode == 183 {
			return d, m
		}
	}
}

// listens returns the name of the sound that the caller of this call hears.
func (w *world) listens(d *dialogue) string {
	w.t.Helper()
	synctest.Wait()
	l, ok := w.callTo(d.to)
	if !ok {
		w.t.Error("no call")
	}
	return l.Hears[media.SideA]
}

// TestRingingTimeGoesOver: a call whose set-up restarts in a new process has in its record when the old process let the
// caller hear ringing.
func TestRingingTimeGoesOver(t *testing.T) {
	inWorldWith(t, soundingQueue(""), func(w *world) {
		first := w.carrier.dialsTillRung("+15085780001")
		w.served(w.agent, first)
		spare := w.carrier.dialsTillRung("+15085780009")
		w.served(w.agent2, spare)
		rang := time.Now()
		second, _ := w.sounds("+15075780002", "", "")
		time.Sleep(10 * time.Second)
		w.upgraded()
		time.Sleep(10 * time.Second)
		w.carrier.rest()
		w.callerHangsUp(first)
		w.record()
		w.served(w.agent, second)
		w.callerHangsUp(second)
		if r := w.record(); !r.RingingAt.Equal(record.TimeOf(rang).Time) {
			t.Errorf("ringing at %v; want %v", r.RingingAt, rang)
		}
		w.callerHangsUpAt(w.agent2, spare)
		w.record()
	})
}

// TestQueueWithASoundGoesOver: callers that hear a queue's sound continue to wait after an upgrade: in the same order,
// for the remaining time, on the same ports, with the same session description before and in the 200, and with the same
// keys.
func TestQueueWithASoundGoesOver(t *testing.T) {
	for name, tt := range map[string]struct{ trunk, extra, offer string }{
		"plain":          {},
		"SDES":           {trunk: ", media: {srtp: optional}", offer: securedAt("192.0.2.10", 20000, cryptoAttr(1, cm80, 'a'))},
		"reliable":       {extra: "Supported: 100rel\n"},
		"required":       {extra: "Require: 100rel\n"},
		"reliable, SDES": {trunk: ", media: {srtp: optional}", extra: "Supported: 100rel\n", offer: securedAt("192.0.2.10", 20000, cryptoAttr(1, gcm, 'a'))},
	} {
		runIn(t, name, soundingQueue(tt.trunk), func(w *world) {
			first := w.carrier.dialsTillRung("+15085780001") // on a route without a sound
			w.served(w.agent, first)
			spare := w.carrier.dialsTillRung("+15085780009")
			w.served(w.agent2, spare)
			second, told := w.sounds("+15075780002", tt.extra, tt.offer)
			time.Sleep(10 * time.Second)
			third, _ := w.sounds("+15075780003", tt.extra, tt.offer)
			synctest.Wait()
			session := w.relay.sessions[2]
			for range 2 {
				time.Sleep(10 * time.Second)
				w.upgraded()
				for _, m := range w.carrier.rest() { // to both waiting callers
					if !strings.HasPrefix(m.raw, "SIP/2.0 183") {
						w.t.Errorf("not as before: %s", m.raw)
					}
					switch of := map[string]*dialogue{second.callID: second, third.callID: third}[m.value("Call-ID")]; {
					case tt.extra != "": // the caller got the description reliably, so the 183 has none
						before := of.toTag
						if w.carrier.prack(of, m, ""); before != of.toTag || len(m.Body()) > 0 {
							w.t.Errorf("another dialog or description:\n%s", m.raw)
						}
					case of == second && (m.value("To") != told.value("To") || string(m.Body()) != string(told.Body())):
						w.t.Errorf("another dialog or description:\n%s\nfirst:\n%s", m.raw, told.raw)
					}
				}
				if got, heard := w.waiting(), w.listens(second); got != "0002 0003" || heard != "hold" {
					w.t.Errorf("waiting: %s, the caller hears %s", got, heard)
				}
			}
			if s := w.relay.sessions[2]; s == session || s.local != session.local || s.closed.Load() || len(w.relay.sessions) != 4 {
				w.t.Errorf("other media: %+v", s.local)
			}
			w.callerEnds(w.agent, first)
			invite := w.agent.expect("INVITE sip:" + second.to + "@")
			if got := invite.value("X-Waited"); got != "30" {
				w.t.Errorf("the target was told of %s s", got)
			}
			w.agent.takes(invite, "agent2")
			ok := w.carrier.expect("SIP/2.0 200")
			if body := string(ok.Body()); ok.value("To") != told.value("To") || tt.extra == "" && body != string(told.Body()) || tt.extra != "" && body != "" {
				w.t.Errorf("the 200 is\n%s\nafter\n%s", ok.raw, told.raw)
			}
			w.carrier.ack(second)
			synctest.Wait()
			time.Sleep(20 * time.Second)
			w.refused(third, "486") // 50 s after its INVITE came
			if r := w.wantRecord(record.DispositionBusy, cause.QueueTimeout, record.EndedBySystem); r.QueuedMS != 50_000 || !strings.HasSuffix(r.To, "0003") {
				w.t.Errorf("waited %d ms", r.QueuedMS)
			}
			if tt.offer != "" {
				suite := cm80
				if strings.Contains(tt.offer, gcm.String()) {
					suite = gcm
				}
				ours := wantCrypto(w.t, told, "1", suite)
				if got := w.relay.sessions[2].crypto[media.SideA]; !got.Send.Same(ours) || got.Receive == nil {
					w.t.Error("other keys than were said")
				}
			}
			w.callerHangsUp(second)
			if r := w.record(); r.QueuedMS/1000 != 30 || r.SetupMS/1000 != 30 || r.Restored != 0 || !w.relay.sessions[2].closed.Load() {
				w.t.Errorf("record: %+v", r)
			}
			w.callerHangsUpAt(w.agent2, spare)
		})
	}
}

// TestCallerLeavesAfterTheHandOver: after an upgrade, a caller that hears a sound may hang up, or send another INVITE
// while the new process does not accept calls yet. If the new process is killed, the next one restores the call as
// usual.
func TestCallerLeavesAfterTheHandOver(t *testing.T) {
	for name, then := range map[string]func(w *world, d *dialogue){
		"cancel": func(w *world, d *dialogue) {
			w.serves()
			w.carrier.expect("SIP/2.0 183")
			w.carrier.cancel(d)
			w.carrier.expect("SIP/2.0 200")
			w.refused(d, "487")
			w.wantRecord(record.DispositionCancelled, cause.CallerCancelled, record.EndedByCaller)
		},
		"update": func(w *world, d *dialogue) {
			w.carrier.within(d, "UPDATE", "") // stays in the socket until the new process reads it
			synctest.Wait()
			w.serves()
			w.carrier.expect("SIP/2.0 183")
			w.carrier.expect("SIP/2.0 200")
			time.Sleep(49 * time.Second)
			w.refused(d, "486")
			w.wantRecord(record.DispositionBusy, cause.QueueTimeout, record.EndedBySystem)
		},
		"expires": func(w *world, d *dialogue) {
			w.serves()
			w.carrier.expect("SIP/2.0 183")
			w.carrier.silent(28 * time.Second)
			w.refused(d, "487") // it was still in the queue, 30 s after its INVITE came
			w.wantRecord(record.DispositionNoAnswer, cause.Expired, record.EndedBySystem)
			w.carrier.silent(time.Minute)
		},
		"not taken": func(w *world, d *dialogue) {
			w.server.Drain()
			w.serves()
			w.refused(d, "503")
			w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
		},
		"killed": func(w *world, d *dialogue) {
			w.serves()
			w.carrier.expect("SIP/2.0 183")
			w.restart()
			w.refused(d, "500")
			w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
			w.relay.sessions[1].Close() // the dead process's session
		},
		"killed at once": func(w *world, d *dialogue) {
			synctest.Wait()
			w.life.dead.Store(true)
			left := w.sink.left()
			w.server.Stack().Serve() // so that the old server can end
			if err := w.server.Close(); err != nil {
				w.t.Error(err)
			}
			w.begin(left)
			w.refused(d, "500")
			w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
			w.relay.sessions[1].Close() // the dead process's session
		},
	} {
		runIn(t, name, soundingQueue(""), func(w *world) {
			first := w.carrier.dialsTillRung("+15085780001")
			w.served(w.agent, first)
			second, _ := w.sounds("+15075780002", map[string]string{"expires": "Expires: 30\n"}[name], "")
			time.Sleep(time.Second)
			h, err := w.handOver()
			must(w.t, err)
			w.beginWith(nil, h)
			then(w, second)
			synctest.Wait()
			if n := w.relay.open(); n != 1 {
				w.t.Errorf("%d sessions are open", n)
			}
			w.callerEnds(w.agent, first)
		})
	}
}

// TestRingingWithASoundGoesOver: a call whose caller hears our ringback while its target rings is handed over. A call
// whose caller hears the target's early media is not.
func TestRingingWithASoundGoesOver(t *testing.T) {
	inWorldWith(t, strings.Replace(queueConfig, "targets: [agent], queue: {limit: 2, timeout: 50s}", "targets: [agent], ringing: session-progress", 1), func(w *world) {
		d, told := w.sounds("+15075780001", "", "")
		in := w.agent.progresses(180, "Ringing", "agent1", "")
		w.upgraded()
		again := w.cancelledAndAgain(in)
		if m := w.carrier.expect("SIP/2.0 183"); m.value("To") != told.value("To") || string(m.Body()) != string(told.Body()) {
			t.Errorf("another dialog or description:\n%s", m.raw)
		}
		if got := w.listens(d); got != "us" {
			t.Errorf("the caller hears %q", got)
		}
		w.agent.reply(again, 183, "Session Progress", "agent2", agentSDP())
		synctest.Wait()
		if err := w.upgrade(); !isStopped(err, waitsForAnswer) {
			t.Errorf("upgraded: %v", err)
		}
		w.agent.takes(again, "agent2")
		if ok := d.learn(w.carrier.expect("SIP/2.0 200")); string(ok.Body()) != string(told.Body()) {
			t.Errorf("another description:\n%s", ok.raw)
		}
		w.carrier.ack(d)
		synctest.Wait()
		w.callerEnds(w.agent, d)
	})
}

// TestProvenBefore: a caller that authenticated before an upgrade need not do so again after it, although its nonce has
// expired by then.
func TestProvenBefore(t *testing.T) {
	yaml := strings.Replace(soundingQueue(""), `sources: ["192.0.2.10"]`, `sources: ["192.0.2.10"], auth: {username: carrier, password_env: P}`, 1)
	inWorldWith(t, yaml, func(w *world) {
		calls := func(to string) *dialogue {
			d := w.carrier.newCall(to)
			d.extra = authorize(d, w.carrier.challenged(d), "MD5", "carrier", "secret", 1)
			w.carrier.invitesTillRung(d)
			d.extra = ""
			return d
		}
		first := calls("+15075780001")
		w.served(w.agent, first)
		second := calls("+15075780002")
		told := w.carrier.expect("SIP/2.0 183")
		time.Sleep(time.Second)
		w.upgraded()
		if again := w.carrier.expect("SIP/2.0 183"); again.value("To") != told.value("To") {
			t.Errorf("another dialog:\n%s", again.raw)
		}
		w.callerHangsUp(first)
		w.served(w.agent, second)
		w.callerEnds(w.agent, second)
		w.record()
		w.carrier.challenged(w.carrier.newCall("+15075780003")) // other callers are challenged
	})
}

// TestCallersKeepTheirOrder: after an upgrade, waiting callers are served in their order, but first the one whose
// target rang. New calls do not take their places.
func TestCallersKeepTheirOrder(t *testing.T) {
	yaml := strings.NewReplacer("limit: 2", "limit: 10", `country: "1"}`, `country: "1", max_cps: 1}`,
		`["udp://198.51.100.1:5060"]`, `["udp://198.51.100.1:5060"], limits: {setups: 4}`).Replace(queueConfig)
	inWorldWith(t, yaml, func(w *world) {
		all := []*dialogue{w.carrier.dialsTillRung("+15075780001")}
		in := w.agent.progresses(180, "Ringing", "agent", "")
		for i := range 5 {
			time.Sleep(2 * time.Second)
			all = append(all, w.carrier.dialsTillRung(fmt.Sprintf("+1507578000%d", i+2)))
		}
		w.upgraded()
		again := w.cancelledAndAgain(in)
		if !strings.HasPrefix(again.raw, "INVITE sip:"+all[0].to) {
			t.Errorf("somebody else is served:\n%s", again.raw)
		}
		w.carrier.rest()
		if got := w.waiting(); got != "0002 0003 0004 0005 0006" {
			t.Errorf("waiting: %s", got)
		}
		w.agent.takes(again, "agent2")
		all[0].learn(w.carrier.expect("SIP/2.0 200"))
		w.carrier.ack(all[0])
		for i, d := range all {
			w.callerHangsUp(d)
			if i+1 < len(all) {
				w.served(w.agent, all[i+1])
			}
			w.record()
		}
	})
}

// TestAnotherINVITEBeginsNothing: an INVITE from the address of a waiting caller that only resembles the caller's
// INVITE does not take over the waiting call.
func TestAnotherINVITEBeginsNothing(t *testing.T) {
	inWorldWith(t, soundingQueue(""), func(w *world) {
		first := w.carrier.dialsTillRung("+15085780001")
		w.served(w.agent, first)
		second, told := w.sounds("+15075780002", "", "")
		time.Sleep(time.Second)
		w.server.Stack().Hold()
		forged := *second
		forged.to, forged.toTag, forged.sdp = "+15085780009", "", sdpAt("192.0.2.10", 30000)
		w.carrier.invite(&forged)
		w.upgraded()
		if again := w.carrier.expect("SIP/2.0 183"); again.value("To") != told.value("To") {
			t.Errorf("another call:\n%s", again.raw)
		}
		if got := w.waiting(); got != "0002" {
			t.Errorf("waiting: %s", got)
		}
		w.callerHangsUp(first)
		w.served(w.agent, second)
		w.callerEnds(w.agent, second)
		w.record()
	})
}

// A caller behind NAT whose INVITE has no rport keeps its call over an upgrade. The parameters that we add to Via on
// arrival do not make the retransmitted INVITE a different one.
func TestBeginsAgainBehindNAT(t *testing.T) {
	inWorldWith(t, soundingQueue(""), func(w *world) {
		w.served(w.agent, w.carrier.dialsTillRung("+15085780001"))
		d := w.carrier.newCall("+15075780002")
		w.carrier.send(strings.Replace(d.request("INVITE"), "192.0.2.10:5060;branch="+d.branch+";rport", "10.0.0.5:5060;branch="+d.branch, 1))
		d.learn(w.carrier.expect("SIP/2.0 180"))
		told := w.carrier.expect("SIP/2.0 183")
		before, _ := w.callTo(d.to)
		w.upgraded()
		for _, m := range w.carrier.rest() {
			if !strings.HasPrefix(m.raw, "SIP/2.0 183") || string(m.Body()) != string(told.Body()) {
				t.Errorf("the caller got\n%s\nfirst\n%s", m.raw, told.raw)
			}
		}
		if c, _ := w.callTo(d.to); c.Record.ID != before.Record.ID {
			t.Error("it is another call")
		}
		w.server.HangupAll()
		w.drain(3 * time.Minute)
	})
}

// If keys were masked by an operator before an upgrade, an operator can end the masking after it.
func TestUnmaskedWhereItBeginsAgain(t *testing.T) {
	yaml := strings.Replace(talkYAML("", ""), "targets: [agent]}", "targets: [agent], mask_dtmf: on_demand, ringing: session-progress}", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.sounds("+15075785607", "", "")
		in := w.agent.progresses(180, "Ringing", "agent1", "")
		synctest.Wait()
		call, _ := w.callTo(d.to)
		id := call.Record.ID
		if _, err := w.server.Order(w.t.Context(), id, bridge.OrderMask); err != nil {
			t.Fatal(err)
		}
		w.upgraded()
		again := w.cancelledAndAgain(in)
		if _, err := w.server.Order(w.t.Context(), id, bridge.OrderUnmask); err != nil {
			t.Fatal(err)
		}
		w.agent.takes(again, "agent2")
		w.carrier.expect("SIP/2.0 183")
		w.carrier.isAnswered(d)
		if live := w.server.Live(w.t.Context())[0]; live.Masked || w.relay.sessions[0].masks[media.SideA].On {
			t.Errorf("masked %v; by the session %v", live.Masked, w.relay.sessions[0].masks[media.SideA].On)
		}
		w.server.HangupAll()
		w.drain(3 * time.Minute)
	})
}
