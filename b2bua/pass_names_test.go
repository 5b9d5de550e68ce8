package b2bua

import (
	"strings"
	"testing"
	"testing/synctest"
)

// What a name with a star stands for passes in both directions, by the same
// rules as what is listed.
func TestHeadersPassByPattern(t *testing.T) {
	yaml := strings.NewReplacer(
		`country: "1"`, `country: "1", pass_headers: ["X-*", Reason]`,
		"  - {name: spare,", `  - {name: spare, headers: {X-Set: "{{.Header \"X-None\"}}"}, pass_headers: ["X-*", "P-*", "Di*"],`,
	).Replace(testConfig)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.newCall("+15095785607")
		d.extra = "X-Order: 2\nx-customer: a, b\nX-Bad: a\x00b\nX-EI: S.theirs;\nX-Set: theirs\nx: 90\nX-CUSTOMER: c\n" +
			"P-Asserted-Identity: <sip:+15075550100@192.0.2.10>\nPrivacy: id\nDiversion: <sip:+15075550111@192.0.2.10>\nOther: 1\n"
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		if !strings.Contains(invite.raw, "\r\nX-Order: 2\r\nx-customer: a, b\r\nx-customer: c\r\n") {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		for _, name := range []string{"X-Bad", "X-EI", "X-Set", "Other", "P-Asserted-Identity", "Diversion", "\nx: "} {
			if strings.Contains(invite.raw, name) {
				t.Errorf("the INVITE has %s:\n%s", name, invite.raw)
			}
		}
		w.agent2.reply(invite, 200, "OK", "a", agentSDP(), "X-Agent: 7", "Reason: SIP;cause=200", "x: 90", "X-Result: done", "Other: 1")
		w.agent2.expect("ACK")
		if m := w.carrier.expect("SIP/2.0 200"); !strings.Contains(m.raw, "\r\nX-Agent: 7\r\nX-Result: done\r\nReason: SIP;cause=200\r\n") ||
			strings.Contains(m.raw, "Other") || strings.Contains(m.raw, "\nx: ") {
			t.Errorf("answer to the carrier:\n%s", m.raw)
		}
		w.carrier.ack(d)
		synctest.Wait()
		w.callerHangsUpAt(w.agent2, d)
		w.record()
	})
}
