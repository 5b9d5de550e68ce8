package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"flowbridge/cmd/flowbridge/profiles"
)

// TestCarriers: check accepts the trunk that init writes for a carrier without a warning, calls from each of the
// carrier's networks belong to the trunk, and the carrier's page lists the same networks as the profile.
func TestCarriers(t *testing.T) {
	if out, code := run(t, "trunks", "profiles"); code != 0 || !strings.Contains(out, "Twilio") {
		t.Errorf("the list: exit code %d\n%s", code, out)
	}
	for _, c := range profiles.Carriers() {
		file := filepath.Join(t.TempDir(), "flowbridge.yaml")
		args := []string{"init", "--config", file, "--carrier", c.Name, "--platform", "trunk", "--set", "sip.example.com=192.0.2.1", "--advertise", "203.0.113.5"}
		if out, code := run(t, args...); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", c.Name, code, out)
		}
		out, code := run(t, "check", "--config", file)
		if code != 0 || strings.Contains(out, "trunk "+c.Name) {
			t.Errorf("%s: check: exit code %d\n%s", c.Name, code, out)
		}
		if len(c.Networks) < 2 || c.Date == "" || len(c.Sources) == 0 {
			t.Errorf("%s: %+v", c.Name, c)
		}
		for _, n := range c.Networks {
			out, code := run(t, "explain", "--config", file, "--source", n.Prefix.Addr().String(), "--from", "+15075550100", "--to", "+15075785607", "--json")
			if code != 0 || !strings.Contains(out, `"trunk": "`+c.Name+`"`) {
				t.Errorf("%s: explain a call from %v: exit code %d\n%s", c.Name, n.Prefix, code, out)
			}
		}
		printed, code := run(t, "trunks", "profiles", c.Name)
		page, err := os.ReadFile("../../docs/interop/" + c.Name + ".md")
		must(t, err)
		for _, line := range regexp.MustCompile(`(?m)^ +- ([0-9./]+)`).FindAllStringSubmatch(printed, -1) {
			if code != 0 || !regexp.MustCompile(`\b`+regexp.QuoteMeta(line[1])+`\b`).Match(page) {
				t.Errorf("%s: the page lacks %s", c.Name, line[1])
			}
		}
	}
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"init", "--carrier", "nobody", "--platform", "vapi"}, "flowbridge trunks profiles lists all"},
		{[]string{"init", "--trunk", "pbx", "--carrier", "twilio", "--platform", "vapi"}, "give it by --source"},
		{[]string{"trunks", "profiles", "nobody"}, "flowbridge trunks profiles lists them"},
	} {
		if out, code := run(t, tt.args...); code != 2 || !strings.Contains(out, tt.says) {
			t.Errorf("%v: exit code %d; want 2, and %q\n%s", tt.args, code, tt.says, out)
		}
	}
}
