package calltest

import (
	"strings"
	"testing"
)

// A trunk with credentials has an address within another trunk's network. A call without
// credentials from this address does not count as the other trunk's.
func TestWiderTrunkDoesNotTakeOver(t *testing.T) {
	yaml := strings.Replace(testConfig, "  - {name: carrier, sources: [\"192.0.2.10\"]",
		"  - {name: inner, sources: [192.0.2.0/28], auth: {username: u, password_env: P}}\n  - {name: carrier, sources: [192.0.2.0/24]", 1)
	inWorldWith(t, yaml, func(w *world) {
		d := w.carrier.dials("+15075785607")
		m := w.carrier.expect("SIP/2.0 401")
		w.carrier.gaveUp(d, m)
		d.extra = "Authorization: Digest username=\"u\", realm=\"flowbridge\", nonce=\"x\", uri=\"sip:x\", response=\"y\"\n"
		w.carrier.invite(d)
		w.carrier.gaveUp(d, w.carrier.expect("SIP/2.0 401"))
	})
}

// If two trunks have the same address, and one of them has credentials, the domain in the
// call decides between them, and thus whether the call is challenged. A call that matches
// neither trunk is refused.
func TestMatchDecides(t *testing.T) {
	yaml := strings.Replace(testConfig, "  - {name: carrier, sources: [\"192.0.2.10\"]",
		"  - {name: asked, sources: [\"192.0.2.10\"], match: {header: \"X-Trunk: asked\"}, auth: {username: u, password_env: P}}\n"+
			"  - {name: carrier, sources: [\"192.0.2.10\"], match: {to_domain: 198.51.100.1}", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.established()
		w.callerHangsUp(d)
		if r := w.record(); r.Trunk != "carrier" {
			t.Errorf("the call is of trunk %s", r.Trunk)
		}
		d = w.carrier.newCall("+15095785607")
		neither := strings.Replace(d.request("INVITE"), "@198.51.100.1:5060 SIP", "@other.example.com SIP", 1)
		w.carrier.send(neither)
		w.carrier.gaveUp(d, w.carrier.expect("SIP/2.0 403"))
		if n := w.server.Rejected().NoTrunk.Load(); n != 1 {
			t.Errorf("%d without a trunk; want 1", n)
		}
		d.extra = "X-Trunk: asked\n"
		toAsked := strings.Replace(d.request("INVITE"), "@198.51.100.1:5060 SIP", "@other.example.com SIP", 1)
		w.carrier.send(toAsked)
		m := w.carrier.expect("SIP/2.0 401")
		w.carrier.gaveUp(d, m)
		d.extra += authorize(d, m, "SHA-256", "u", "secret", 1)
		w.carrier.send(strings.Replace(d.request("INVITE"), "@198.51.100.1:5060 SIP", "@other.example.com SIP", 1))
		d.learn(w.carrier.expect("SIP/2.0 404")) // the other trunk has no routes
		w.carrier.ackRefused(d)
		if r := w.record(); r.Trunk != "asked" {
			t.Errorf("the call is of trunk %s", r.Trunk)
		}
	})
}
