package calltest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/answerer"
	"flowbridge/store/record"
)

// detecting makes the trunk detect whether a person or a machine answers, and says what to do with a machine.
func detecting(machine string) string {
	return strings.Replace(originateConfig, "per_hour: 5}", "per_hour: 5, answer: {machine: "+machine+"}}", 1)
}

// judged reports who answered.
func (s *fakeSession) judged(v answerer.Verdict) { s.judgedBy(v, false) }

// judgedBy reports who answered, and whether a beep has followed its greeting.
func (s *fakeSession) judgedBy(v answerer.Verdict, mailbox bool) {
	s.onEvent(media.EventAnsweredBy{Side: media.SideA, Answer: answerer.Answer{
		Verdict: v, Confidence: 0.9, After: time.Second, Mailbox: mailbox,
	}})
}

func (s *fakeSession) beeps() {
	s.onEvent(media.EventBeep{Side: media.SideA, Beep: answerer.Beep{Heard: true, After: 5 * time.Second}})
}

// An upgrade may come at each step of a placed call that has no agent yet. The person called first stays, and the call
// continues.
func TestOriginateUpgradedAnyTime(t *testing.T) {
	taken := func(w *world, called received) { w.agent.concludes(called, 200, "OK", "agent1", agentSDP()) }
	for name, tt := range map[string]struct {
		answer string
		before func(w *world, invite received) (called received)
		after  func(w *world, invite, called received) // plays until an agent is connected or the call is hung up
		why    cause.Cause
		who    string
	}{
		"the customer has sent nothing": {"hangup", func(*world, received) (called received) { return called }, func(w *world, invite, _ received) {
			again := w.carrier.expect("INVITE sip:+15075785607@192.0.2.10")
			if again.value("Via") != invite.value("Via") || again.value("Call-ID") != invite.value("Call-ID") {
				w.t.Errorf("another INVITE: %s", again.raw)
			}
			w.carrier.concludes(again, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			w.session().judged(answerer.Human)
			taken(w, w.agent.expect("INVITE"))
		}, cause.CallerHangup, "human"},
		"the verdict is waited for": {"hangup", func(w *world, invite received) (called received) {
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			return called
		}, func(w *world, _, _ received) { taken(w, w.agent.expect("INVITE")) }, cause.CallerHangup, "unknown"},
		"a beep is waited for": {"play, play: us", func(w *world, invite received) (called received) {
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			w.session().judged(answerer.Machine)
			return called
		}, func(w *world, _, _ received) {
			s := w.session()
			if !s.asked.Load() {
				w.t.Error("the beep is not waited for")
			}
			s.judged(answerer.Unknown) // the verdict after the rest of the greeting
			w.agent.silent(time.Second)
			s.beeps()
			synctest.Wait()
			s.onEvent(media.EventPlayed{Side: media.SideA, ID: 1})
		}, cause.AnsweredByMachine, "machine"},
		"a machine hears the sound": {"play, play: us", func(w *world, invite received) (called received) {
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			w.session().judged(answerer.Machine)
			synctest.Wait()
			w.session().beeps()
			return called
		}, func(w *world, _, _ received) {
			if w.session().plays[media.SideA].Sound == nil {
				w.t.Error("the sound is not played again")
			}
			w.session().onEvent(media.EventPlayed{Side: media.SideA, ID: 1})
		}, cause.AnsweredByMachine, "machine"},
		"the agent rings": {"hangup", func(w *world, invite received) (called received) {
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			w.session().judged(answerer.Human)
			called = w.agent.expect("INVITE")
			w.agent.reply(called, 180, "Ringing", "agent1", "")
			return called
		}, func(w *world, _, called received) {
			for _, m := range w.agent.rest() {
				if strings.HasPrefix(m.raw, "CANCEL") {
					w.agent.reply(m, 200, "OK", "agent1", "")
					w.agent.concludes(called, 487, "Request Terminated", "agent1", "")
				} else {
					taken(w, m)
				}
			}
		}, cause.CallerHangup, "human"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, detecting(tt.answer), func(w *world) {
				live, invite := w.originates(origination())
				called := tt.before(w, invite)
				synctest.Wait()
				must(t, w.upgrade())
				synctest.Wait()
				for _, l := range w.server.Live(context.Background()) {
					if !l.Record.IsPlaced() {
						t.Error("the call counts as a caller's")
					}
				}
				tt.after(w, invite, called)
				if tt.why == cause.CallerHangup {
					synctest.Wait()
					w.customerHangsUp(invite)
					hungUpOn(w.agent)
				} else {
					hungUpOn(w.carrier)
				}
				r := w.record()
				if r.ID != live.Record.ID || r.Cause != string(tt.why) || r.Restored != 0 || r.AnsweredAt.IsZero() ||
					r.Attempts[0].AnsweredBy != tt.who {
					t.Errorf("record %+v", r)
				}
				w.leftOpen()
			})
		})
	}
}

