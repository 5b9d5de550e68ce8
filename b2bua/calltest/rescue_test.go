package calltest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// rescueConfig connects the caller of a dead agent to the spare agent.
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

// agentDies makes the agent hang up after a while, with these headers.
func (w *world) agentDies(after time.Duration, invite received, headers ...string) {
	w.t.Helper()
	time.Sleep(after)
	w.agent.agentRequest("BYE", invite, "agent1", 10, headers...)
	w.agent.expect("SIP/2.0 200")
}

// takesOver makes the spare agent accept the INVITE of a rescue.
func (w *world) takesOver(uri string) received {
	w.t.Helper()
	called := w.agent2.expect("INVITE sip:" + uri + "@192.0.2.21:32681")
	w.agent2.concludes(called, 200, "OK", "spare", sdpAt("192.0.2.21", 41000))
	return called
}

// TestRescueInTheNextLife: a process that is killed right after the BYE to an agent that is not heard, before another
// target is called, leaves a call that is rescued, not one with that agent.
func TestRescueInTheNextLife(t *testing.T) {
	yaml := strings.Replace(rescueConfig, "@RESCUE@", "dead_air: 6s", 1)
	yaml = strings.Replace(yaml, "  - name: spare\n    kind: sip\n", "  - name: spare\n    kind: synthflow\n    prepare: {api: \"https://api.test\", token_env: TOKEN, model_id: m}\n", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.established()
		s := w.session()
		s.waited.Store(int64(7 * time.Second))
		w.prepare.after = time.Minute
		var left []received
		for len(left) == 0 {
			s.relayed.Add(50)
			s.answered.Add(50)
			time.Sleep(100 * time.Millisecond)
			left = w.agent.rest()
		}
		w.agent.reply(left[0], 200, "OK", "", "")
		synctest.Wait()
		w.prepare.after = 0
		w.restart()
		w.agent.reply(w.agent.expect("BYE"), 481, "No More", "", "") // again, because the answer was not noted
		w.takesOver("+15075785607")
		w.callerEnds(w.agent2, d)
	})
}

// An agent that sends no RTP is dead if its caller sends RTP. If the caller is silent as well, the agent is not
// considered dead.
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
			speak(90, 1, 0) // then no target is left, and a call is rescued only once
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

// An agent that never speaks while its caller waits for a reply is replaced, but only once per call.
func TestRescueOfDeadAir(t *testing.T) {
	inRescue(t, "dead_air: 6s", func(w *world) {
		d, _ := w.established()
		s := w.session()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for i := range 1000 { // both sides send packets, but the agent does not speak after 20 s
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
		<-over // dead air continues, but the agent is replaced only once per call
		if got := s.interrupts; !slices.Equal(got, []bool{true, false}) {
			t.Errorf("the conversation is interrupted: %v", got)
		}
		w.callerEnds(w.agent2, d)
	})
}

// If the process ends during a rescue, the next process continues the rescue at the target that was not reached yet, or
// else ends the call with the cause of the lost leg.
func TestRescueAgain(t *testing.T) {
	again := func(w *world) (d *dialogue, called received) {
		d, invite := w.established()
		time.Sleep(5 * time.Second) // until a checkpoint has its ACK
		w.agentDies(time.Minute, invite, "Reason: Q.850;cause=41")
		lost := w.agent2.progresses(180, "Ringing", "spare", "")
		w.restart()
		w.agent2.reply(w.agent2.expect("CANCEL"), 200, "OK", "spare", "")
		w.agent2.reply(lost, 487, "Terminated", "spare", "")
		for range 2 { // the agent's ACK and the next INVITE
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
			changeState(&left[0], func(k *snapshot.Call) { k.Route = snapshot.Route{Place: 99} })
			w.begin(left)
			w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
			w.agent2.takesCancel(lost, "spare")
			w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
		})
	})
}

const rescued = `
== the agent's dialog is lost without a BYE (RFC 5057 section 5.1)
carrier: +1m ; says INFO {Signal=5\nDuration=160\n} | Content-Type: application/dtmf-relay
agent: gets INFO ; says 481
carrier: gets 481
agent: gets BYE ; says 481
spare: gets INVITE ; takes
carrier: hangs up on spare

== where nobody takes over, the call ends as it would have without the rescue
agent: +1m ; says BYE | Reason: Q.850;cause=41 ; gets 200
spare: gets INVITE ; says 486 ; gets ACK
carrier: gets BYE | Reason: ~Q.850;cause=41 ; says 200
record: hung up by agent | reached: agent 200, spare 486 rescue

== a caller that hangs up during the rescue takes the call to its successor back
agent: +1m ; says BYE | Reason: Q.850;cause=41 ; gets 200
spare: gets INVITE ; says 180
carrier: says BYE ; gets 200
spare: ceases
record: hung up by carrier

== a call that has outlived its process is rescued, and not more often than before
agent: +5s # its ACK is noted
server: restarts
carrier: gets OPTIONS ; says 200
agent: gets OPTIONS ; says 200 ; +1m ; says BYE | Reason: Q.850;cause=41 ; gets 200
spare: gets INVITE ; takes (:41000) ; +5s
server: restarts
carrier: gets OPTIONS ; says 200
spare: gets OPTIONS ; says 200 ; +1m ; says BYE | Reason: Q.850;cause=41 ; gets 200
carrier: gets BYE ; says 200
record: hung up by agent`

// When an agent's leg dies, the caller's leg stays up, the caller hears ringback, and the next agent takes over.
func TestRescue(t *testing.T) {
	const over = `
played: a hears 6s of law 0 as 0, loop true, yield true
spare: gets INVITE | X-Lost: agent_hangup | X-Agent: agent | X-After: * ; takes (:41000)
media: 192.0.2.21:41000
carrier: hangs up on spare | reached: agent 200, spare 200 rescue
`
	const ends = `
carrier: gets BYE ; says 200
record: hung up by agent
`
	stories := "with: {@RESCUE@} => {}\nup: agent\n"
	for _, tt := range []struct{ name, after, reason, then string }{
		{"a reason that is a failure", "10m", " | Reason: Q.850;cause=41", over},
		{"a SIP status that is one", "10m", " | Reason: SIP;cause=503", over},
		{"no reason, soon after the answer", "9s", "", over},
		{"no reason, later", "11s", "", ends},
		{"a normal end, soon after the answer", "1s", " | Reason: Q.850;cause=16", ends},
		{"a caller that the agent does not want", "1s", " | Reason: Q.850;cause=21", ends},
		{"a failure of which nothing more is known", "10m", " | Reason: Q.850;cause=127", over},
	} {
		stories += "\n== " + tt.name + "\nagent: +" + tt.after + " ; says BYE" + tt.reason + " ; gets 200" + tt.then
	}
	tell(t, rescueConfig, stories+rescued)
	tell(t, rescueConfig, `
== a call is rescued once, by those that the section names
with: {@RESCUE@} => {trunks: [office], to: "4711"}
up: agent
agent: +1m ; says BYE | Reason: Q.850;cause=41 ; gets 200
spare: gets INVITE | URI: sip:4711@192.0.2.21:32681 ; takes ; +1m ; says BYE | Reason: Q.850;cause=41 ; gets 200
carrier: gets BYE ; says 200
record: hung up by agent | reached: agent 200, office 200 rescue

== a call without the section ends with its agent, whatever the reason
with: , rescue: {@RESCUE@} => 
up: agent
agent: +1s ; says BYE | Reason: Q.850;cause=41 ; gets 200
carrier: gets BYE ; says 200
record: hung up by agent`)
}
