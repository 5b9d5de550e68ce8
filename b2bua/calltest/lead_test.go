package calltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/redirected"
	"flowbridge/store/record"
)

// leadConfig has a PBX that hands over calls that it has placed itself.
const leadConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: pbx, sources: ["192.0.2.10"], country: "1", uri: "sip:{{.To.Number}}@192.0.2.10:5060"}
targets:
  - name: agent
    kind: synthflow
    uri: "sip:{{.Agent.Number}}@192.0.2.20:32681"
    prepare: {api: "https://api.test", token_env: TOKEN, custom_variables: {way: "{{.Direction}}", lead: "{{.Lead.Number}}"}}
    headers:
      X-EI: "S.{{.Prepare.CallID}};E.{{.Header \"X-Twilio-CallSid\"}};O.{{.Lead.Number}};"
    transfer: local
    transfer_numbers: ["^\\+1"]
  - name: other
    kind: vapi
    uri: "sip:support@192.0.2.21:32681"
    headers: {X-EI: "{{.SIPCallID}}"}
routes:
  - {trunk: pbx, to: "^\\+1507", targets: [agent], direction: outbound}
  - {trunk: pbx, to: "^\\+1508", targets: [agent]}
  - {trunk: pbx, to: "^\\+1509", targets: [other], direction: outbound}
hooks:
  listen: "127.0.0.1:8083"
  variables: {token_file: TOKENFILE}
`

func leadYAML(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(file, []byte("hush"), 0o600))
	return strings.Replace(leadConfig, "TOKENFILE", file, 1)
}

// The lead is the person outside: the called party of an outbound call, the caller of an inbound one. In either
// direction the lead is in the prepare step, in From and P-Asserted-Identity, and in the record.
func TestDirection(t *testing.T) {
	for to, want := range map[string]struct {
		direction, lead, agent, from, identity string
	}{
		"+15075785607": {"outbound", "+15075785607", "+15075550100", "+15075550100", ""},
		"+15085785607": {"inbound", "+15075550100", "+15085785607", "+15075550100", ""},
	} {
		inWorldWith(t, leadYAML(t), func(w *world) {
			d := w.carrier.newCall(to)
			d.extra = "X-Twilio-CallSid: CA123\n"
			w.carrier.invitesTillRung(d)
			invite := w.agent.expect("INVITE sip:" + want.agent + "@192.0.2.20:32681 ")
			if got, uri := invite.value("P-Asserted-Identity"), "<sip:"+want.lead+"@198.51.100.1>"; got != uri {
				t.Errorf("P-Asserted-Identity: %s; want %s", got, uri)
			}
			if got := invite.req().From().Address.User; got != want.lead {
				t.Errorf("From: %s; want %s", got, want.lead)
			}
			if got, ei := invite.value("X-EI"), "S.id-1;E.CA123;O."+want.lead+";"; got != ei {
				t.Errorf("X-EI: %s; want %s", got, ei)
			}
			asked := w.prepare.asked[0]
			if got, body := string(asked.Body), fmt.Sprintf(`{"from_number":%q,"to_number":%q,"model_id":"","workspace_id":"","custom_variables":{"way":%q,"lead":%[1]q}}`,
				want.lead, want.agent, want.direction); got != body {
				t.Errorf("prepared %s; want %s", got, body)
			}
			w.carrier.isBusyAt(w.agent, invite, "a", d)
			r := w.wantRecord("busy", cause.TargetBusy, record.EndedByAgent)
			if r.Direction != want.direction || r.Lead != want.lead || r.From != want.from || r.To != to || r.ExternalID != "CA123" {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// In an outbound call, the privacy that the PBX asks for does not hide the lead from the platform. If the agent
// transfers the call, the lead is the caller.
func TestDirectionAsSeen(t *testing.T) {
	tell(t, leadYAML(t), `
== privacy
carrier: calls 15075785607 | Privacy: id ; gets 180
agent: gets INVITE | From: ~sip:+15075785607@ | Privacy: ; busy

