package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/cmd/flowbridge/profiles"
)

// TestInit: for each platform, check accepts the file that init writes with an account's values without a warning about
// it, once the printed commands have stored the secret. explain routes the number to the platform.
func TestInit(t *testing.T) {
	t.Setenv("POLYAI_TOKEN", "secret-of-polyai")
	for _, trunk := range []string{"carrier", "pbx"} {
		for _, p := range profiles.All() {
			t.Run(trunk+"/"+p.Name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "it's {a} b, #c") // YAML and a shell would misread this path without quotes
				must(t, os.Mkdir(dir, 0o700))
				file := filepath.Join(dir, "flowbridge.yaml")
				args := []string{
					"init", "--config", file, "--trunk", trunk, "--source", "203.0.113.0/24,2001:db8::1",
					"--number", "+15075785607", "--country", "1", "--platform", p.Name, "--advertise", "203.0.113.5",
				}
				for _, word := range p.Words() {
					value := strings.ToLower(strings.ReplaceAll(word, "_", "-"))
					if word == "MODEL_ID" {
						value = "1744274157255x646200691892837600"
					}
					args = append(args, "--set", word+"="+value)
				}
				text, code := run(t, args...)
				if code != 0 || !strings.Contains(text, "flowbridge call --to sip:+15075785607@127.0.0.1") {
					t.Fatalf("exit code %d\n%s", code, text)
				}
				for line := range strings.Lines(text) {
					if line = strings.TrimSpace(line); strings.HasPrefix(line, "printf ") || strings.HasPrefix(line, "chmod ") {
						out, err := exec.Command("sh", "-c", line).CombinedOutput()
						if err != nil {
							t.Fatalf("%s: %v\n%s", line, err, out)
						}
					}
				}
				out, code := run(t, "check", "--config", file)
				if code != 0 || strings.Contains(out, "warning: "+file) {
					t.Errorf("check: exit code %d\n%s", code, out)
				}
				out, code = run(t, "explain", "--config", file, "--trunk", trunk, "--from", "+15075550100", "--to", "15075785607", "--json")
				if code != 0 || !strings.Contains(out, `"`+p.Name+`"`) {
					t.Errorf("explain: exit code %d\n%s", code, out)
				}
				if out, code := run(t, args...); code != 2 || !strings.Contains(out, "is there already") {
					t.Errorf("a second time: exit code %d\n%s", code, out)
				}
			})
		}
	}
}

// init writes a file only if all values are usable.
func TestInitRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	whole := []string{"init", "--source", "203.0.113.7", "--platform", "retell", "--set", "AGENT_ID=agent-1"}
	for _, tt := range []struct {
		args []string // added to the complete arguments; the last value of a flag counts
		says string
	}{
		{[]string{"--trunk", "carriage"}, "write carrier or pbx"},
		{[]string{"--source", "everywhere"}, `"everywhere" is no network`},
		{[]string{"--platform", "nobody"}, "there is no such profile"},
		{[]string{"--country", "US"}, "write a country code"},
		{[]string{"--number", "5075785607"}, "write it with + and country code"},
		{[]string{"--set", "MODEL_ID=1"}, "the profile retell has no such word; it has AGENT_ID"},
		{[]string{"--set", `AGENT_ID=a"b`}, "letters, digits"},
		{[]string{"--advertise", "nowhere at all"}, "sip.advertise"},
		{[]string{"--platform", "vapi"}, "--set AGENT_ID: the profile vapi has no such word; it has SIP_USER"},
		{[]string{"--secret-file", "/run/${NAME}"}, "as a variable of the environment"},
		{[]string{"--config", "missing/flowbridge.yaml"}, "missing"},
	} {
		out, code := run(t, append(whole, tt.args...)...)
		if code == 0 || !strings.Contains(out, tt.says) {
			t.Errorf("%v: exit code %d; want another, and %q:\n%s", tt.args, code, tt.says, out)
		}
	}
	for _, flag := range []string{"--source", "--platform", "--set"} {
		args := []string{"init"}
		for i := 1; i < len(whole); i += 2 {
			if whole[i] != flag {
				args = append(args, whole[i:i+2]...)
			}
		}
		if out, code := run(t, args...); code != 2 || !strings.Contains(out, flag) || !strings.Contains(out, "is missing") {
			t.Errorf("without %s: exit code %d\n%s", flag, code, out)
		}
	}
	if all, err := os.ReadDir("."); err != nil || len(all) > 0 {
		t.Errorf("something was written: %v, %v", all, err)
	}
	if out, code := run(t, append(whole, "--dry-run")...); code != 0 || !strings.Contains(out, "agent-1") {
		t.Errorf("the whole: exit code %d\n%s", code, out)
	}
}
