package provision

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/sim"
)

func TestSynthflowNumber(t *testing.T) {
	a, _ := newSynthflow(t)
	pwd := secretFile(t, trunkPassword+"\n")
	const n = "+15551230000"
	create := []string{"number", "create", "--workspace-id", "W", "--phone-number", n, "--friendly-name", "Front Desk", "--termination-uri", "sip.a.example", "--trunk-username", "u", "--trunk-pwd-file", pwd}
	a.steps([]cliStep{
		{[]string{"number", "show", n, "--workspace-id", "W"}, 1, []string{"404 Not Found"}},
		{create, 0, []string{"created number " + n}},
		{create, 0, []string{"is there already", "not compared, because the API does not give it back: trunk_pwd, trunk_username", "!wanted"}},
		{append(slices.Clone(create), "--termination-uri", "sip.b.example", "--json"), 1, []string{
			`"outcome": "different"`, `"key": "termination_uri"`, `"have": "sip.a.example"`, `"want": "sip.b.example"`,
		}},
		{append(slices.Clone(create), "--termination-uri", "sip.b.example"), 1, []string{
			`termination_uri: is sip.a.example, wanted sip.b.example`, "is there already, and not as it was asked for", "on the platform's page",
			`flowbridge synthflow number delete ` + n + ` --yes --api ` + a.url + ` --workspace-id W`,
		}},
		{append(slices.Clone(create), "--friendly-name", "Desk"), 1, []string{"friendly_name: is Front Desk, wanted Desk"}},
		{[]string{"number", "show", n, "--workspace-id", "W"}, 0, []string{"friendly_name", "Front Desk", "sip_term_uri", "sip.a.example"}},
		{[]string{"number", "delete", n, "--workspace-id", "W"}, 2, []string{"can't be undone", "--yes"}},
		{[]string{"number", "delete", n, "--workspace-id", "W", "--yes"}, 0, []string{"deleted number " + n, "sip.a.example"}},
		{[]string{"number", "delete", n, "--workspace-id", "W", "--yes"}, 1, []string{"404"}},
		{[]string{"number", "create", "--workspace-id", "W", "--phone-number", n, "--body", secretFile(t, `{"provider_name": "custom"}`)}, 1, []string{"400 Bad Request", "termination_uri"}},
		{[]string{"number", "create", "--workspace-id", "X", "--phone-number", n}, 1, []string{"403 Forbidden", "may not do this"}},
	})
}

func TestSynthflowAssistant(t *testing.T) {
	a, _ := newSynthflow(t)
	prompt := secretFile(t, "You are Ann.\n")
	create := []string{"assistant", "create", "--name", "Ann", "--phone-number", "+15551230000", "--prompt-file", prompt, "--llm", "gpt-4.1"}
	a.steps([]cliStep{
		{create, 1, []string{"+15551230000 is not in the account"}},
		{[]string{"number", "create", "--workspace-id", "W", "--phone-number", "+15551230000"}, 0, nil},
	})
	id := a.made(create...)
	a.steps([]cliStep{
		{create, 0, []string{"is there already", "!wanted"}},
		{append(slices.Clone(create), "--llm", "gpt-5.1", "--json"), 1, []string{`"key": "agent.llm"`, `"outcome": "different"`}},
		{append(slices.Clone(create), "--llm", "gpt-5.1"), 1, []string{"agent.llm: is gpt-4.1, wanted gpt-5.1", "assistant delete " + id + " --yes"}},
		{append(slices.Clone(create), "--again"), 1, []string{"is linked to inbound agent " + id}},
	})
	second := a.made("assistant", "create", "--name", "Ann", "--again", "--prompt", "x", "--body", secretFile(t, `{"type": "outbound"}`))
	a.steps([]cliStep{
		{create, 1, []string{"there are 2 agents named \"Ann\": " + id + ", " + second, "--again"}},
		{[]string{"assistant", "show", id}, 0, []string{`"prompt":"You are Ann."`, "+15551230000"}},
		{[]string{"assistant", "delete", second}, 2, []string{"--yes"}},
		{[]string{"assistant", "delete", second, "--yes", "--json"}, 0, []string{`"outcome": "deleted"`, `"type": "outbound"`}},
		{[]string{"assistant", "show", second}, 1, []string{"404"}},
	})
}

