package calltest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/media/answerer"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// presses lets the caller press a key.
func (w *world) presses(digit byte) {
	w.t.Helper()
	s := w.relay.sessions[len(w.relay.sessions)-1]
	s.onEvent(media.EventDigit{Side: media.SideA, Digit: digit, Duration: 100 * time.Millisecond})
	synctest.Wait()
}

// tellsWith returns tellConfig with these settings of tell besides sound.
func tellsWith(settings string) string {
	return replacedOnce(tellConfig, "tell: {sound: eu}", "tell: {sound: eu, "+settings+"}")
}

// What follows the key that a caller is asked for.
func TestCallerAccepts(t *testing.T) {
	const accept = `accept: {key: "1", within: 6s`
	for name, tt := range map[string]struct {
		otherwise string
		early     byte // pressed during the statement; 0 means none
		late      byte // pressed after it
		at        string
		key       string
	}{
		"accepted after it":          {"", 0, '1', "agent", "1"},
		"accepted during it":         {"", '1', 0, "agent", "1"},
		"another key":                {"", 0, '2', "", "2"},
		"no key":                     {"", 0, 0, "", ""},
		"another key, and continues": {", otherwise: continue", 0, '2', "agent", "2"},
		"no key, and continues":      {", otherwise: continue", 0, 0, "agent", ""},
		"another key, to people":     {", otherwise: {route: people}", 0, '2', "spare", "2"},
	} {
		runIn(t, name, tellsWith(accept+tt.otherwise+"}"), func(w *world) {
			d := w.isTold("+15075785607")
			if tt.early != 0 {
				w.presses(tt.early)
			}
			time.Sleep(statement)
			if early := append(w.agent.rest(), w.agent2.rest()...); len(early) > 0 {
				t.Fatalf("somebody is called before the key: %v", early)
			}
			w.said(saidWhole())
			if tt.late != 0 {
				w.presses(tt.late)
			} else if tt.early == 0 {
				time.Sleep(6 * time.Second)
			}
			agent := map[string]*peer{"agent": w.agent, "spare": w.agent2}[tt.at]
			if agent == nil {
				hungUpOn(w.carrier)
				r := w.wantRecord(record.DispositionFailed, cause.NotAccepted, record.EndedBySystem)
				if r.Told == nil || r.Told.Key != tt.key || !r.Told.Whole || r.Told.Accepted == nil || *r.Told.Accepted {
					t.Errorf("told %+v", r.Told)
				}
				return
			}
			w.letsIn()
			w.takes(agent)
			w.carrier.hangsUpOn(agent, d)
			if r := w.record(); r.Told == nil || r.Told.Key != tt.key || r.Target != tt.at || r.Told.Counts() != (tt.key == "1") {
				t.Errorf("told %+v, target %s", r.Told, r.Target)
			}
		})
	}
}

// A call that is told and not taken says so to its caller, and has failed.
func TestNotTaken(t *testing.T) {
	for _, sound := range []string{"", "us"} {
		settings := "early: false"
		if sound != "" {
			settings = "not_taken: us"
		}
		runIn(t, "says "+sound, tellsWith(settings), func(w *world) {
			w.isTold("+15075785607")
			w.hearsAll()
			w.agent.concludes(w.agent.expect("INVITE"), 503, "No", "agent1", "")
			w.agent2.concludes(w.agent2.expect("INVITE"), 486, "Busy", "b", "")
			synctest.Wait()
			if sound != "" {
				if p := w.session().plays[media.SideA]; p.Sound.Duration() == statement {
					t.Errorf("the caller hears %+v", p)
				}
				w.said(media.Sent{At: time.Second, Packets: 1})
			}
			hungUpOn(w.carrier)
			r := w.wantRecord(record.DispositionFailed, cause.TargetBusy, record.EndedBySystem)
			if r.SIPStatus != 200 || r.AnsweredAt.IsZero() || len(r.Attempts) != 2 || !r.Told.Whole {
				t.Errorf("%+v", r)
			}
		})
	}
}

