package calltest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/kept"
	"flowbridge/b2bua/message"
	"flowbridge/media"
	"flowbridge/store/record"
)

// rescueConfig has the caller of a dead agent go to the spare one.
const rescueConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "1"}
  - {name: office, sources: ["192.0.2.21"], uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}
  - name: spare
    kind: sip
    uri: "sip:{{.To.Number}}@192.0.2.21:32681"
    headers: {X-Lost: "{{.Rescue.Cause}}", X-After: "{{.Rescue.Seconds}}", X-Agent: "{{.Rescue.Target}}"}
routes:
  - {trunk: carrier, targets: [agent, spare], rescue: {@RESCUE@}}
`

func inRescue(t *testing.T, rescue string, test func(w *world)) {
	t.Helper()
	inWorldWith(t, strings.Replace(rescueConfig, "@RESCUE@", rescue, 1), test)
}

// agentDies has the agent hang up after a while, with these headers.
func (w *world) agentDies(after time.Duration, invite received, headers ...string) {
	w.t.Helper()
	time.Sleep(after)
	w.agent.agentRequest("BYE", invite, "agent1", 10, headers...)
	w.agent.expect("SIP/2.0 200")
}

// takesOver has the spare agent answer the INVITE of a rescue.
func (w *world) takesOver(uri string) received {
	w.t.Helper()
	called := w.agent2.expect("INVITE sip:" + uri + "@192.0.2.21:32681")
	w.agent2.concludes(called, 200, "OK", "spare", sdpAt("192.0.2.21", 41000))
	return called
}

// An agent's leg dies: the caller stays on its leg, hears ringback, and the next agent takes over.
func TestRescue(t *testing.T) {
	for name, tt := range map[string]struct {
		rescue string
		after  time.Duration
		reason []string
		kept   bool
	}{
		"a reason that is a failure":               {"", 10 * time.Minute, []string{"Reason: Q.850;cause=41"}, true},
		"a SIP status that is one":                 {"", 10 * time.Minute, []string{"Reason: SIP;cause=503"}, true},
		"no reason, soon after the answer":         {"", 9 * time.Second, nil, true},
		"no reason, later":                         {"", 11 * time.Second, nil, false},
		"a normal end, soon after the answer":      {"", time.Second, []string{"Reason: Q.850;cause=16"}, false},
		"a caller that the agent does not want":    {"", time.Second, []string{"Reason: Q.850;cause=21"}, false},
		"a failure of which nothing more is known": {"", 10 * time.Minute, []string{"Reason: Q.850;cause=127"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			inRescue(t, tt.rescue, func(w *world) {
				d, invite := w.established()
				w.agentDies(tt.after, invite, tt.reason...)
				if !tt.kept {
					w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
					w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
					return
				}
				if heard := strings.Join(w.session().heard, "\n"); !strings.Contains(heard, "a hears") {
					t.Errorf("the caller hears: %s", heard)
				}
				called := w.takesOver("+15075785607")
				if got := called.value("X-Lost") + " " + called.value("X-Agent"); got != "agent_hangup agent" || called.value("X-After") == "" {
					t.Errorf("told %q after %q", got, called.value("X-After"))
				}
				if got := w.session().peers[media.SideB].RTP.String(); got != "192.0.2.21:41000" {
					t.Errorf("media of side B goes to %s", got)
				}
				r := w.callerEnds(w.agent2, d)
				if len(r.Attempts) != 2 || r.Attempts[1].Target != "spare" || r.Attempts[1].Reason != record.ReasonRescue || r.Attempts[1].SIPStatus != 200 {
					t.Errorf("attempts %+v", r.Attempts)
				}
			})
		})
	}
}

// A call without the section ends with its agent, whatever the reason.
func TestNoRescue(t *testing.T) {
	inWorldWith(t, strings.Replace(rescueConfig, ", rescue: {@RESCUE@}", "", 1), func(w *world) {
		_, invite := w.established()
		w.agentDies(time.Second, invite, "Reason: Q.850;cause=41")
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// The agent's dialog is lost without a BYE (RFC 5057 section 5.1).
func TestRescueOfLostDialog(t *testing.T) {
	inRescue(t, "", func(w *world) {
		d, _ := w.established()
		time.Sleep(time.Minute)
		w.carrier.within(d, "INFO", "Signal=5\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay")
		w.agent.reply(w.agent.expect("INFO"), 481, "Call/Transaction Does Not Exist", "", "")
		w.carrier.expect("SIP/2.0 481")
		w.agent.reply(w.agent.expect("BYE"), 481, "Call/Transaction Does Not Exist", "", "")
		w.takesOver("+15075785607")
		w.callerEnds(w.agent2, d)
	})
}

// An agent that sends no RTP while its caller does is dead; one whose caller is silent, too, is not.
func TestRescueOfSilence(t *testing.T) {
	inRescue(t, "", func(w *world) {
		d, _ := w.established()
		s := w.session()
		speak := func(seconds int, a, b uint64) {
			for range seconds {
				time.Sleep(time.Second)
				s.relayed.Add(50 * a)
				s.answered.Add(50 * b)
			}
		}
		speak(60, 1, 1)
		speak(60, 0, 0)
		speak(60, 0, 1)
		speak(14, 1, 0)
		speak(7, 1, 1)
		if left := w.agent.rest(); len(left) > 0 {
			t.Fatalf("told too early: %+v", left)
		}
		began := time.Now()
		over := make(chan struct{})
		go func() {
			defer close(over)
			speak(90, 1, 0) // with nobody else to take over, and once a call
		}()
		bye := w.agent.expect("BYE")
		if silent := time.Since(began); silent < 19*time.Second || silent > 26*time.Second {
			t.Errorf("given up after %v", silent)
		}
		if got := bye.value("Reason"); !strings.Contains(got, "media_timeout") {
			t.Errorf("Reason: %s", got)
		}
		w.agent.reply(bye, 200, "OK", "", "")
		if called := w.takesOver("+15075785607"); called.value("X-Lost") != string(cause.MediaTimeout) {
			t.Errorf("told %q", called.value("X-Lost"))
		}
		<-over
		w.callerEnds(w.agent2, d)
	})
}

// An agent that says nothing while its caller waits for it is replaced, once.
func TestRescueOfDeadAir(t *testing.T) {
	inRescue(t, "dead_air: 6s", func(w *world) {
		d, _ := w.established()
		s := w.session()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for i := range 1000 { // packets of both, and no word of the agent after 20 s
				time.Sleep(100 * time.Millisecond)
				s.relayed.Add(5)
				s.answered.Add(5)
				s.waited.Store(int64(max(i-200, 0)) * int64(100*time.Millisecond))
			}
		}()
		time.Sleep(25 * time.Second)
		if left := w.agent.rest(); len(left) > 0 {
			t.Fatalf("told too early: %+v", left)
		}
		began := time.Now()
		bye := w.agent.expect("BYE")
		if late := time.Since(began); late > 2*time.Second {
			t.Errorf("given up after 5 s and %v", late)
		}
		if got := bye.value("Reason"); !strings.Contains(got, "dead_air") {
			t.Errorf("Reason: %s", got)
		}
		w.agent.reply(bye, 200, "OK", "", "")
		if called := w.takesOver("+15075785607"); called.value("X-Lost") != string(cause.DeadAir) {
			t.Errorf("told %q", called.value("X-Lost"))
		}
		<-over // still in dead air, and once a call
		if got := s.interrupts; !slices.Equal(got, []bool{true, false}) {
			t.Errorf("the conversation is interrupted: %v", got)
		}
		w.callerEnds(w.agent2, d)
	})
}

// Where nobody takes over, the call ends as it would have without the rescue.
func TestRescueFails(t *testing.T) {
	inRescue(t, "", func(w *world) {
		_, invite := w.established()
		w.agentDies(time.Minute, invite, "Reason: Q.850;cause=41")
		w.agent2.concludes(w.agent2.expect("INVITE"), 486, "Busy Here", "spare", "")
		bye := w.carrier.expect("BYE")
		if got := message.Trim(bye.value("Reason")); !strings.HasPrefix(got, "Q.850;cause=41") {
			t.Errorf("Reason: %s", got)
		}
		w.carrier.reply(bye, 200, "OK", "", "")
		r := w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
		if len(r.Attempts) != 2 || r.Attempts[1].SIPStatus != 486 || r.Attempts[1].Reason != record.ReasonRescue {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// A caller that hangs up during the rescue takes the call to its successor back.
func TestRescueAbandoned(t *testing.T) {
	inRescue(t, "", func(w *world) {
		d, invite := w.established()
		w.agentDies(time.Minute, invite, "Reason: Q.850;cause=41")
		called := w.agent2.progresses(180, "Ringing", "spare", "")
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		w.agent2.takesCancel(called, "spare")
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// A call is rescued once, by those that the section names.
func TestRescueOnce(t *testing.T) {
	inRescue(t, `trunks: [office], to: "4711"`, func(w *world) {
		_, invite := w.established()
		w.agentDies(time.Minute, invite, "Reason: Q.850;cause=41")
		called := w.takesOver("4711")
		time.Sleep(time.Minute)
		w.agent2.agentRequest("BYE", called, "spare", 20, "Reason: Q.850;cause=41")
		w.agent2.expect("SIP/2.0 200")
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		if r := w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent); len(r.Attempts) != 2 {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

// A call that has outlived its process is rescued, and not more often than before.
func TestRescueOverARestart(t *testing.T) {
	inRescue(t, "targets: [spare]", func(w *world) {
		_, invite := w.established()
		time.Sleep(5 * time.Second) // its ACK is noted
		w.restart()
		w.carrier.reply(w.carrier.expect("OPTIONS"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		w.agentDies(time.Minute, invite, "Reason: Q.850;cause=41")
		called := w.takesOver("+15075785607")
		time.Sleep(5 * time.Second)
		w.restart()
		w.carrier.reply(w.carrier.expect("OPTIONS"), 200, "OK", "", "")
		w.agent2.reply(w.agent2.expect("OPTIONS"), 200, "OK", "", "")
		time.Sleep(time.Minute)
		w.agent2.agentRequest("BYE", called, "spare", 20, "Reason: Q.850;cause=41")
		w.agent2.expect("SIP/2.0 200")
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// A process that ends while the caller is being rescued: the next one begins the rescue again, from the target that it had not
// reached yet, or ends the call with the cause of the loss.
func TestRescueAgain(t *testing.T) {
	again := func(w *world) (d *dialogue, called received) {
		d, invite := w.established()
		time.Sleep(5 * time.Second) // its ACK is noted
		w.agentDies(time.Minute, invite, "Reason: Q.850;cause=41")
		lost := w.agent2.progresses(180, "Ringing", "spare", "")
		w.restart()
		w.agent2.reply(w.agent2.expect("CANCEL"), 200, "OK", "spare", "")
		w.agent2.reply(lost, 487, "Terminated", "spare", "")
		for range 2 { // the ACK of that, and the next INVITE
			if m := w.agent2.expect(""); strings.HasPrefix(m.raw, "INVITE") {
				called = m
			}
		}
		return d, called
	}
	t.Run("taken over", func(t *testing.T) {
		inRescue(t, "targets: [spare]", func(w *world) {
			d, called := again(w)
			if heard := strings.Join(w.session().heard, "\n"); !strings.Contains(heard, "a hears") {
				t.Errorf("the caller hears: %s", heard)
			}
			if called.value("X-Lost") != "agent_hangup" || called.value("X-Agent") != "agent" {
				t.Errorf("told:\n%s", called.raw)
			}
			w.agent2.concludes(called, 200, "OK", "spare2", sdpAt("192.0.2.21", 41000))
			w.carrier.reply(w.carrier.expect("OPTIONS"), 200, "OK", "", "")
			w.agent2.reply(w.agent2.expect("OPTIONS"), 200, "OK", "", "")
			if got := w.session().peers[media.SideB].RTP.String(); got != "192.0.2.21:41000" {
				t.Errorf("media of side B goes to %s", got)
			}
			w.callerHangsUpAt(w.agent2, d)
			if r := w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller); r.Restored != 1 || r.Attempts[len(r.Attempts)-1].Reason != record.ReasonRescue {
				t.Errorf("%+v", r)
			}
		})
	})
	t.Run("nobody", func(t *testing.T) {
		inRescue(t, "targets: [spare]", func(w *world) {
			_, called := again(w)
			w.agent2.concludes(called, 503, "Service Unavailable", "spare2", "")
			w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
			w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
		})
	})
	t.Run("not configured any more", func(t *testing.T) {
		inRescue(t, "targets: [spare]", func(w *world) {
			_, invite := w.established()
			time.Sleep(5 * time.Second)
			w.agentDies(time.Minute, invite, "Reason: Q.850;cause=41")
			lost := w.agent2.expect("INVITE")
			left := w.die()
			change(&left[0], func(k *kept.Call) { k.Route, k.Mark = 99, 0 })
			w.begin(left)
			w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
			w.agent2.takesCancel(lost, "spare")
			w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
		})
	})
}
