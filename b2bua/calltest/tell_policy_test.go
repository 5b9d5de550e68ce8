package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// The caller hears a statement in early media, and the first target leaves while it waits: the last one gets the call.
func TestLastTargetDuringAnEarlyStatement(t *testing.T) {
	inWorldWith(t, tellsWith("early: true"), func(w *world) {
		w.usuallyAnswers("agent", 2*time.Second)
		d := w.isToldEarly()
		time.Sleep(statement - 2*time.Second + time.Millisecond)
		invite := w.agent.expect("INVITE")
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.agent.agentRequest("BYE", invite, "agent1", 1)
		w.agent.expect("SIP/2.0 200")
		w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "spare", sdpAt("192.0.2.21", 41000))
		w.tells()
		time.Sleep(2 * time.Second)
		w.said(saidWhole())
		w.carrier.isAnswered(d)
		w.letsIn()
		w.carrier.hangsUpOn(w.agent2, d)
		if r := w.record(); len(r.Attempts) != 2 || r.Disposition != record.DispositionAnswered {
			t.Errorf("%s %s, attempts %+v", r.Disposition, r.Cause, r.Attempts)
		}
	})
}

// A caller may press keys and hold the call while it hears that no target takes it.
func TestCallerActsWhileNotTaken(t *testing.T) {
	inWorldWith(t, tellsWith("not_taken: us"), func(w *world) {
		d := w.isTold("+15075785607")
		c := w.talkOf(d, received{})
		w.hearsAll()
		w.agent.concludes(w.agent.expect("INVITE"), 503, "No", "agent1", "")
		w.agent2.concludes(w.agent2.expect("INVITE"), 486, "Busy", "b", "")
		synctest.Wait()
		w.carrier.within(d, "INFO", "Signal=1\r\nDuration=100\r\n", "Content-Type: application/dtmf-relay")
		w.carrier.expect("SIP/2.0 200")
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=sendonly"), "200")
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101"), "200")
		w.said(saidWhole())
		hungUpOn(w.carrier)
		w.wantRecord(record.DispositionFailed, cause.TargetBusy, record.EndedBySystem)
	})
}

// The route that takes a caller who does not accept decides about the recording from then on.
func TestRecordingOfTheRouteAfterwards(t *testing.T) {
	for before, all := range map[string]map[string]string{ // wanted of the second route -> state
		"always": {
			"always": bridge.RecordingOn, "off": bridge.RecordingOff, "on_demand": bridge.RecordingOff,
		},
		"told": {"always": bridge.RecordingOn, "off": bridge.RecordingOff},
		"off":  {"always": bridge.RecordingOn},
	} {
		for after, state := range all {
			yaml := tellsWith(`accept: {key: "1", within: 6s, otherwise: {route: people}}`)
			yaml = strings.Replace(yaml, "}}}}", "}}}, record: "+before+"}", 1)
			yaml = strings.Replace(yaml, `"^\\+1509", targets: [spare]}`, `"^\\+1509", targets: [spare], record: `+after+"}", 1)
			t.Run(before+", then "+after, func(t *testing.T) {
				inRecordedWorld(t, "recording: {path: unused}\n"+yaml, func(w *recorded) {
					d := w.isTold("+15075785607")
					w.hearsAll()
					w.presses('2')
					w.takes(w.agent2)
					synctest.Wait()
					if is := w.server.Live(w.t.Context())[0].Recording; is != state {
						t.Errorf("recording %s; want %s", is, state)
					}
					w.carrier.hangsUpOn(w.agent2, d)
					w.record()
				})
			})
		}
	}
}

// An agent that waits hears silence, which goes on where ICE moves the agent, and ends for the agent that gets the
// caller: also if the first agent left before the statement's end.
func TestSilenceOfAnAgentThatWaits(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		inWorldWith(t, tellConfig, func(w *world) {
			w.usuallyAnswers("agent", 3*time.Second)
			d := w.isTold("+15075785607")
			time.Sleep(statement - 3*time.Second + time.Millisecond)
			invite := w.agent.expect("INVITE")
			w.agent.answer(invite, "agent1")
			w.agent.expect("ACK")
			synctest.Wait()
			s, agent := w.session(), w.agent
			s.mu.Lock()
			p, plays := s.plays[media.SideB], !s.began[media.SideB].IsZero()
			if !plays || p.Sound == nil || !p.Loop || !p.Whole || p.Mix || p.Yield {
				t.Errorf("the agent hears %+v", p)
			}
			s.mu.Unlock()
			if leaves {
				w.agent.agentRequest("BYE", invite, "agent1", 1)
				w.agent.expect("SIP/2.0 200")
				invite = w.agent2.progresses(180, "Ringing", "b", "")
			}
			time.Sleep(3 * time.Second)
			w.said(saidWhole())
			if leaves {
				agent = w.agent2
				agent.concludes(invite, 200, "OK", "b", sdpAt("192.0.2.21", 41000))
			}
			w.letsIn()
			s.mu.Lock()
			if !s.began[media.SideB].IsZero() {
				t.Errorf("the agent that has the caller hears %+v", s.plays[media.SideB])
			}
			s.mu.Unlock()
			w.carrier.hangsUpOn(agent, d)
			w.record()
		})
	}
}

// The record of a told call says when its first agent answered, also if the caller gets another one.
func TestAgentAnsweredAt(t *testing.T) {
	for name, yaml := range map[string]string{"answered": tellConfig, "early": tellsWith("early: true")} {
		runIn(t, name, yaml, func(w *world) {
			w.usuallyAnswers("agent", 3*time.Second)
			d := w.carrier.newCall("+15075785607")
			w.carrier.invitesTillRung(d)
			if name == "early" {
				d.learn(w.carrier.expect("SIP/2.0 183"))
			} else {
				w.carrier.isAnswered(d)
			}
			time.Sleep(statement - 3*time.Second + time.Millisecond)
			invite := w.agent.expect("INVITE")
			want := record.TimeOf(time.Now())
			w.agent.answer(invite, "agent1")
			w.agent.expect("ACK")
			w.agent.agentRequest("BYE", invite, "agent1", 1)
			w.agent.expect("SIP/2.0 200")
			invite = w.agent2.progresses(180, "Ringing", "b", "")
			time.Sleep(3 * time.Second)
			w.said(saidWhole())
			w.agent2.concludes(invite, 200, "OK", "b", sdpAt("192.0.2.21", 41000))
			if name == "early" {
				w.carrier.isAnswered(d)
			}
			w.carrier.hangsUpOn(w.agent2, d)
			if r := w.record(); !r.AgentAnsweredAt.Equal(want.Time) {
				t.Errorf("the agent answered at %v; want %v", r.AgentAnsweredAt, want)
			}
		})
	}
}
