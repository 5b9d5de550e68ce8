package calltest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/media"
	"flowbridge/media/answerer"
)

// A placed call may be answered by a machine instead of a person.
func TestWhoAnswers(t *testing.T) {
	by := func(v answerer.Verdict) media.Event {
		return media.EventAnsweredBy{Side: media.SideA, Answer: answerer.Answer{Verdict: v, Confidence: 0.8123, After: time.Second}}
	}
	for name, tt := range map[string]struct {
		answer string
		says   answerer.Verdict
		calls  bool // whether an agent is called
	}{
		"a person":                        {"machine: hangup", answerer.Human, true},
		"it is not known":                 {"machine: hangup", answerer.Unknown, true},
		"a beep after it was not known":   {"machine: play, play: us", answerer.Unknown, true},
		"a machine":                       {"machine: hangup", answerer.Machine, false},
		"a fax":                           {"machine: hangup", answerer.Fax, false},
		"a network":                       {"", answerer.SIT, false},
		"a machine that is connected":     {"", answerer.Machine, true},
		"a machine that hears a message":  {"machine: play, play: us", answerer.Machine, false},
		"a person instead of the machine": {"machine: play, play: us", answerer.Human, true},
		"call screening":                  {"machine: hangup", answerer.Screening, true},
		"screening, not machines":         {"screening: hangup", answerer.Screening, false},
		"a machine, not screening":        {"screening: hangup", answerer.Machine, true},
		"screening that hears a message":  {"screening: play, play: us", answerer.Screening, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, strings.Replace(originateConfig, "per_hour: 5}", "per_hour: 5, answer: {"+tt.answer+"}}", 1), func(w *world) {
				_, invite := w.originates(origination())
				w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
				waits := strings.Contains(tt.answer, "hangup") || strings.Contains(tt.answer, "play")
				early := w.agent.rest()
				if len(early) > 0 == waits {
					t.Fatalf("the agent is called before it is known: %v", early)
				}
				if !waits {
					w.agent.concludes(early[0], 200, "OK", "agent1", agentSDP())
				}
				s := w.session()
				s.onEvent(by(tt.says))
				switch {
				case tt.calls && waits:
					w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP())
					s.onEvent(media.EventBeep{Side: media.SideA, Beep: answerer.Beep{Heard: true, After: 5 * time.Second}})
				case strings.Contains(tt.answer, "play"):
					if tt.says == answerer.Machine {
						s.beeps()
					}
					synctest.Wait()
					s.onEvent(media.EventPlayed{Side: media.SideA, ID: 1})
				}
				synctest.Wait()
				if tt.calls {
					w.customerHangsUp(invite)
				} else {
					hungUpOn(w.carrier)
				}
				if tt.calls || !waits {
					hungUpOn(w.agent)
				}
				r := w.record()
				if a := r.Attempts[0]; a.AnsweredBy != string(tt.says) || a.Confidence != 0.81 {
					t.Errorf("the record says %+v", a)
				}
				if machine := r.Cause == string(cause.AnsweredByMachine); machine == tt.calls {
					t.Errorf("the call ended by %s", r.Cause)
				}
			})
		})
	}
}

