package calltest

import (
	"strings"
	"testing"
)

// A transfer skips a route that could not place a call either: the uri of its trunk needs the
// caller's number, but this caller has a name instead. A name that transfer_numbers match in
// full is called, even if the route does not name it.
func TestTransferByRoutesThatLeadSomewhere(t *testing.T) {
	const byCaller, byCarrier = "sip:{{.From.Number}}@192.0.2.21:32681", "sip:{{.From.Number}}@192.0.2.10:5060"
	for _, tt := range []struct{ name, pbx, carrier, to, dialled string }{
		{"the next route", byCaller, "", "sip:4711@x.example", "INVITE sip:4711@192.0.2.10:5060 SIP/2.0"},
		{"the caller's trunk", byCaller, "", "tel:+15075550177", "INVITE sip:+15075550177@192.0.2.10:5060 SIP/2.0"},
		{"none", byCaller, byCarrier, "sip:4711@x.example", ""},
		{"a name that is listed", "", "", "sip:reception@x.example", "INVITE sip:reception@192.0.2.21:32681 SIP/2.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			yaml := strings.NewReplacer(`"^[0-9]{4}$"`, `"^[0-9]{4}$", "^reception$"`,
				`to: "^4", trunks: [pbx, carrier]}`, "trunks: [pbx]}\n  - {target: agent, to: \"^4\", trunks: [carrier]}").Replace(transferConfig)
			if tt.pbx != "" {
				yaml = strings.Replace(yaml, "sip:{{.To.Number}}@192.0.2.21:32681", tt.pbx, 1)
			}
			if tt.carrier != "" {
				yaml = strings.Replace(yaml, "sip:{{.To.Number}}@192.0.2.10:5060", tt.carrier, 1)
			}
			inWorldWith(t, yaml, func(w *world) {
				d := w.carrier.newCall("+15075785607")
				d.from = "<sip:ann&x@192.0.2.10>;tag=ann"
				invite := w.carrier.ringsAt(w.agent, d)
				w.carrier.isTakenBy(w.agent, invite, "agent1", d)
				w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <"+tt.to+">", "Refer-Sub: false")
				if tt.dialled == "" {
					w.agent.expect("SIP/2.0 404")
					w.callerEnds(w.agent, d)
					return
				}
				w.agent.expect("SIP/2.0 202")
				called := w.carrier
				if strings.Contains(tt.dialled, "192.0.2.21") {
					called = w.agent2
				}
				called.reply(called.expect(tt.dialled), 486, "Busy Here", "b", "")
				called.expect("ACK")
				w.callerEnds(w.agent, d)
			})
		})
	}
}

// With transfer: relay, the REFER to a caller behind a proxy names the number at that
// proxy, because the phone in the caller's own Contact does not know the number.
func TestTransferBehindProxy(t *testing.T) {
	inWorldWith(t, strings.Replace(transferConfig, "transfer: local", "transfer: relay", 1), func(w *world) {
		proxy := w.otherAt("192.0.2.30:5070")
		d := w.carrier.newCall("+15075785607")
		d.extra = "Record-Route: <sip:192.0.2.30:5070;lr;ftag=c>\n"
		w.carrier.invitesTillRung(d)
		d.extra = ""
		invite := w.agent.expect("INVITE")
		w.carrier.isTakenBy(w.agent, invite, "agent1", d)
		w.agent.agentRequest("REFER", invite, "agent1", 10, "Refer-To: <tel:+15075550177>")
		refer := proxy.expect("REFER")
		if got := refer.value("Refer-To"); got != "<sip:+15075550177@192.0.2.30:5070>" {
			t.Errorf("Refer-To: %s", got)
		}
		proxy.reply(refer, 202, "Accepted", "", "")
		w.agent.expect("SIP/2.0 202")
		w.callerEnds(w.agent, d)
	})
}
