package calltest

import (
	"strings"
	"testing"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
)

// wantCapabilities checks that an answer has the headers that RFC 3261 section 11.2 asks
// for, and claims nothing that the server does not support.
func wantCapabilities(t testing.TB, m received, extensions string) {
	t.Helper()
	for name, want := range map[string]string{
		"Allow": leg.Methods + ", INFO", "Accept": message.AcceptedBodies, "Accept-Encoding": "identity", "Accept-Language": "en",
		"Content-Length": "0", "Supported": extensions, "Server": leg.AgentName,
	} {
		if got := m.value(name); got != want {
			t.Errorf("%s: %q; want %q\n%s", name, got, want, m.raw)
		}
	}
}

// OPTIONS gets an answer, whatever permitted form it has.
func TestOptions(t *testing.T) {
	for name, spoil := range map[string][2]string{
		"plain": {},
		"white space around ; and =, RFC 3261 section 25.1": {";tag=ann", " ;  tag   = ann"},
		"a header that is not needed, RFC 3261 section 8.2": {"Contact: <", "Contact: <<<"},
	} {
		runIn(t, name, testConfig, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			w.carrier.send(strings.Replace(d.request("OPTIONS"), spoil[0], spoil[1], 1))
			answer := w.carrier.expect("SIP/2.0 200")
			wantCapabilities(w.t, answer, "timer, 100rel")
			if !strings.Contains(answer.value("To"), ";tag=") {
				w.t.Errorf("no To tag:\n%s", answer.raw)
			}
		})
	}
}

// OPTIONS within a dialog gets the same answer, on either leg, even while the process
// drains.
func TestOptionsInDialog(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.established()
		ask := func() {
			d.seq++
			d.branch += "o"
			w.carrier.send(d.request("OPTIONS"))
			wantCapabilities(t, w.carrier.expect("SIP/2.0 200"), "timer, 100rel")
			w.agent.seq++
			w.agent.agentRequest("OPTIONS", invite, "agent1", 10+w.agent.seq)
			wantCapabilities(t, w.agent.expect("SIP/2.0 200"), "timer")
		}
		ask()
		w.server.Drain()
		ask()
		other := w.carrier.newCall("+15075785607")
		w.carrier.send(other.request("OPTIONS"))
		refused := w.carrier.expect("SIP/2.0 503")
		if refused.value("Retry-After") == "" || refused.value("Content-Length") != "0" {
			t.Errorf("while draining:\n%s", refused.raw)
		}
		w.callerEnds(w.agent, d)
	})
}