// If no target can be called, the statement is not said: the caller is refused as without tell.
func TestRefusedUntold(t *testing.T) {
	full := strings.Replace(tellConfig, `@192.0.2.20:32681"}`, `@192.0.2.20:32681", max_calls: 1}`, 1)
	full = strings.Replace(full, "[agent, spare]", "[agent]", 1)
	inWorldWith(t, full, func(w *world) {
		d := w.isTold("+15075785607")
		other := w.carrier.newCall("+15075785608")
		w.carrier.invitesTillRung(other)
		w.refused(other, "503")
		w.wantRecord(record.DispositionFailed, cause.TargetCapped, record.EndedBySystem)
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		r := w.wantRecord(record.DispositionCancelled, cause.CallerHangup, record.EndedByCaller)
		if r.Told == nil || r.Told.Whole {
			t.Errorf("told %+v", r.Told)
		}
	})
}

// A statement of which something was not sent is said once more. Then the call fails, unless it is not required.
func TestNotSentWhole(t *testing.T) {
	broken := media.Sent{At: statement, Packets: 200, Missed: 50}
	for _, required := range []string{"true", "false"} {
		runIn(t, "required "+required, tellsWith("required: "+required), func(w *world) {
			d := w.isTold("+15075785607")
			time.Sleep(statement)
			w.said(broken)
			w.tells() // again
			w.said(broken)
			if required == "true" {
				hungUpOn(w.carrier)
				w.wantRecord(record.DispositionFailed, cause.NotTold, record.EndedBySystem)
				return
			}
			w.takes(w.agent)
			w.carrier.hangsUpOn(w.agent, d)
			if r := w.record(); r.Told == nil || r.Told.Whole || r.Told.Packets != 200 {
				t.Errorf("told %+v", r.Told)
			}
		})
	}
}

// A caller in whose codec no sound can be played is not told.
func TestCodecWithoutSound(t *testing.T) {
	for _, required := range []string{"true", "false"} {
		yaml := strings.ReplaceAll(tellsWith("required: "+required), `:32681"}`, `:32681", codecs: [PCMU, G722]}`)
		runIn(t, "required "+required, yaml, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = siptest.SessionAt("192.0.2.10", 20000, "9 101")
			w.carrier.invitesTillRung(d)
			if required == "true" {
				w.refused(d, "503")
				w.wantRecord(record.DispositionFailed, cause.NotTold, record.EndedBySystem)
				return
			}
			invite := w.agent.expect("INVITE")
			w.agent.reply(invite, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "9 101"))
			w.agent.expect("ACK")
			w.carrier.isAnswered(d)
			w.carrier.hangsUpOn(w.agent, d)
		})
	}
}

// A caller that holds the call hears the statement from its beginning when it is back.
func TestHoldDuringTheStatement(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		d := w.isTold("+15075785607")
		c := w.talkOf(d, received{})
		time.Sleep(statement / 2)
		w.relay.sessions[0].heard = nil
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=sendonly"), "200")
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101"), "200")
		w.hears("a hears 1s of law 0 as 0, loop true, yield false", "a hears 5s of law 0 as 0, loop false, yield false")
		w.tells()
		time.Sleep(statement - time.Millisecond)
		if early := w.agent.rest(); len(early) > 0 {
			t.Fatalf("the agent is called during the statement: %v", early)
		}
		w.said(saidWhole())
		w.takes(w.agent)
		w.carrier.hangsUpOn(w.agent, d)
	})
}

// No caller reaches an agent without the statement: orders during the statement are refused, and what a target does has
// no effect on it.
func TestNoCallerGetsThroughUntold(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		d := w.isTold("+15075785607")
		id := w.server.Live(w.t.Context())[0].Record.ID
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: bridge.SoundNone}, "has to hear")
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "us"}, "has to hear")
		for _, o := range []bridge.Order{bridge.OrderHold, bridge.OrderRecord} {
			if _, err := w.server.Order(w.t.Context(), id, o); err == nil {
				t.Errorf("%s is obeyed", o)
			}
		}
		w.tells()
		w.hearsAll()
		w.takes(w.agent)
		w.carrier.hangsUpOn(w.agent, d)
	})
}

