package calltest

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// A statement in early media: the agent's answer waits for its end.
func TestEarlyStatement(t *testing.T) {
	inWorldWith(t, tellsWith("early: true"), func(w *world) {
		d := w.isToldEarly()
		w.tells()
		if live := w.server.Live(w.t.Context()); len(live) != 1 || live[0].Phase != "dialing" {
			t.Errorf("%+v", live)
		}
		time.Sleep(statement)
		if early := w.agent.rest(); len(early) > 0 {
			t.Fatalf("the agent is called before the statement's end: %v", early)
		}
		w.said(saidWhole())
		invite := w.agent.progresses(180, "Ringing", "agent1", "")
		time.Sleep(time.Second)
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.carrier.isAnswered(d)
		w.letsIn()
		w.carrier.hangsUpOn(w.agent, d)
		if r := w.record(); r.Told == nil || !r.Told.Whole || r.Disposition != record.DispositionAnswered {
			t.Errorf("told %+v", r.Told)
		}
	})
}

// With early media, a refusal passes, and a target that answers before the end waits.
func TestEarlyStatementAndAnEarlyAgent(t *testing.T) {
	inWorldWith(t, tellsWith("early: true"), func(w *world) {
		w.usuallyAnswers("agent", 2*time.Second)
		d := w.isToldEarly()
		time.Sleep(statement - 2*time.Second + time.Millisecond)
		invite := w.agent.progresses(183, "Progress", "agent1", agentSDP())
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.tells()
		if left := w.carrier.rest(); len(left) > 0 {
			t.Fatalf("answered before the statement's end:\n%s", left[0].raw)
		}
		time.Sleep(2 * time.Second)
		w.said(saidWhole())
		w.carrier.isAnswered(d)
		w.letsIn()
		w.carrier.hangsUpOn(w.agent, d)
		w.record()

		d = w.isToldEarly()
		time.Sleep(statement - 2*time.Second + time.Millisecond)
		w.agent.concludes(w.agent.expect("INVITE"), 404, "Not Found", "agent1", "")
		w.refused(d, "404")
	})
}

// A caller whose INVITE has no offer gets one, and hears the statement once its answer is there.
func TestStatementToALateOffer(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = ""
		w.carrier.invitesTillRung(d)
		d.learn(w.carrier.expect("SIP/2.0 200"))
		if p := w.session().plays[media.SideA]; p.Sound != nil && p.Sound.Duration() == statement {
			t.Error("the statement begins before the caller's answer")
		}
		w.carrier.ackOf(d, d.seq, siptest.SessionAt("192.0.2.10", 20000, "0 101"))
		w.tells()
		w.hearsAll()
		w.takes(w.agent)
		w.carrier.hangsUpOn(w.agent, d)
		w.record()
	})
}

// After an upgrade the statement continues where it was. After a kill it restarts.
func TestStatementGoesOn(t *testing.T) {
	for name, upgraded := range map[string]bool{"an upgrade": true, "a kill": false} {
		runIn(t, name, tellConfig, func(w *world) {
			d := w.isTold("+15075785607")
			w.hearsHalf()
			w.replaced(d, upgraded)
			w.tells()
			rest := saidWhole()
			if at := w.session().plays[media.SideA].From; upgraded {
				if at != statement/2 {
					t.Errorf("it continues at %v", at)
				}
				rest.Packets = 125
			} else if at != 0 {
				t.Errorf("it begins at %v", at)
			}
			time.Sleep(statement)
			w.said(rest)
			w.letsIn()
			w.takes(w.agent)
			w.carrier.hangsUpOn(w.agent, d)
			if r := w.record(); r.Told == nil || !r.Told.Whole || r.Told.Packets != 250 {
				t.Errorf("told %+v", r.Told)
			}
		})
	}
}

// A target that is called during the statement when the process is killed is called again after the statement.
func TestKillWhileTheAgentWaits(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		w.usuallyAnswers("agent", 3*time.Second)
		d := w.isTold("+15075785607")
		time.Sleep(statement - 3*time.Second + time.Millisecond)
		invite := w.agent.expect("INVITE")
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.replaced(d, false)
		hungUpOn(w.agent)
		w.tells()
		w.hearsAll()
		synctest.Wait()
		w.agent.answer(w.agent.expect("INVITE"), "agent2")
		w.agent.expect("ACK")
		w.carrier.hangsUpOn(w.agent, d)
	})
}

// A process whose route no longer tells anything connects the caller, and holds no agent back.
func TestRouteNoLongerTells(t *testing.T) {
	for name, upgraded := range map[string]bool{"an upgrade": true, "a kill": false} {
		runIn(t, name, tellConfig, func(w *world) {
			d := w.isTold("+15075785607")
			time.Sleep(statement / 2)
			w.reconfigured(", tell: {sound: eu}", "")
			w.replaced(d, upgraded)
			w.letsIn()
			w.takes(w.agent)
			w.letsIn()
			w.carrier.hangsUpOn(w.agent, d)
		})
	}
}

// A key that the caller has pressed during the sound counts after an upgrade in the middle of it.
func TestKeyBeforeAnUpgrade(t *testing.T) {
	for key, accepts := range map[byte]bool{'1': true, '2': false} {
		runIn(t, string(key), tellsWith(`accept: {key: "1", within: 6s}`), func(w *world) {
			d := w.isTold("+15075785607")
			w.hearsHalf()
			w.presses(key)
			w.upgraded()
			w.tells()
			time.Sleep(statement / 2)
			rest := saidWhole()
			rest.Packets = 125
			w.said(rest)
			if !accepts {
				hungUpOn(w.carrier)
				if r := w.wantRecord(record.DispositionFailed, cause.NotAccepted, record.EndedBySystem); r.Told.Key != "2" {
					t.Errorf("told %+v", r.Told)
				}
				return
			}
			w.takes(w.agent)
			w.carrier.hangsUpOn(w.agent, d)
			if r := w.record(); r.Told == nil || r.Told.Key != "1" || !r.Told.Whole {
				t.Errorf("told %+v", r.Told)
			}
		})
	}
}