// What --dry-run prints is what would be sent, and nothing is.
func TestSynthflowDryRun(t *testing.T) {
	a := unasked(t, "synthflow")
	t.Setenv("SYNTHFLOW_TOKEN", "")
	body := filepath.Join(t.TempDir(), "number.json")
	if err := os.WriteFile(body, []byte(`{"trunk_pwd": "`+trunkPassword+`", "trunk_username": "u", "uac_enabled": false, "phone_number": "+1", "x": [1744274157255646200691892837600]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := a.run("number", "create", "--body", body, "--phone-number", "+15551230000", "--workspace-id", "W", "--dry-run")
	want := "POST " + a.url + `/v2/custom-numbers
Accept: application/json
Authorization: Bearer [redacted]
Content-Type: application/json
User-Agent: flowbridge/` + cli.Version() + `

{
  "phone_number": "+15551230000",
  "trunk_pwd": "[redacted]",
  "trunk_username": "u",
  "uac_enabled": false,
  "workspace_id": "W",
  "x": [
    1744274157255646200691892837600
  ]
}

`
	if code != 0 || out != want {
		t.Errorf("exit code %d, got\n%s\nwant\n%s", code, out, want)
	}
	for _, args := range [][]string{
		{"number", "show", "+1", "--workspace-id", "W"},
		{"number", "delete", "+1", "--workspace-id", "W"},
		{"assistant", "show", "m"},
		{"assistant", "create", "--name", "x", "--prompt", "y"},
		{"assistant", "delete", "m"},
	} {
		out, code := a.run(append(args, "--dry-run")...)
		if code != 0 || strings.Count(out, "Authorization: Bearer [redacted]") != 1 || !strings.Contains(out, " "+a.url+"/v2/") {
			t.Errorf("%v: exit code %d\n%s", args, code, out)
		}
	}
}

func TestSynthflowUsage(t *testing.T) {
	a := unasked(t, "synthflow")
	readable := secretFile(t, "x")
	if err := os.Chmod(readable, 0o644); err != nil {
		t.Fatal(err)
	}
	create := []string{"number", "create", "--workspace-id", "W", "--phone-number", "+15551230000"}
	with := func(args ...string) []string { return append(slices.Clone(create), args...) }
	bad := func(text string) string { return secretFile(t, text) }
	a.steps([]cliStep{
		{[]string{"number", "create", "--phone-number", "+15551230000"}, 2, []string{"workspace_id is missing"}},
		{with("--body", bad(`{"provider_name": "twillio"}`)), 2, []string{"one of custom, twilio"}},
		{with("--trunk-pwd-file", readable), 2, []string{"can be read by everybody", "chmod 600 " + readable}},
		{with("--trunk-pwd-file", bad("")), 2, []string{"is empty"}},
		{with("--trunk-pwd-env", "NOT_SET_HERE"), 2, []string{"NOT_SET_HERE is not set"}},
		{with("--trunk-pwd-env", "p@ss"), 2, []string{"not the name of an environment variable", "!p@ss"}},
		{with("--trunk-pwd-file", readable, "--trunk-pwd-env", "X"), 2, []string{"not both"}},
		{with("--token-file", readable), 2, []string{"can be read by everybody"}},
		{with("--token-file", readable, "--token-env", "X"), 2, []string{"exclude each other"}},
		{with("--token-env", "NOT_SET_HERE"), 2, []string{"NOT_SET_HERE is not set", "--token-file"}},
		{with("--region", "asia"), 2, []string{"one of global, us, eu"}},
		{with("--body", bad("[]")), 2, []string{"not a JSON object"}},
		{with("--body", bad(`{"a":1,"a":2}`)), 2, []string{`"a" is there twice`}},
		{with("--body", "/nonexistent"), 2, []string{"no such file"}},
		{with("--target", "x"), 2, []string{"--target and --api exclude each other"}},
		{[]string{"number", "show"}, 2, []string{"name the number"}},
		{[]string{"number", "show", "+1"}, 2, []string{"--workspace-id is needed"}},
		{[]string{"number", "show", "+1\n"}, 2, []string{"is no number"}},
		{[]string{"number", "delete", "+..", "--workspace-id", "W", "--yes"}, 2, []string{`"+.." is no number`}},
		{[]string{"assistant", "delete", "..", "--yes"}, 2, []string{`".." is no id`}},
		{[]string{"assistant", "create", "--prompt", "x"}, 2, []string{"name is missing"}},
	})
	out, code := run(t, "synthflow", "assistant", "show", "m", "--api", "http://api.example.com")
	if code != 2 || !strings.Contains(out, "unencrypted") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// An API of another region than the one that is named, or of the other platform, is not asked.
func TestAPIOfAnotherRegion(t *testing.T) {
	t.Setenv("SYNTHFLOW_TOKEN", accountToken)
	t.Setenv("VAPI_TOKEN", accountToken)
	for _, step := range []cliStep{
		{[]string{"synthflow", "assistant", "show", "m", "--region", "eu", "--api", "https://api.us.synthflow.ai"}, 2, []string{"is of region us, and --region is eu"}},
		{[]string{"synthflow", "number", "create", "--region", "us", "--api", "https://API.synthflow.ai./v2"}, 2, []string{"is of region global, and --region is us"}},
		{[]string{"synthflow", "setup", "--workspace-id", "W", "--phone-number", setupNumber, "--model-id", "M", "--yes", "--region", "eu", "--api", "https://api.synthflow.ai"}, 2, []string{"is of region global"}},
		{[]string{"synthflow", "assistant", "show", "m", "--api", "https://api.vapi.ai"}, 2, []string{"is an API of vapi"}},
		{[]string{"vapi", "number", "show", "m", "--region", "eu", "--api", "https://api.vapi.ai"}, 2, []string{"is of region us, and --region is eu"}},
		{[]string{"vapi", "assistant", "show", "m", "--api", "https://api.eu.synthflow.ai"}, 2, []string{"is an API of synthflow"}},
		{[]string{"vapi", "number", "create", "--api", "https://api.eu.vapi.ai", "--sip-uri", "sip:a@sip.vapi.ai"}, 2, []string{"not of this region, whose SIP host is sip.eu.vapi.ai"}},
		{[]string{"vapi", "number", "create", "--api", "https://api.eu.vapi.ai", "--sip-user", "a", "--dry-run"}, 0, []string{`"sipUri": "sip:a@sip.eu.vapi.ai"`}},
		{[]string{"synthflow", "assistant", "show", "m", "--region", "eu", "--api", "https://api.eu.synthflow.ai", "--dry-run"}, 0, []string{"GET https://api.eu.synthflow.ai/"}},
		{[]string{"synthflow", "assistant", "show", "m", "--region", "eu", "--api", "http://127.0.0.1:1", "--dry-run"}, 0, []string{"GET http://127.0.0.1:1/"}},
	} {
		out, code := run(t, append(step.args, "--config", "/nonexistent/flowbridge.yaml")...)
		checkOutput(t, step, out, code)
	}
}

// API, token and workspace may come from a target.
func TestSynthflowFromTarget(t *testing.T) {
	a, _ := newSynthflow(t)
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	text := fmt.Sprintf(`
targets:
  - {name: agent, kind: synthflow, uri: "sip:{{.To.Number}}@127.0.0.1:5070", prepare: {api: "%s", token_env: SYNTHFLOW_TOKEN, workspace_id: W}}
  - {name: direct, kind: synthflow, uri: "sip:{{.To.Number}}@127.0.0.1:5070", account: {api: "%s", token_env: SYNTHFLOW_TOKEN, workspace_id: W}}
  - {name: bare, kind: synthflow, uri: "sip:{{.To.Number}}@127.0.0.1:5070"}
  - {name: pbx, kind: sip, uri: "sip:{{.To.Number}}@127.0.0.1:5070"}
`, a.url, a.url)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []cliStep{
		{[]string{"number", "show", "+1", "-c", file, "--target", "agent"}, 1, []string{"404 Not Found"}},
		{[]string{"number", "show", "+1", "-c", file, "--target", "direct"}, 1, []string{"404 Not Found"}},
		{[]string{"number", "show", "+1", "-c", file, "--target", "bare"}, 2, []string{"no section account"}},
		{[]string{"number", "show", "+1", "-c", file, "--target", "pbx"}, 2, []string{"of kind sip"}},
		{[]string{"number", "show", "+1", "-c", file, "--target", "none"}, 2, []string{"has no such target; it has agent, direct, bare, pbx"}},
		{[]string{"number", "show", "+1", "-c", "/nonexistent", "--target", "agent"}, 2, []string{"cannot be read"}},
	} {
		out, code := run(t, append([]string{"synthflow"}, step.args...)...)
		checkOutput(t, step, out, code)
	}
}

// A platform that refuses or lies ends a command with an error in words, without the token that it repeats.
func TestSynthflowFaults(t *testing.T) {
	a, p := newSynthflow(t)
	for fault, says := range map[string]string{"401": "check the token", "echo": "[redacted]", "failed": "although HTTP says success"} {
		f, err := sim.ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		p.SetFault(f)
		a.steps([]cliStep{
			{[]string{"number", "create", "--workspace-id", "W", "--phone-number", "+15551230000"}, 1, []string{says, "!created"}},
			{[]string{"assistant", "create", "--name", "A", "--prompt", "x", "--again"}, 1, []string{says, "!created"}},
		})
	}
}