// placedTell is a configuration for placed calls, whose route tells something, with these settings of answer.
func placedTell(answer string) string {
	return replacedOnce(originateConfig, "per_hour: 5}", "per_hour: 5, answer: {"+answer+"}}",
		"targets: [agent, spare]}", "targets: [agent, spare], tell: {sound: eu}}")
}

// isTaken places a call that is answered. It returns the INVITE.
func (w *world) isTaken() (invite received) {
	w.t.Helper()
	_, invite = w.originates(origination())
	w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
	return invite
}

// toldPerson makes the answering person of a placed call hear the statement, talk to the agent, and hang up.
func (w *world) toldPerson(invite received) {
	w.t.Helper()
	w.hearsAll()
	w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP())
	w.customerHangsUp(invite)
	hungUpOn(w.agent)
	if r := w.record(); r.Told == nil || !r.Told.Whole {
		w.t.Errorf("told %+v", r.Told)
	}
}

// A person who takes a placed call is told before the agent is called; a mailbox is not.
func TestPlacedCallIsTold(t *testing.T) {
	for name, who := range map[string]answerer.Verdict{"a person": answerer.Human, "a machine": answerer.Machine} {
		runIn(t, name, placedTell("machine: hangup"), func(w *world) {
			invite := w.isTaken()
			w.session().judged(who)
			synctest.Wait()
			if who == answerer.Machine {
				hungUpOn(w.carrier)
				if r := w.record(); r.Told != nil {
					t.Errorf("told %+v", r.Told)
				}
				return
			}
			w.tells()
			w.toldPerson(invite)
		})
	}
}

// With machine: bridge, somebody who is taken for a machine because of a long utterance may be a person, and is told
// before the agent is called, also after an upgrade. A mailbox that beeps hears nothing, also of not_taken.
func TestMachineThatIsBridged(t *testing.T) {
	yaml := replacedOnce(placedTell("machine: bridge, screening: hangup"), "{sound: eu}", "{sound: eu, not_taken: us}",
		"X-Lead:", `X-Told: "<{{.Told}}>", X-Lead:`)
	for _, upgraded := range []bool{false, true} {
		runIn(t, fmt.Sprintf("long utterance, upgraded %t", upgraded), yaml, func(w *world) {
			invite := w.isTaken()
			w.session().judgedBy(answerer.Machine, false)
			w.tells()
			if upgraded {
				w.upgraded()
				w.tells()
			}
			if early := w.agent.rest(); len(early) > 0 {
				t.Fatalf("the agent is called untold: %v", early)
			}
			w.toldPerson(invite)
		})
		runIn(t, fmt.Sprintf("beep, upgraded %t", upgraded), yaml, func(w *world) {
			w.isTaken()
			w.session().judgedBy(answerer.Machine, true)
			called := w.agent.progresses(180, "Ringing", "agent1", "")
			heard := slices.Clone(w.session().heard)
			if upgraded {
				w.upgraded()
				called = w.cancelledAndAgain(called)
			}
			if told := called.value("X-Told"); told != "<>" {
				t.Errorf("the agent is told that the mailbox was told %q", told)
			}
			w.agent.concludes(called, 503, "No", "agent2", "")
			w.agent2.concludes(w.agent2.expect("INVITE"), 486, "Busy", "b", "")
			hungUpOn(w.carrier)
			r := w.record()
			if r.Told != nil || r.Attempts[0].AnsweredBy != string(answerer.Machine) || r.Cause != string(cause.TargetBusy) {
				t.Errorf("told %+v, %s, attempts %+v", r.Told, r.Cause, r.Attempts)
			}
			if r.Disposition != record.DispositionAnswered || !r.AgentAnsweredAt.IsZero() {
				t.Errorf("disposition %s, an agent at %v", r.Disposition, r.AgentAnsweredAt)
			}
			for _, h := range append(heard, w.session().heard...) {
				if strings.Contains(h, "loop false") {
					t.Errorf("the mailbox: %s", h)
				}
			}
		})
	}
}

