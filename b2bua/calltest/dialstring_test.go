package calltest

import (
	"strings"
	"testing"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/report"
	"flowbridge/store/record"
)

// dialStrings are user parts that begin like an allowed number, but contain text that would make a PBX or carrier do
// something else.
var dialStrings = []string{
	"+1507&SIP/evil/+19005550100", "+1507,19005550100", "+1507w19005550100", "+1507?Replaces=x", "+1507%00", "+1507%2C1900",
	"+1507!", "+1507$(x)", "+15075550100/n",
}

// dialConfig has a route by prefix, one that names user parts, one for everything to
// an agent that has one address, and one that leads to both kinds of target.
const dialConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"]}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}
  - {name: fixed, kind: sip, uri: "sip:agent@192.0.2.21:32681"}
routes:
  - {trunk: carrier, to: "@TO@", targets: [@TARGETS@]}
`

func dialWorld(t *testing.T, to, targets string, test func(w *world)) {
	t.Helper()
	inWorldWith(t, strings.NewReplacer("@TO@", to, "@TARGETS@", targets).Replace(dialConfig), test)
}

// Text that is matched or dialled as a number must contain nothing but a number.
func TestDialStrings(t *testing.T) {
	for _, to := range []string{`^\\+1507`, `^\\+1507.*$`, `1507`, "", ".*", "^.+$"} {
		dialWorld(t, to, "agent", func(w *world) {
			for _, user := range dialStrings {
				d := w.carrier.dials(user)
				refused := d.learn(w.carrier.expect("SIP/2.0 4"))
				w.carrier.ackRefused(d)
				if strings.HasPrefix(refused.raw, "SIP/2.0 404") {
					w.wantRecord("failed", cause.NoRoute, record.EndedBySystem)
				} else if !strings.HasPrefix(refused.raw, "SIP/2.0 400") {
					t.Errorf("%s, to %s:\n%s", user, to, refused.raw)
				}
			}
		})
	}
}

// If a call has no user part, it can't reach a target that dials the called number, but it can reach a target with a
// fixed address (see "Numbers" in the documents).
func TestNoUserPart(t *testing.T) {
	for targets, want := range map[string]string{"agent": "404", "agent, fixed": "200"} {
		dialWorld(t, ".*", targets, func(w *world) {
			d := w.carrier.newCall("x")
			w.carrier.send(strings.ReplaceAll(d.request("INVITE"), "sip:x@", "sip:"))
			if want == "404" {
				d.learn(w.carrier.expect("SIP/2.0 404"))
				d.refused = true
				w.carrier.send(strings.ReplaceAll(d.request("ACK"), "sip:x@", "sip:"))
				w.wantRecord("failed", cause.NoRoute, record.EndedBySystem)
				return
			}
			d.learn(w.carrier.expect("SIP/2.0 180"))
			w.shortCall(w.agent2, w.agent2.expect("INVITE sip:agent@"), "agent2", d)
		})
	}
}

// Our Request-URI has the called number, or the user part that the route names.
func TestDialledNames(t *testing.T) {
	for _, tt := range []struct{ to, user, dialled string }{
		{`^\\+1507`, "+15075550100;rn=+19005550100", "sip:+15075550100@192.0.2.20:32681"},
		{`^\\+1507`, "+15075550100", "sip:+15075550100@192.0.2.20:32681"},
		{`^\\*98$`, "*98", "sip:*98@192.0.2.20:32681"},
		{`^#31#`, "%2331%235550100", "sip:%2331%235550100@192.0.2.20:32681"},
		{`^(support|alice\\.smith)$`, "alice.smith", "sip:alice.smith@192.0.2.20:32681"},
		{"support", "support", "sip:support@192.0.2.20:32681"},
		{`^agent-[a-z0-9]+$`, "agent-7f", "sip:agent-7f@192.0.2.20:32681"},
		{".*", "100", "sip:100@192.0.2.20:32681"},
	} {
		dialWorld(t, tt.to, "agent", func(w *world) {
			d := w.carrier.dialsTillRung(tt.user)
			busy := w.agent.expect("INVITE " + tt.dialled + " SIP/2.0")
			w.carrier.isBusyAt(w.agent, busy, "a", d)
			w.record()
		})
	}
}

