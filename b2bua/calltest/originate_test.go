package calltest

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/media"
	"flowbridge/store/record"
)

const originateConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - name: carrier
    sources: ["192.0.2.10"]
    uri: "sip:{{.To.Number}}@192.0.2.10:5060"
    country: "1"
    max_calls: 2
    originate: {numbers: ["^\\+1507"], per_hour: 5}
  - {name: silent, sources: ["192.0.2.21"], uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
targets:
  - name: agent
    kind: synthflow
    uri: "sip:agent@192.0.2.20:32681"
    max_calls: 1
    prepare: {api: "https://api.test", token_env: TOKEN, model_id: m, timeout: 3s}
    headers: {X-EI: "S.{{.Prepare.CallID}};", X-Lead: "{{.Lead.Number}}"}
    pass_headers: ["x-*"]
  - {name: spare, kind: sip, uri: "sip:agent@192.0.2.21:32681"}
routes:
  - {name: day, trunk: carrier, from: "^\\+1212", direction: outbound, targets: [agent, spare]}
  - {name: in, trunk: carrier, targets: [agent]}
`

func origination() *outbound.Origination {
	return &outbound.Origination{
		By: "anna", To: "+15075785607", From: "+12125550100", Trunk: "carrier",
		Headers: []peers.Variable{{Name: "x-first_name", Value: "Ann"}},
	}
}

// originates orders a call, and gives its state and the customer's INVITE.
func (w *world) originates(o *outbound.Origination) (registry.LiveCall, received) {
	w.t.Helper()
	live, err := w.server.Originate(w.t.Context(), o)
	must(w.t, err)
	return live, w.carrier.expect("INVITE sip:+15075785607@192.0.2.10")
}

// customerTakes has the customer answer, and gives the agent's INVITE.
func (w *world) customerTakes(invite received) received {
	w.t.Helper()
	w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
	return w.agent.expect("INVITE sip:agent@192.0.2.20")
}

// customerHangsUp ends the call from the customer's side.
func (w *world) customerHangsUp(invite received) {
	w.t.Helper()
	w.carrier.agentRequest("BYE", invite, "customer", 20)
	w.carrier.expect("SIP/2.0 200")
}

func TestOriginate(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		live, invite := w.originates(origination())
		if live.Phase != "dialing" || live.Record.Direction != record.DirectionOutbound || live.Record.Route != "day" {
			t.Errorf("phase %q, record %+v", live.Phase, live.Record)
		}
		if from := invite.value("From"); !strings.Contains(from, "sip:+12125550100@") || invite.value("x-first_name") != "" {
			t.Errorf("the customer sees %s and %q", from, invite.value("x-first_name"))
		}
		w.carrier.reply(invite, 180, "Ringing", "customer", "")
		called := w.customerTakes(invite)
		if got := called.value("X-Lead") + " " + called.value("x-first_name"); got != "+15075785607 Ann" {
			t.Errorf("the agent is told %q", got)
		}
		w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
		s := w.session()
		if a, b := s.peers[media.SideA].RTP.String(), s.peers[media.SideB].RTP.String(); a != "192.0.2.10:20000" ||
			b != "192.0.2.20:30000" {
			t.Errorf("media goes to %s and %s", a, b)
		}
		time.Sleep(time.Minute)
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		r := w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		if len(r.Attempts) != 2 || r.Attempts[0].Reason != record.ReasonCustomer || r.Attempts[0].Target != "carrier" ||
			r.Attempts[0].By != "anna" || r.Attempts[1].Target != "agent" || r.Attempts[1].SIPStatus != 200 {
			t.Errorf("attempts %+v", r.Attempts)
		}
		if r.SIPCallID != invite.value("Call-ID") || r.TargetSIPCallID != called.value("Call-ID") || r.Target != "agent" ||
			r.RingingAt.IsZero() || r.AnsweredAt.IsZero() || r.Trunk != "carrier" || r.To != "+15075785607" ||
			!maps.Equal(r.Variables, map[string]string{"first_name": "Ann"}) {
			t.Errorf("record %+v", r)
		}
	})
}

// The agent ends the call, which has the id of the request.
func TestOriginateWithID(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		o := origination()
		o.ID = "01890000-0000-7000-8000-000000000001"
		live, invite := w.originates(o)
		if live.Record.ID != o.ID {
			t.Errorf("call %s", live.Record.ID)
		}
		called := w.customerTakes(invite)
		w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
		w.agent.agentRequest("BYE", called, "agent1", 10)
		w.agent.expect("SIP/2.0 200")
		hungUpOn(w.carrier)
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// The customer changes its session before an agent is there, and while the agent is called.
func TestCustomerHoldsBeforeTheAgent(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		_, invite := w.originates(origination())
		called := w.customerTakes(invite)
		w.carrier.agentSends("INVITE", invite, "customer", 10, sdpAt("192.0.2.10", 20002))
		w.carrier.expect("SIP/2.0 200")
		w.carrier.agentRequest("ACK", invite, "customer", 10)
		w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
		if got := w.session().peers[media.SideA].RTP.String(); got != "192.0.2.10:20002" {
			t.Errorf("media of side A goes to %s", got)
		}
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// What is not placed, says why, and takes nothing.
func TestOriginateRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*outbound.Origination)
		status int
		says   string
	}{
		"no such trunk":             {func(o *outbound.Origination) { o.Trunk = "x" }, 400, "no trunk"},
		"a trunk without originate": {func(o *outbound.Origination) { o.Trunk = "silent" }, 403, "places no calls"},
		"a number off the list":     {func(o *outbound.Origination) { o.To = "+19005550100" }, 403, "may not be called"},
		"no number":                 {func(o *outbound.Origination) { o.To = "sip:x@y" }, 400, "not a number"},
		"no caller":                 {func(o *outbound.Origination) { o.From = "" }, 400, "not a number"},
		"no such target":            {func(o *outbound.Origination) { o.Target = "x" }, 400, "no target"},
		"no route":                  {func(o *outbound.Origination) { o.From = "+13125550100" }, 400, "no route"},
		"a header that is none": {func(o *outbound.Origination) {
			o.Headers = []peers.Variable{{Name: "X-A", Value: "a\r\nVia: x"}}
		}, 400, "not a variable or header"},
		"a variable's name with a space": {func(o *outbound.Origination) {
			o.Headers = []peers.Variable{{Name: "x-first name", Value: "Ann"}}
		}, 400, "not a variable or header"},
		"a header of the protocol": {func(o *outbound.Origination) {
			o.Headers = []peers.Variable{{Name: "Via", Value: "x"}}
		}, 400, "not a variable or header"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, originateConfig, func(w *world) {
				o := origination()
				tt.change(o)
				_, err := w.server.Originate(w.t.Context(), o)
				var refused *outbound.PlaceError
				if !errors.As(err, &refused) || refused.Status != tt.status || !strings.Contains(refused.Problem, tt.says) ||
					refused.Remedy == "" {
					t.Errorf("refused with %+v", err)
				}
			})
		})
	}
}

// The agent's place is kept from the beginning, and the trunk's calls of an hour are counted.
func TestOriginateLimits(t *testing.T) {
	inWorldWith(t, strings.Replace(originateConfig, "targets: [agent, spare]", "targets: [agent]", 1), func(w *world) {
		refused := func(says string) {
			t.Helper()
			_, err := w.server.Originate(w.t.Context(), origination())
			var e *outbound.PlaceError
			if !errors.As(err, &e) || e.Status != 503 || !strings.Contains(e.Problem, says) {
				t.Errorf("refused with %v, not for %s", err, says)
			}
		}
		_, invite := w.originates(origination())
		refused("no agent can take the call")
		w.carrier.concludes(invite, 486, "Busy Here", "customer", "")
		w.record()
		for range 4 {
			_, invite = w.originates(origination())
			w.carrier.concludes(invite, 486, "Busy Here", "customer", "")
			w.record()
		}
		refused("per_hour")
		time.Sleep(time.Hour)
		_, invite = w.originates(origination())
		w.carrier.concludes(invite, 486, "Busy Here", "customer", "")
		w.record()
		if open := w.admission.Open(); open.Setups+open.Trunks["carrier"]+open.Targets["agent"]+open.Numbers != 0 {
			t.Errorf("left: %+v", open)
		}
	})
}

// A process that is killed while it places a call: the next one tells both sides, and says so in the record.
func TestOriginateKilled(t *testing.T) {
	for name, tt := range map[string]struct {
		stage func(w *world) (invite, called received)
		ends  func(w *world, invite, called received)
	}{
		"while the customer rings": {func(w *world) (invite, called received) {
			_, invite = w.originates(origination())
			w.carrier.reply(invite, 180, "Ringing", "customer", "")
			return invite, called
		}, func(w *world, invite, _ received) { w.carrier.takesCancel(invite, "customer") }},
		"while the agent is called": {func(w *world) (invite, called received) {
			_, invite = w.originates(origination())
			called = w.customerTakes(invite)
			w.agent.reply(called, 180, "Ringing", "agent1", "")
			return invite, called
		}, func(w *world, _, called received) {
			hungUpOn(w.carrier)
			w.agent.takesCancel(called, "agent1")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, originateConfig, func(w *world) {
				invite, called := tt.stage(w)
				synctest.Wait()
				w.restart()
				tt.ends(w, invite, called)
				r := w.record()
				if r.Cause != string(cause.ProcessRestart) || r.Disposition != record.DispositionInterrupted ||
					r.SIPCallID != invite.value("Call-ID") {
					t.Errorf("record %+v", r)
				}
			})
		})
	}
}

// A call that was placed goes on after a kill and an upgrade, as any other.
func TestOriginatedGoesOn(t *testing.T) {
	for name, again := range map[string]func(w *world){
		"kill":    func(w *world) { w.restart() },
		"upgrade": func(w *world) { must(w.t, w.upgrade()) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, originateConfig, func(w *world) {
				_, invite := w.originates(origination())
				called := w.customerTakes(invite)
				w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
				time.Sleep(time.Minute)
				again(w)
				w.carrier.agentSends("INVITE", invite, "customer", 10, sdpAt("192.0.2.10", 20004))
				ok := w.carrier.expect("SIP/2.0 200")
				if ok.Message.CSeq().SeqNo != 10 || message.TagOf(ok.Message.To().Params) != message.TagOf(invite.Message.From().Params) {
					t.Errorf("answered %v", ok.res())
				}
				w.carrier.agentRequest("ACK", invite, "customer", 10)
				w.customerHangsUp(invite)
				hungUpOn(w.agent)
				r := w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
				if !maps.Equal(r.Variables, map[string]string{"first_name": "Ann"}) {
					t.Errorf("the record has the variables %v", r.Variables)
				}
				if open := w.admission.Open(); open.Setups+open.Trunks["carrier"]+open.Targets["agent"]+open.Numbers != 0 {
					t.Errorf("left: %+v", open)
				}
			})
		})
	}
}

// A customer that rings while the process is replaced goes on ringing, and the next process has its answer.
func TestOriginateUpgraded(t *testing.T) {
	for name, tt := range map[string]struct {
		ends func(w *world, live registry.LiveCall, invite received)
		why  cause.Cause
		by   string
	}{
		"answered": {func(w *world, _ registry.LiveCall, invite received) {
			called := w.customerTakes(invite)
			if got := called.value("x-first_name") + called.value("X-Lead"); got != "Ann+15075785607" {
				w.t.Errorf("the agent is told %q", got)
			}
			w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
			w.customerHangsUp(invite)
			hungUpOn(w.agent)
		}, cause.CallerHangup, record.EndedByCaller},
		"busy": {func(w *world, _ registry.LiveCall, invite received) {
			w.carrier.concludes(invite, 486, "Busy Here", "customer", "")
		}, cause.TargetBusy, record.EndedByCaller},
		"not answered": {func(w *world, _ registry.LiveCall, invite received) {
			time.Sleep(20 * time.Second)
			w.carrier.takesCancel(invite, "customer")
		}, cause.RingTimeout, record.EndedBySystem},
		"ended by an operator": {func(w *world, live registry.LiveCall, invite received) {
			go w.server.Order(context.Background(), live.Record.ID, bridge.OrderHangup)
			w.carrier.takesCancel(invite, "customer")
		}, cause.OperatorHangup, record.EndedByOperator},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, originateConfig, func(w *world) {
				o := origination()
				o.AnswerWithin = 20 * time.Second
				live, invite := w.originates(o)
				w.carrier.reply(invite, 180, "Ringing", "customer", "")
				synctest.Wait()
				must(t, w.upgrade())
				tt.ends(w, live, invite)
				r := w.record()
				if r.Cause != string(tt.why) || r.EndedBy != tt.by || r.ID != live.Record.ID || r.Restored != 0 ||
					r.SIPCallID != invite.value("Call-ID") || r.Attempts[0].Reason != record.ReasonCustomer {
					t.Errorf("record %+v", r)
				}
				if open := w.admission.Open(); open.Setups+open.Trunks["carrier"]+open.Targets["agent"]+open.Numbers != 0 {
					t.Errorf("left: %+v", open)
				}
			})
		})
	}
}
