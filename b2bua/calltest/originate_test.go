package calltest

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
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
    uri: "sip:{{.To.User}}{{.Header \"x-more\"}}@192.0.2.10:5060" # of which a request has only the number
    country: "1"
    max_calls: 2
    originate: {numbers: ["^\\+1507"], from: ["^\\+1212", "^\\+1312"], per_hour: 5}
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
		Headers: []peers.Variable{{Name: "x-first_name", Value: "Ann"}, {Name: "x-more", Value: "900"}},
	}
}

// originates orders a call. It returns the call's state, and the INVITE to the person
// called first.
func (w *world) originates(o *outbound.Origination) (registry.LiveCall, received) {
	w.t.Helper()
	live, err := w.server.Originate(w.t.Context(), o)
	must(w.t, err)
	return live, w.carrier.expect("INVITE sip:+15075785607@192.0.2.10")
}

// customerTakes makes the person called first answer, and returns the INVITE to the agent.
func (w *world) customerTakes(invite received) received {
	w.t.Helper()
	w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
	return w.agent.expect("INVITE sip:agent@192.0.2.20")
}

// customerHangsUp makes the person called first end the call.
func (w *world) customerHangsUp(invite received) {
	w.t.Helper()
	w.carrier.agentRequest("BYE", invite, "customer", 20)
	w.carrier.expect("SIP/2.0 200")
}

func TestOriginate(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		o := origination()
		o.ID = "01890000-0000-7000-8000-000000000001"
		live, invite := w.originates(o)
		if live.Record.ID != o.ID || live.Phase != "dialing" || live.Record.Direction != record.DirectionOutbound || live.Record.Route != "day" {
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
			!maps.Equal(r.Variables, map[string]string{"first_name": "Ann", "more": "900"}) {
			t.Errorf("record %+v", r)
		}
	})
}

// A refused origination returns the reason, and occupies no place in any limit.
func TestOriginateRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*outbound.Origination)
		status int
		says   string
	}{
		"no such trunk":             {func(o *outbound.Origination) { o.Trunk = "x" }, 400, "no trunk"},
		"a trunk without originate": {func(o *outbound.Origination) { o.Trunk = "silent" }, 403, "places no calls"},
		"a number off the list":     {func(o *outbound.Origination) { o.To = "+19005550100" }, 403, "may not be called"},
		"another's number":          {func(o *outbound.Origination) { o.From = "+14045550100" }, 403, "may not call as"},
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

// The agent's place is reserved from the beginning, and the call counts for the trunk's
// calls per hour.
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
