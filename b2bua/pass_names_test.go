package b2bua

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

func TestWanted(t *testing.T) {
	long := "X-" + strings.Repeat("a", maxPassedName-2)
	for _, tt := range []struct{ name, list, headers, want string }{
		{"names alone", "X-B X-A", "X-A X-C", "X-B X-A"},
		{"in the message's order", "X-*", "x-b Reason X-A X-b X-a", "x-b X-A"},
		{"the name itself", "X-*", "X- X", "X-"},
		{"listed by name too", "X-* X-A", "x-a X-B", "X-B X-A"},
		{"two that overlap", "X-A* X-*", "X-AB X-B X-ABC", "X-AB X-ABC X-B"},
		{"what belongs to one side", "Co* Re* vi* Su*", "Contact Content-Type Require Record-Route Via Reason Supported Subject", "Reason Subject"},
		{"compact", "sub* id*", "s k y i", "Subject Identity"},
		{"the platform's id", "X-*", "X-EI x-ei X-Eins", "X-Eins"},
		{"what is configured", "X-*", "X-Set X-Setting", "X-Setting"},
		{"no name", "X-*", "X-a" + "\n" + "b X-\x00 X-ä X-(a)", ""},
		{"too long", "X-*", long + "a " + long, long},
	} {
		var headers []sip.Header
		for n := range strings.SplitSeq(tt.headers, " ") {
			headers = append(headers, sip.NewHeader(n, "1"))
		}
		got := wanted(strings.Fields(tt.list), headers, []config.Header{{Name: "x-set"}})
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%s: got %q; want %q", tt.name, g, tt.want)
		}
	}
}

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
