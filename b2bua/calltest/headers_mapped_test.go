package calltest

import (
	"strings"
	"testing"
)

// mappingConfig passes headers on under another name, in both directions.
var mappingConfig = strings.NewReplacer(
	`country: "1"`, `country: "1", pass_headers: [{from: X-Agent, to: User-to-User}, {from: X-Topic, to: X-Reason}]`,
	"  - {name: spare, kind: sip,", `  - {name: spare, kind: sip, reinvite: relay, pass_headers: [{from: User-to-User, to: X-Context}, {from: P-Asserted-Identity, to: X-Caller-URI}],`,
).Replace(testConfig)

// A header gets the name that the other side's list gives it: during set-up, in re-INVITEs
// and their answers, in other requests within the call, and in BYE.
func TestHeadersAreMapped(t *testing.T) {
	const context, asked, told = "User-to-User: 00616263;encoding=hex", "X-Context", "abc"
	const agent, uui, value = "X-Agent: ann", "User-to-User", "00616e6e;encoding=hex"
	check := func(m received, name, want string) {
		t.Helper()
		if got := m.value(name); got != want {
			t.Errorf("%s %q; want %q:\n%s", name, got, want, m.raw)
		}
	}
	inWorldWith(t, mappingConfig, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.sdp, d.extra = callerSDP(), context+"\n"
		w.carrier.invite(d)
		d.extra = ""
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		check(invite, asked, told)
		check(invite, uui, "")
		w.agent2.concludes(invite, 200, "OK", "agent2", agentSDP(), agent, "X-Topic: billing")
		ok := w.carrier.expect("SIP/2.0 200")
		check(ok, uui, value)
		check(ok, "X-Reason", "billing")
		check(ok, "X-Agent", "")
		w.carrier.ack(d)

		seq := w.carrier.reinvite(d, callerSDP(), context)
		again := w.agent2.expect("INVITE")
		check(again, asked, told)
		w.agent2.concludes(again, 200, "OK", "agent2", agentSDP(), agent)
		check(w.carrier.expect("SIP/2.0 200"), uui, value)
		w.carrier.ackOf(d, seq, "")

		w.agent2.agentSends("INVITE", invite, "agent2", 5, agentSDP(), agent)
		again = w.carrier.expect("INVITE")
		check(again, uui, value)
		w.carrier.concludes(again, 200, "OK", "", callerSDP(), context)
		check(w.agent2.expect("SIP/2.0 200"), asked, told)
		w.agent2.agentSends("ACK", invite, "agent2", 5, "")

		w.carrier.within(d, "INFO", "", "Info-Package: x", context)
		info := w.agent2.expect("INFO")
		check(info, asked, told)
		w.agent2.reply(info, 200, "OK", "", "", agent)
		check(w.carrier.expect("SIP/2.0 200"), uui, value)

		w.carrier.within(d, "BYE", "", context)
		w.carrier.expect("SIP/2.0 200")
		bye := w.agent2.expect("BYE")
		check(bye, asked, told)
		w.agent2.reply(bye, 200, "OK", "", "")
		w.record()
	})
}

// If a caller's number is withheld, it is also withheld in a header that is passed on under
// another name, during set-up and within the call. Malformed values are dropped.
func TestMappedHeadersKeepPrivacy(t *testing.T) {
	inWorldWith(t, mappingConfig, func(w *world) {
		const identity = "P-Asserted-Identity: <sip:+15075550100@192.0.2.10>"
		d := w.carrier.newCall("+15095785607")
		d.sdp, d.extra = callerSDP(), "Privacy: id\n"+identity+"\nUser-to-User: 610d0a;encoding=hex\n"
		invite, _ := w.answeredBySpareTo(d, agentSDP())
		w.carrier.within(d, "INFO", "", "Info-Package: x", identity)
		info := w.agent2.expect("INFO")
		for _, m := range []received{invite, info} {
			if strings.Contains(m.raw, "X-Caller-URI") || strings.Contains(m.raw, "X-Context") {
				t.Errorf("passed on:\n%s", m.raw)
			}
		}
		w.agent2.reply(info, 200, "OK", "", "")
		w.carrier.expect("SIP/2.0 200")
		w.callerHangsUpAt(w.agent2, d)
		if left := strings.Join(w.record().Attempts[0].DroppedHeaders, " "); left != "X-Context X-Caller-URI" {
			t.Errorf("left out %q", left)
		}
	})
}