// A mailbox that gets no statement has the record of a call without tell, even if the mailbox ends the call.
func TestRecordOfAMailbox(t *testing.T) {
	for name, taken := range map[string]bool{"hangs up": false, "gets the agent": true} {
		runIn(t, name, placedTell("machine: bridge, screening: hangup"), func(w *world) {
			invite := w.isTaken()
			w.session().judgedBy(answerer.Machine, true)
			called := w.agent.progresses(180, "Ringing", "agent1", "")
			if taken {
				w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
			}
			w.customerHangsUp(invite)
			if taken {
				hungUpOn(w.agent)
			} else {
				w.agent.takesCancel(called, "agent1")
			}
			r := w.record()
			if r.Disposition != record.DispositionAnswered || r.Told != nil || !r.AgentAnsweredAt.IsZero() {
				t.Errorf("disposition %s, told %+v, an agent at %v", r.Disposition, r.Told, r.AgentAnsweredAt)
			}
		})
	}
}

// A beep without a greeting may come from a person's phone: with machine: bridge it does not end the statement. A beep
// after a greeting does.
func TestBeepDuringTheStatement(t *testing.T) {
	for _, tt := range []struct {
		answer  string
		mailbox bool
		early   bool // the agent is being called
	}{
		{"", false, false},
		{"", false, true},
		{"", true, false},
		{"machine: bridge, screening: hangup", false, false},
		{"machine: bridge, screening: hangup", true, false},
	} {
		runIn(t, fmt.Sprintf("%+v", tt), placedTell(tt.answer), func(w *world) {
			if tt.early {
				w.usuallyAnswers("agent", 3*time.Second)
			}
			invite := w.isTaken()
			w.session().judged(answerer.Unknown)
			w.tells()
			time.Sleep(2 * time.Second)
			var called received
			if tt.early {
				called = w.agent.progresses(180, "Ringing", "agent1", "")
			}
			time.Sleep(time.Second)
			w.session().judgedBy(answerer.Machine, tt.mailbox)
			if synctest.Wait(); tt.mailbox {
				w.letsIn()
				w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP())
				w.customerHangsUp(invite)
				hungUpOn(w.agent)
				if r := w.record(); r.Told == nil || r.Told.Whole || r.AgentAnsweredAt.IsZero() {
					t.Errorf("told %+v, an agent at %v", r.Told, r.AgentAnsweredAt)
				}
				return
			}
			if tt.early {
				w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
			}
			w.tells()
			if early := w.agent.rest(); len(early) > 0 {
				t.Fatalf("an agent is called untold: %v", early)
			}
			time.Sleep(statement - 3*time.Second)
			if w.said(saidWhole()); !tt.early {
				w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP())
			}
			w.letsIn()
			w.customerHangsUp(invite)
			hungUpOn(w.agent)
			if r := w.record(); r.Told == nil || !r.Told.Whole || r.Attempts[0].AnsweredBy != string(answerer.Machine) {
				t.Errorf("told %+v, attempts %+v", r.Told, r.Attempts)
			}
		})
	}
}

// A verdict that comes during the statement calls no second agent.
func TestVerdictDuringTheStatement(t *testing.T) {
	for _, who := range []answerer.Verdict{answerer.Human, answerer.Unknown} {
		runIn(t, string(who), placedTell(""), func(w *world) {
			invite := w.isTaken()
			w.tells()
			time.Sleep(2 * time.Second)
			w.session().judged(who)
			synctest.Wait()
			if early := w.agent.rest(); len(early) > 0 {
				t.Fatalf("the agent is called during the statement: %v", early)
			}
			time.Sleep(statement - 2*time.Second)
			w.said(saidWhole())
			w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP())
			if more := append(w.agent.rest(), w.agent2.rest()...); len(more) > 0 {
				t.Fatalf("another agent is called: %v", more)
			}
			w.customerHangsUp(invite)
			hungUpOn(w.agent)
		})
	}
}

// A caller that keeps the call on hold during the statement does not keep a target's place for ever.
func TestHoldWithoutEnd(t *testing.T) {
	inWorldWith(t, tellConfig, func(w *world) {
		d := w.isTold("+15075785607")
		c := w.talkOf(d, received{})
		c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101", "a=inactive"), "200")
		time.Sleep(statement + 2*time.Minute + time.Millisecond)
		hungUpOn(w.carrier)
		w.wantRecord(record.DispositionFailed, cause.NotTold, record.EndedBySystem)
	})
}
