package calltest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
					s.onEvent(media.EventBeep{Side: media.SideA, Beep: answerer.Beep{Heard: true, After: 5 * time.Second}})
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
