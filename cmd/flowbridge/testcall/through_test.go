package testcall

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/sim/synthflow"
)

// TestThroughABrowserTrunk: a test call from a trunk of browsers comes by plain SIP, because its carrier has neither DTLS nor
// ICE, and goes where browsers' calls go. It is heard.
func TestThroughABrowserTrunk(t *testing.T) {
	p, err := synthflow.Start(t.Context(), synthflow.Options{HTTPListen: "127.0.0.1:0", SIPListen: "127.0.0.1:0", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	cfg, err := config.Parse("f.yaml", fmt.Appendf(nil, `
trunks: [{name: carrier, sources: [192.0.2.1]}, {name: talk, browser: true}]
targets:
  - {name: agent, kind: synthflow, uri: "sip:{{.To.Number}}@%s", prepare: {api: "%s", token_env: TOKEN, model_id: m, workspace_id: w},
     headers: {X-EI: "S.{{.Prepare.CallID}};"}}
  - {name: other, kind: sip, uri: "sip:{{.To.Number}}@127.0.0.1:9"}
routes: [{trunk: carrier, targets: [other]}, {trunk: talk, targets: [agent]}]
`, p.SIPAddr(), p.APIURL()), func(string) (string, bool) { return p.Token(), true })
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Through{Trunk: "talk", From: "+15075550100", To: "+15075785607", Seconds: 1}.Place(t.Context(), &out, cfg)
	if err != nil || !strings.Contains(out.String(), "target agent") || !strings.Contains(out.String(), "we hear the other side") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
