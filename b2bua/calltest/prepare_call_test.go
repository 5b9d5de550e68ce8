package calltest

import (
	"strings"
	"testing"
)

// The prepare request may depend on the call: one target has a different agent, in a
// different workspace, for each called number.
func TestPrepareChoosesTheAgent(t *testing.T) {
	yaml := strings.Replace(testConfig, "model_id: m,",
		`model_id: '{{if eq .Agent.Number "+15075550101"}}first{{else}}other{{end}}', workspace_id: "w-{{.Trunk}}",`, 1)
	inWorldWith(t, yaml, func(w *world) {
		for _, tt := range []struct{ to, model string }{{"+15075550101", "first"}, {"+15075550102", "other"}} {
			d := w.carrier.dialsTillRung(tt.to)
			w.carrier.isBusyAt(w.agent, w.agent.expect("INVITE"), "a", d)
			w.record()
			asked := string(w.prepare.asked[len(w.prepare.asked)-1].Body)
			if !strings.Contains(asked, `"model_id":"`+tt.model+`","workspace_id":"w-carrier"`) {
				t.Errorf("%s: asked %s", tt.to, asked)
			}
		}
	})
}

// If a token of X-EI has no value for a call, the token is left out.
func TestXEIWithoutDiversion(t *testing.T) {
	yaml := strings.Replace(testConfig, `"S.{{.Prepare.CallID}};"`, `'{{xei "S" .Prepare.CallID}}{{xei "O" .Diversion}}'`, 1)
	inWorldWith(t, yaml, func(w *world) {
		for _, tt := range []struct{ extra, want string }{
			{"", "S.id-1;"},
			{"Diversion: <sip:+15075550103@x.example>\n", "S.id-2;O.+15075550103;"},
			{"Diversion: <sip:a%3bS.b@x.example>\n", "S.id-3;O.a%3bS.b;"},
		} {
			d := w.carrier.newCall("+15075550101")
			d.extra = tt.extra
			invite := w.carrier.ringsAt(w.agent, d)
			if got := invite.value("X-EI"); got != tt.want {
				t.Errorf("%s: X-EI %q; want %q", tt.extra, got, tt.want)
			}
			w.carrier.isBusyAt(w.agent, invite, "a", d)
			w.record()
		}
	})
}
