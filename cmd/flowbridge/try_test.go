package main

import (
	"strings"
	"testing"

	"flowbridge/sim/platform"
)

// TestTargetsTry: the API is asked once. The output shows the predicate, the id and the INVITE, but not the
// token.
func TestTargetsTry(t *testing.T) {
	of, _ := described("retell")
	p, err := platform.Start(t.Context(), of, platform.Options{HTTPListen: profileNet[2] + ":0", SIPListen: profileNet[2] + ":0"})
	must(t, err)
	defer p.Close()
	good := profileOf(t, "retell", p) + "  - {name: direct, kind: sip, uri: \"sip:1@127.0.0.1\"}\n"
	for _, tt := range []struct {
		name, target, old, is string
		code                  int
		says                  string
	}{
		{"a success", "retell", "", "", 0, "INVITE sip:call_"},
		{"another value", "retell", "call_status: registered}", "call_status: done}", 1, `call_status is "done"`},
		{"nothing there", "retell", p.APIURL(), "http://127.0.0.1:1", 1, "connection refused"},
		{"asks no API", "direct", "", "", 2, "asks no API"},
		{"no such target", "other", "", "", 2, "no target"},
	} {
		file := writeYAML(t, "%s", strings.ReplaceAll(good, tt.old, tt.is))
		if tt.old == "" {
			file = writeYAML(t, "%s", good)
		}
		out, code := run(t, "targets", "try", tt.target, "--config", file)
		if code != tt.code || !strings.Contains(out, tt.says) || strings.Contains(out, platform.DefaultToken) {
			t.Errorf("%s: exit code %d; want %d and %q:\n%s", tt.name, code, tt.code, tt.says, out)
		}
	}
}
