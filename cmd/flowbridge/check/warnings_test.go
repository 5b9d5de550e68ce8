package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckWarnsOfReadableKeys(t *testing.T) {
	const sip = `sip: {listen: ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"]}` + "\n"
	target := func(more string) string {
		return sip + `targets: [{name: t, kind: sip, uri: "sip:a@127.0.0.1", ` + more + `}]`
	}
	trunk := func(more string) string { return sip + `trunks: [{name: c, sources: [192.0.2.1], ` + more + `}]` }
	for name, c := range map[string]struct{ text, want string }{ // of whom is warned
		"off":             {target("media: {srtp: off}") + trunk("media: {srtp: off}")[len(sip)-1:], ""},
		"target over udp": {target("media: {srtp: optional}"), "target t"},
		"target over tcp": {target("transport: tcp, media: {srtp: optional}"), "target t"},
		"target over any": {target("transport: auto, media: {srtp: required}"), "target t"},
		"trunk over any":  {trunk(`uri: "sip:a@pbx.test", transport: auto, media: {srtp: optional}`), "trunk c"},
		"target over tls": {target("transport: tls, media: {srtp: optional}"), ""},
		"no tls listener": {trunk("media: {srtp: optional}"), "trunk c"},
		"trunk over udp":  {trunk(`uri: "sip:a@192.0.2.1", media: {srtp: optional}`), "trunk c"},
	} {
		got := readableKeys(parsed(t, c.text))
		if len(got) != min(1, len(c.want)) || (c.want != "" && !strings.HasPrefix(got[0].Problem, c.want+" has media.srtp")) {
			t.Errorf("%s: got %+v; want %q", name, got, c.want)
		}
	}
	cfg := parsed(t, trunk("media: {srtp: optional}"))
	cfg.SIP.Listen[1].Transport = "tls" // which a whole configuration has a certificate for
	if got := readableKeys(cfg); len(got) != 0 {
		t.Errorf("a tls listener: got %+v", got)
	}
	cfg = parsed(t, trunk(`uri: "sip:a@192.0.2.1", media: {srtp: optional}`))
	cfg.SIP.Listen[1].Transport = "tls"
	if got := readableKeys(cfg); len(got) != 1 {
		t.Errorf("a trunk over udp beside a tls listener: got %+v", got)
	}
}

// check says in one line which platforms' agents can't hand callers over, and nothing where they can or don't.
func TestTransfersThatAreRefused(t *testing.T) {
	const line = "transfers: REFER of agent is refused"
	for keys, want := range map[string]bool{
		"kind: synthflow, region: us": true, "kind: synthflow, region: us, transfer: local, transfer_hosts: [pbx.example.com]": false,
		"kind: synthflow, region: us, sources: [192.0.2.0/24]": false, `kind: sip, uri: "sip:a@agent.example.com"`: false,
		`kind: vapi, uri: "sip:a@sip.vapi.ai"`: true,
	} {
		file := filepath.Join(t.TempDir(), "f.yaml")
		text := "trunks: [{name: pbx, sources: [192.0.2.7]}]\ntargets: [{name: agent, " + keys + "}]\nroutes: [{trunk: pbx, targets: [agent]}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := check(&out, file, roomy(), false, nil); err != nil {
			t.Errorf("%s: %v", keys, err)
		}
		if got := strings.Contains(out.String(), line); got != want {
			t.Errorf("%s: %s", keys, &out)
		}
	}
}