== a transfer
up: agent
agent: says REFER | Refer-To: <sip:+15075550177@198.51.100.1> | Refer-Sub: false ; gets 202
carrier: gets INVITE | URI: sip:+15075550177@192.0.2.10:5060 | P-Asserted-Identity: <sip:+15075785607@198.51.100.1> ; says 486 ; gets ACK
carrier: hangs up on agent`)
}

// While a call is live, it can be found by any of its ids; afterwards by none. An id that two callers have written
// finds neither call. A caller can't claim an id that was given to another call.
func TestFindNamed(t *testing.T) {
	inWorldWith(t, leadYAML(t), func(w *world) {
		d := w.carrier.newCall("+15085785607")
		d.extra = "X-Twilio-CallSid: CA123\nX-Name: Ada\nX-EI: S.old;\n"
		invite := w.carrier.ringsAt(w.agent, d)
		live := w.server.Live(context.Background())[0]
		ids := []string{live.Record.ID, d.callID, invite.value("Call-ID"), "id-1", "CA123"}
		for _, id := range ids {
			got, err := w.server.FindNamed(context.Background(), id)
			if err != nil || got.Record.ID != live.Record.ID || got.Vars.Header("X-Name") != "Ada" {
				t.Errorf("%s: got %+v, %v", id, got.Record, err)
			}
		}
		if got := live.Headers(); !slices.Equal(got, []peers.Variable{{Name: "X-Twilio-CallSid", Value: "CA123"}, {Name: "X-Name", Value: "Ada"}}) {
			t.Errorf("headers %v", got)
		}
		for _, id := range []string{"", "+15075550100", "ca123", "CA", "caller +15075550100", "+15095785607"} {
			if _, err := w.server.FindNamed(context.Background(), id); !errors.Is(err, redirected.ErrUnknownCall) {
				t.Errorf("%q: got %v", id, err)
			}
		}
		second := w.carrier.newCall("+15095785607")
		second.extra = "X-Twilio-CallSid: CA123\n"
		other := w.carrier.ringsAt(w.agent2, second)
		if _, err := w.server.FindNamed(context.Background(), "CA123"); !errors.Is(err, redirected.ErrSeveralCalls) {
			t.Errorf("an id of two calls: got %v", err)
		}
		third := w.carrier.newCall("+15095785607")
		third.extra = "X-Twilio-CallSid: " + live.Record.ID + "\n"
		third.callID = invite.value("Call-ID")
		fourth := w.carrier.ringsAt(w.agent2, third)
		for _, id := range []string{live.Record.ID, third.callID} {
			if got, err := w.server.FindNamed(context.Background(), id); err != nil || got.Record.ID != live.Record.ID {
				t.Errorf("%s, which another caller claims: got %s, %v", id, got.Record.ID, err)
			}
		}
		if got, err := w.server.FindNamed(context.Background(), second.callID); err != nil || got.Record.ExternalID != second.callID {
			t.Errorf("a bare X-EI: got %+v, %v", got.Record, err)
		}
		for _, end := range []struct {
			p *peer
			m received
			d *dialogue
		}{{w.agent, invite, d}, {w.agent2, other, second}, {w.agent2, fourth, third}} {
			end.p.reply(end.m, 486, "Busy Here", "a", "")
			end.p.expect("ACK")
			w.carrier.expect("SIP/2.0 486")
			w.carrier.ackRefused(end.d)
			w.record()
		}
		synctest.Wait()
		for _, id := range append(ids, second.callID) {
			if _, err := w.server.FindNamed(context.Background(), id); !errors.Is(err, redirected.ErrUnknownCall) {
				t.Errorf("%q after its call: got %v", id, err)
			}
		}
	})
}

// Calls store the ids by which hooks find them only if the configuration has hooks.
func TestNoNamesWithoutHooks(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.carrier.callsAt(w.agent2, "+15095785607")
		if _, err := w.server.FindNamed(context.Background(), d.callID); !errors.Is(err, redirected.ErrUnknownCall) {
			t.Errorf("a call by its Call-ID: got %v; want %v", err, redirected.ErrUnknownCall)
		}
		w.carrier.isBusyAt(w.agent2, invite, "a", d)
		w.record()
	})
}

// A caller can't inject tokens into X-EI through a header that is a part of it.
func TestXEIInjection(t *testing.T) {
	inWorldWith(t, leadYAML(t), func(w *world) {
		d := w.carrier.newCall("+15085785607")
		d.extra = "X-Twilio-CallSid: CA1;S.stolen\n"
		w.carrier.invite(d)
		w.carrier.expect("SIP/2.0 180")
		w.carrier.isRefused(d, "503")
		if r := w.wantRecord("failed", cause.TemplateFailed, record.EndedBySystem); r.ExternalID != "" {
			t.Errorf("record %+v", r)
		}
	})
	for xei, want := range map[string]string{
		"S.a;E.b;O.+1;": "[{a false} {b true}]", "S.a;S.b;E.c;E.d;": "[{a false} {c true}]", "CA1": "[{CA1 true}]", "CA1;CA2": "[]", "O.+1;": "[]",
	} {
		if got := fmt.Sprint(outbound.IDsIn(xei)); got != want {
			t.Errorf("%s: got %s; want %s", xei, got, want)
		}
	}
}

// Headers of an untrusted trunk don't give its calls any ids.
func TestNamesOfUntrustedTrunk(t *testing.T) {
	inWorldWith(t, strings.Replace(leadYAML(t), `country: "1"`, `country: "1", trusted: false`, 1), func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "X-Twilio-CallSid: CA123\n"
		invite := w.carrier.ringsAt(w.agent2, d)
		if _, err := w.server.FindNamed(context.Background(), "CA123"); !errors.Is(err, redirected.ErrUnknownCall) {
			t.Errorf("got %v", err)
		}
		w.carrier.isBusyAt(w.agent2, invite, "a", d)
		w.record()
	})
}