// A catch-all route leads any user part to an agent with a fixed address, but to no
// target that is called by the number.
func TestDialStringToFixedAgent(t *testing.T) {
	for _, user := range []string{"support", "+1507&SIP/evil/+19005550100"} {
		dialWorld(t, ".*", "agent, fixed", func(w *world) {
			d := w.carrier.dialsTillRung(user)
			w.agent2.concludes(w.agent2.expect("INVITE sip:agent@192.0.2.21:32681 "), 503, "No", "a", "")
			w.carrier.isRefused(d, "503")
			if r := w.record(); len(r.Attempts) != 1 || r.Attempts[0].Target != "fixed" {
				t.Errorf("attempts %+v", r.Attempts)
			}
		})
	}
}

// explain gives the same result for a call without a user part.
func TestExplainNoUserPart(t *testing.T) {
	cfg := testConfigured(t, strings.NewReplacer("@TO@", ".*", "@TARGETS@", "agent").Replace(dialConfig))
	x, err := b2bua.Explain(cfg, nil, report.Question{From: "+15075550100", To: "sip:198.51.100.1"})
	if err != nil || x.Status != 404 || !strings.Contains(x.Routes[0].Why, "the call has none") {
		t.Errorf("%+v, %v", x, err)
	}
}

// explain gives the same results for dial strings.
func TestExplainDialString(t *testing.T) {
	ask := func(to, targets string) report.Explanation {
		t.Helper()
		cfg := testConfigured(t, strings.NewReplacer("@TO@", to, "@TARGETS@", targets).Replace(dialConfig))
		x, err := b2bua.Explain(cfg, nil, report.Question{From: "+15075550100", To: "sip:support@198.51.100.1"})
		must(t, err)
		return x
	}
	if x := ask("", "agent"); x.Status != 404 || !strings.Contains(x.Routes[0].Why, `"support"`) {
		t.Errorf("%+v", x)
	}
	if x := ask("", "agent, fixed"); len(x.Targets) != 1 || !strings.Contains(strings.Join(x.Notes, "\n"), "agent is left out") {
		t.Errorf("%+v", x)
	}
	if x := ask("^support$", "agent"); len(x.Targets) != 1 {
		t.Errorf("%+v", x)
	}
}

// An agent's REFER may name numbers that are allowed, and names that are listed in full. At a listed host it may name a
// number or a plain name.
func TestTransferDialStrings(t *testing.T) {
	for _, mode := range []string{"local", "relay"} {
		yaml := strings.Replace(transferConfig, "transfer: local", "transfer: "+mode, 1)
		inWorldWith(t, strings.Replace(yaml, `"^[0-9]{4}$"`, `"^[0-9]{4}$", "^reception$"`, 1), func(w *world) {
			d, invite := w.established()
			seq := 10
			refused := func(to string) {
				t.Helper()
				w.agent.agentRequest("REFER", invite, "agent1", seq, "Refer-To: <"+to+">")
				w.agent.expect("SIP/2.0 4")
				seq++
			}
			for _, user := range dialStrings {
				if strings.Contains(user, "?") { // the text after ? is headers, and Replaces is not allowed with a number
					user = strings.ReplaceAll(user, "?", "%3F")
				}
				refused("sip:" + user + "@x.example")
				refused("sip:" + user + "@192.0.2.21")
			}
			refused("sip:receptionist@x.example")
			refused("tel:+1507A;phone-context=x.example")
			if mode == "relay" {
				w.agent.agentRequest("REFER", invite, "agent1", seq, "Refer-To: <sip:reception@x.example>")
				refer := w.carrier.expect("REFER")
				if got := refer.value("Refer-To"); got != "<sip:reception@192.0.2.10:5060>" {
					t.Errorf("Refer-To: %s", got)
				}
				w.carrier.reply(refer, 603, "Decline", "", "")
				w.agent.expect("SIP/2.0 603")
			}
			w.callerEnds(w.agent, d)
		})
	}
}