// If the new configuration lacks the sound for machines, or no longer has placed calls at all, a machine is hung up on
// when its beep comes.
func TestOriginateUpgradedWithoutAnswer(t *testing.T) {
	for name, change := range map[string]func(*config.Trunk){
		"answer":    func(t *config.Trunk) { t.Originate = &config.Originate{Numbers: t.Originate.Numbers} },
		"originate": func(t *config.Trunk) { t.Originate = nil },
	} {
		runIn(t, name, detecting("play, play: us"), func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			w.session().judged(answerer.Machine)
			synctest.Wait()
			cfg := *w.options.Config
			cfg.Trunks = slices.Clone(cfg.Trunks)
			change(&cfg.Trunks[0])
			w.options.Config = &cfg
			must(w.t, w.upgrade())
			synctest.Wait()
			w.session().beeps()
			hungUpOn(w.carrier)
			w.wantRecord(record.DispositionAnswered, cause.AnsweredByMachine, record.EndedBySystem)
		})
	}
}

// If the person called first has already sent the SDP answer in a reliable provisional answer, the 200 need not repeat
// it. After an upgrade our CSeqs and SDP versions continue.
func TestOriginateUpgradedAfterReliableAnswer(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		_, invite := w.originates(origination())
		reliably := func(n string, code int, sdp string) received {
			w.carrier.reply(invite, code, "Progress", "customer", sdp, "Require: 100rel", "RSeq: "+n)
			prack := w.carrier.expect("PRACK")
			w.carrier.reply(prack, 200, "OK", "customer", "")
			return prack
		}
		first := reliably("7", 183, sdpAt("192.0.2.10", 20000))
		synctest.Wait()
		must(t, w.upgrade())
		second := reliably("8", 180, "")
		if a, b := first.Message.CSeq().SeqNo, second.Message.CSeq().SeqNo; b <= a {
			t.Errorf("CSeq %d after %d", b, a)
		}
		w.carrier.concludes(invite, 200, "OK", "customer", "")
		w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP())
		if got := w.session().peers[media.SideA].RTP.String(); got != "192.0.2.10:20000" {
			t.Errorf("media of side A goes to %s", got)
		}
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// A route's split chooses the agent of a placed call, also after an upgrade, and the record says so.
func TestOriginateSplit(t *testing.T) {
	yaml := strings.Replace(originateConfig, "targets: [agent, spare]", "targets: [agent, spare], split: {agent: 99, spare: 1}", 1)
	for name, upgraded := range map[string]bool{"at once": false, "after an upgrade": true} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, yaml, func(w *world) {
				live, invite := w.originates(origination())
				w.carrier.reply(invite, 180, "Ringing", "customer", "")
				if synctest.Wait(); upgraded {
					must(t, w.upgrade())
				}
				w.agent.concludes(w.customerTakes(invite), 200, "OK", "agent1", agentSDP())
				w.customerHangsUp(invite)
				hungUpOn(w.agent)
				r := w.record()
				if a := r.Attempts; len(a) != 2 || a[1].Target != "agent" || a[1].Reason != record.ReasonSplit || !r.IsConnected() {
					t.Errorf("attempts %+v", a)
				}
				time.Sleep(time.Minute) // the ladder is stored once the transactions are over
				var text strings.Builder
				must(t, w.ladder(live.Record.ID).Texts(&text))
				if !strings.Contains(text.String(), "split: target agent has this caller, by 99 of 100") {
					t.Errorf("ladder:\n%s", &text)
				}
			})
		})
	}
}