// A beep after the verdict screening makes it machine: the first action ends, and the trunk's action for machines
// follows.
func TestScreeningBeeps(t *testing.T) {
	const nobody, rings, talks = 0, 1, 2 // state of the agent's call at the beep
	for name, tt := range map[string]struct {
		answer   string
		agent    int
		upgraded bool
		stays    bool // whether an agent is connected in the end
		heard    int  // how many sounds the customer gets
	}{
		"an agent talks to it":               {"hangup", talks, false, false, 0},
		"an agent rings":                     {"hangup", rings, false, false, 0},
		"a message instead of the agent":     {"play, play: us", talks, false, false, 1},
		"a message, and an upgrade":          {"play, play: us", talks, true, false, 1},
		"a message instead of one who comes": {"play, play: us", rings, false, false, 1},
		"an agent for machines, too":         {"bridge", talks, false, true, 0},
		"the message ends":                   {"hangup, screening: play, play: us", nobody, false, false, 1},
		"the message begins again":           {"play, screening: play, play: us", nobody, false, false, 2},
		"an agent instead of the message":    {"bridge, screening: play, play: us", nobody, false, true, 1},
	} {
		runIn(t, name, detecting(tt.answer), func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			s := w.session()
			s.judged(answerer.Screening)
			var called received
			if tt.agent != nobody {
				called = w.agent.expect("INVITE")
			}
			if tt.agent == rings {
				w.agent.reply(called, 180, "Ringing", "agent1", "")
			}
			if tt.agent == talks {
				w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
			}
			synctest.Wait()
			s.judged(answerer.Machine)
			switch {
			case tt.agent == rings:
				w.agent.reply(w.agent.expect("CANCEL"), 200, "OK", "agent1", "")
				w.agent.concludes(called, 487, "Request Terminated", "agent1", "")
			case tt.agent == talks && !tt.stays:
				hungUpOn(w.agent)
			case tt.stays && tt.agent == nobody:
				w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP())
			}
			why := cause.AnsweredByMachine
			switch synctest.Wait(); {
			case tt.stays:
				w.customerHangsUp(invite)
				hungUpOn(w.agent)
				why = cause.CallerHangup
			case strings.HasPrefix(tt.answer, "play"):
				if to := s.peers[media.SideB].RTP; to.IsValid() {
					t.Errorf("media still goes to the agent, at %v", to)
				}
				s.beeps()
				synctest.Wait()
				if tt.upgraded {
					must(t, w.upgrade())
					synctest.Wait()
					s = w.session()
				}
				s.onEvent(media.EventPlayed{Side: media.SideA, ID: s.plays[media.SideA].ID})
				hungUpOn(w.carrier)
			default:
				hungUpOn(w.carrier)
			}
			r := w.record()
			if r.Attempts[0].AnsweredBy != "machine" || r.Cause != string(why) || r.IsConnected() != (tt.agent == talks || tt.stays) {
				t.Errorf("record %+v", r)
			}
			played := 0
			for _, h := range s.heard {
				if strings.Contains(h, "loop false") {
					played++
				}
			}
			if played != tt.heard {
				t.Errorf("%v", s.heard)
			}
			w.leftOpen()
		})
	}
}

// A sound for an agent ends with the agent's call when a beep revokes it. The log does not say that the sound can't be
// played to that side.
func TestSoundForARevokedAgent(t *testing.T) {
	var out logged
	inWorldOf(t, detecting("play, play: us"), func(o *b2bua.Options) { o.Log = zerolog.New(&out) }, func(w *world) {
		_, invite := w.originates(origination())
		w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
		s := w.session()
		s.judged(answerer.Screening)
		w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "agent1", agentSDP())
		w.plays(bridge.PlayRequest{Side: media.SideB, Sound: "us", Loop: true}, "")
		s.judged(answerer.Machine)
		hungUpOn(w.agent)
		s.beeps()
		synctest.Wait()
		s.onEvent(media.EventPlayed{Side: media.SideA, ID: s.plays[media.SideA].ID})
		hungUpOn(w.carrier)
		w.record()
	})
	if line := out.line(t, "sound not played: the side has no G.711"); line != nil {
		t.Errorf("logged: %v", line)
	}
}

// While the agent of a placed call has not been called, an order to transfer the call is
// refused.
func TestOrderBeforeTheAgent(t *testing.T) {
	inWorldWith(t, strings.Replace(originateConfig, "per_hour: 5}", "per_hour: 5, answer: {machine: hangup}}", 1), func(w *world) {
		live, invite := w.originates(origination())
		w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
		_, err := w.server.Transfer(w.t.Context(), live.Record.ID, bridge.TransferRequest{Order: outbound.Order{To: "spare"}})
		if _, refused := errors.AsType[*bridge.OrderError](err); !refused {
			t.Errorf("transferred: %v", err)
		}
		w.customerHangsUp(invite)
		w.record()
	})
}
