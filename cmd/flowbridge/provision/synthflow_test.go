package provision

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/sim"
	"flowbridge/sim/synthflow"
)

// secretFile writes a secret into a file of its own.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// cliStep is one command and what it has to say. Words with a ! before them must not be there.
type cliStep struct {
	args []string
	code int
	says []string
}

func (a *synthflowAccount) steps(all []cliStep) {
	a.t.Helper()
	for _, step := range all {
		out, code := a.run(step.args...)
		checkOutput(a.t, step, out, code)
	}
}

func checkOutput(t *testing.T, step cliStep, out string, code int) {
	t.Helper()
	if code != step.code {
		t.Errorf("%v: exit code %d, want %d\n%s", step.args, code, step.code, out)
	}
	for _, words := range step.says {
		if not, isNot := strings.CutPrefix(words, "!"); isNot && strings.Contains(out, not) || !isNot && !strings.Contains(out, words) {
			t.Errorf("%v: %q\n%s", step.args, words, out)
			return
		}
	}
}

func TestSynthflowNumber(t *testing.T) {
	a := newSynthflowAccount(t)
	pwd := secretFile(t, trunkPassword+"\n")
	const n = "+15551230000"
	create := []string{"number", "create", "--workspace-id", "W", "--phone-number", n, "--friendly-name", "Front desk", "--termination-uri", "sip.a.example", "--trunk-username", "u", "--trunk-pwd-file", pwd}
	a.steps([]cliStep{
		{[]string{"number", "show", n, "--workspace-id", "W"}, 1, []string{"404 Not Found: no such number (category validation, request_id r-1)", "check the id by a list"}},
		{create, 0, []string{"created number " + n}},
		{create, 0, []string{"is there already", "not compared, because the API does not give it back: trunk_pwd, trunk_username", "!wanted"}},
		{append(slices.Clone(create), "--friendly-name", "Back office", "--json"), 1, []string{`"outcome": "different"`, `"key": "friendly_name"`, `"have": "Front desk"`, `"want": "Back office"`}},
		{append(slices.Clone(create), "--friendly-name", "Ann's desk"), 1, []string{
			`friendly_name: is Front desk, wanted Ann's desk`, "is there already, and not as it was asked for",
			`flowbridge synthflow number update ` + n + ` --friendly-name='Ann'\''s desk' --api ` + a.url + ` --workspace-id W`,
		}},
		{[]string{"number", "update", n, "--friendly-name", "Ann", "--uac-enabled", "--uac-register-expires", "600"}, 0, []string{"updated number " + n}},
		{[]string{"number", "show", n, "--workspace-id", "W"}, 0, []string{"friendly_name         Ann", "uac_register_expires  600", "trunk_pwd             [redacted]"}},
		{[]string{"number", "list", "--workspace-id", "W"}, 0, []string{"NUMBER", n + "  true"}},
		{[]string{"number", "list", "--workspace-id", "W", "--json"}, 0, []string{`"items": [`, `"next": ""`, `"number": "` + n + `"`}},
		{[]string{"number", "delete", n, "--workspace-id", "W"}, 2, []string{"can't be undone", "--yes"}},
		{[]string{"number", "delete", n, "--workspace-id", "W", "--yes"}, 0, []string{"deleted number " + n, "friendly_name", "Ann"}},
		{[]string{"number", "delete", n, "--workspace-id", "W", "--yes"}, 1, []string{"404"}},
		{[]string{"number", "create", "--workspace-id", "W", "--phone-number", n, "--provider-name", "custom"}, 1, []string{"400 Bad Request: termination_uri is required for provider custom"}},
		{[]string{"number", "create", "--workspace-id", "X", "--phone-number", n}, 1, []string{"403 Forbidden: workspace not yours", "may not do this"}},
	})
	if got := strings.Join(a.got[:3], ", "); got != "GET /v2/numbers/15551230000, GET /v2/numbers/15551230000, POST /v2/custom-numbers" {
		t.Errorf("got %s", got)
	}
}

func TestSynthflowAssistant(t *testing.T) {
	a := newSynthflowAccount(t)
	const id, second = "1744274157201x646200691892837600", "1744274157202x646200691892837600"
	prompt := filepath.Join(t.TempDir(), "prompt.txt")
	if err := os.WriteFile(prompt, []byte("You are Ann.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	create := []string{"assistant", "create", "--name", "Ann", "--phone-number", "+15551230000", "--prompt-file", prompt, "--llm", "gpt-4.1", "--max-duration-seconds", "600"}
	a.steps([]cliStep{
		{create, 1, []string{"phone_number is not in this workspace"}},
		{[]string{"number", "create", "--workspace-id", "W", "--phone-number", "+15551230000"}, 0, nil},
		{create, 0, []string{`created agent "Ann", model_id ` + id}},
		{create, 0, []string{"is there already", "voice_engine_version"}},
		{append(slices.Clone(create), "--llm", "gpt-5.1", "--json"), 1, []string{`"key": "agent.llm"`, `"outcome": "different"`}},
		{append(slices.Clone(create), "--llm", "gpt-5.1"), 1, []string{"agent.llm: is gpt-4.1, wanted gpt-5.1", "assistant update " + id + " --llm=gpt-5.1"}},
		{append(slices.Clone(create), "--again", "--phone-number", "+15551230000"), 1, []string{"phone_number has an agent"}},
		{[]string{"assistant", "create", "--name", "Ann", "--type", "outbound", "--again", "--prompt", "x", "--json"}, 0, []string{`"outcome": "created"`, `"id": "` + second + `"`}},
		{create, 1, []string{"there are 2 agents named \"Ann\": " + id + ", " + second, "--again"}},
		{[]string{"assistant", "attach", second, "--phone-number", "+15551230000"}, 0, []string{"updated agent " + second}},
		{[]string{"assistant", "update", id, "--greeting-message", "Hello"}, 0, []string{"updated agent " + id}},
		{[]string{"assistant", "show", id}, 0, []string{`"greeting_message":"Hello"`, `"prompt":"You are Ann."`, `{"duration_seconds":600}`}},
		{[]string{"assistant", "list"}, 0, []string{"MODEL_ID", id + "  Ann   inbound   +15551230000", second}},
		{[]string{"assistant", "delete", second}, 2, []string{"--yes"}},
		{[]string{"assistant", "delete", second, "--yes", "--json"}, 0, []string{`"outcome": "deleted"`, `"type": "outbound"`}},
		{[]string{"assistant", "show", second}, 1, []string{"404"}},
	})
	if v := a.agents[0]["voice_engine_version"]; v != nil {
		t.Errorf("got %v", v)
	}
}

// What --dry-run prints is what would be sent, and nothing is.
func TestSynthflowDryRun(t *testing.T) {
	a := newSynthflowAccount(t)
	t.Setenv("SYNTHFLOW_TOKEN", "")
	body := filepath.Join(t.TempDir(), "number.json")
	if err := os.WriteFile(body, []byte(`{"trunk_pwd": "`+trunkPassword+`", "trunk_username": "u", "phone_number": "+1", "x": [1744274157255646200691892837600]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := a.run("number", "create", "--body", body, "--phone-number", "+15551230000", "--workspace-id", "W", "--uac-enabled=false", "--dry-run")
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
		{"number", "list", "--workspace-id", "W"},
		{"number", "show", "+1", "--workspace-id", "W"},
		{"number", "update", "+1", "--friendly-name", "x"},
		{"number", "delete", "+1", "--workspace-id", "W"},
		{"assistant", "list"},
		{"assistant", "show", "m"},
		{"assistant", "update", "m", "--name", "x"},
		{"assistant", "create", "--name", "x", "--prompt", "y"},
		{"assistant", "delete", "m"},
		{"assistant", "attach", "m", "--phone-number", "+1"},
	} {
		out, code := a.run(append(args, "--dry-run")...)
		if code != 0 || strings.Count(out, "Authorization: Bearer [redacted]") != 1 || !strings.Contains(out, " "+a.url+"/v2/") {
			t.Errorf("%v: exit code %d\n%s", args, code, out)
		}
	}
	if len(a.got) > 0 {
		t.Errorf("sent %v", a.got)
	}
}

// Secrets that the API repeats, in refusals or elsewhere, are shown nowhere (run looks for them).
func TestSynthflowSecretsStayHidden(t *testing.T) {
	a := newSynthflowAccount(t)
	pwd := secretFile(t, trunkPassword)
	a.answer = func(request string) string {
		switch request {
		case "GET /v2/numbers/1":
			return `{"phone_number":"+1","note":"` + accountToken + `","deep":[{"Auth_Password":"` + trunkPassword + `"}]}`
		case "PATCH /v2/numbers/1":
			return `{"status":"failed","detail":"` + accountToken + ` may not set ` + trunkPassword + `"}`
		}
		return ""
	}
	a.steps([]cliStep{
		{[]string{"number", "show", "+1", "--workspace-id", "W"}, 0, []string{"note          [redacted]", `[{"Auth_Password":"[redacted]"}]`}},
		{[]string{"number", "show", "+1", "--workspace-id", "W", "--json"}, 0, []string{`"note": "[redacted]"`}},
		{[]string{"number", "update", "+1", "--trunk-pwd-file", pwd}, 1, []string{`status "failed"`, "[redacted] may not set [redacted]"}},
	})
}

func TestSynthflowUsage(t *testing.T) {
	a := newSynthflowAccount(t)
	readable := secretFile(t, "x")
	if err := os.Chmod(readable, 0o644); err != nil {
		t.Fatal(err)
	}
	create := []string{"number", "create", "--workspace-id", "W", "--phone-number", "+15551230000"}
	with := func(args ...string) []string { return append(slices.Clone(create), args...) }
	bad := func(text string) string { return secretFile(t, text) }
	a.steps([]cliStep{
		{[]string{"number", "list"}, 2, []string{"--workspace-id is needed"}},
		{[]string{"number", "create", "--phone-number", "+15551230000"}, 2, []string{"workspace_id is missing"}},
		{with("--phone-number", "5551230000"), 2, []string{"not E.164"}},
		{with("--provider-name", "twillio"), 2, []string{"one of custom, twilio"}},
		{with("--uac-enabled"), 2, []string{"needs trunk_username and trunk_pwd"}},
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
		{[]string{"number", "show", "+1\n"}, 2, []string{"is no number"}},
		{[]string{"number", "delete", "+..", "--workspace-id", "W", "--yes"}, 2, []string{`"+.." is no number`}},
		{[]string{"assistant", "delete", "..", "--yes"}, 2, []string{`".." is no id`}},
		{[]string{"number", "update", "+1"}, 2, []string{"nothing to change"}},
		{[]string{"assistant", "create", "--prompt", "x"}, 2, []string{"name is missing"}},
		{[]string{"assistant", "create", "--name", "x"}, 2, []string{"agent is missing"}},
		{[]string{"assistant", "create", "--name", "x", "--prompt", "y", "--type", "phone"}, 2, []string{"one of inbound"}},
		{[]string{"assistant", "create", "--name", "x", "--prompt", "y", "--voicemail-message", `{}, "a": 1`}, 2, []string{"something follows the value"}},
		{[]string{"assistant", "update", "m"}, 2, []string{"nothing to change"}},
		{[]string{"assistant", "attach", "m"}, 2, []string{"--phone-number is needed"}},
		{[]string{"assistant", "list", "--assistants-path", "agents"}, 2, []string{"write it like /v2/assistants"}},
	})
	out, code := run(t, "synthflow", "assistant", "list", "--api", "http://api.example.com")
	if code != 2 || !strings.Contains(out, "unencrypted") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if len(a.got) > 0 {
		t.Errorf("sent %v", a.got)
	}
}

// An API of another region than the one that is named, or of the other platform, is not asked.
func TestAPIOfAnotherRegion(t *testing.T) {
	t.Setenv("SYNTHFLOW_TOKEN", accountToken)
	t.Setenv("VAPI_TOKEN", accountToken)
	for _, step := range []cliStep{
		{[]string{"synthflow", "assistant", "list", "--region", "eu", "--api", "https://api.us.synthflow.ai"}, 2, []string{"is of region us, and --region is eu"}},
		{[]string{"synthflow", "number", "create", "--region", "us", "--api", "https://API.synthflow.ai./v2"}, 2, []string{"is of region global, and --region is us"}},
		{[]string{"synthflow", "setup", "--workspace-id", "W", "--phone-number", setupNumber, "--model-id", "M", "--yes", "--region", "eu", "--api", "https://api.synthflow.ai"}, 2, []string{"is of region global"}},
		{[]string{"synthflow", "assistant", "list", "--api", "https://api.vapi.ai"}, 2, []string{"is an API of vapi"}},
		{[]string{"vapi", "number", "list", "--region", "eu", "--api", "https://api.vapi.ai"}, 2, []string{"is of region us, and --region is eu"}},
		{[]string{"vapi", "assistant", "list", "--api", "https://api.eu.synthflow.ai"}, 2, []string{"is an API of synthflow"}},
		{[]string{"vapi", "number", "create", "--api", "https://api.eu.vapi.ai", "--sip-uri", "sip:a@sip.vapi.ai"}, 2, []string{"not of this region, whose SIP host is sip.eu.vapi.ai"}},
		{[]string{"vapi", "number", "create", "--api", "https://api.eu.vapi.ai", "--sip-user", "a", "--dry-run"}, 0, []string{`"sipUri": "sip:a@sip.eu.vapi.ai"`}},
		{[]string{"synthflow", "assistant", "list", "--region", "eu", "--api", "https://api.eu.synthflow.ai", "--dry-run"}, 0, []string{"GET https://api.eu.synthflow.ai/"}},
		{[]string{"synthflow", "assistant", "list", "--region", "eu", "--api", "http://127.0.0.1:1", "--dry-run"}, 0, []string{"GET http://127.0.0.1:1/"}},
	} {
		out, code := run(t, append(step.args, "--config", "/nonexistent/flowbridge.yaml")...)
		checkOutput(t, step, out, code)
	}
}

// API, token and workspace may come from a target.
func TestSynthflowFromTarget(t *testing.T) {
	a := newSynthflowAccount(t)
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
		{[]string{"number", "list", "-c", file, "--target", "agent"}, 0, []string{"NUMBER"}},
		{[]string{"number", "list", "-c", file, "--target", "direct"}, 0, []string{"NUMBER"}},
		{[]string{"number", "list", "-c", file, "--target", "bare"}, 2, []string{"no section account"}},
		{[]string{"number", "list", "-c", file, "--target", "pbx"}, 2, []string{"of kind sip"}},
		{[]string{"number", "list", "-c", file, "--target", "none"}, 2, []string{"has no such target; it has agent, direct, bare, pbx"}},
		{[]string{"number", "list", "-c", "/nonexistent", "--target", "agent"}, 2, []string{"cannot be read"}},
	} {
		out, code := run(t, append([]string{"synthflow"}, step.args...)...)
		checkOutput(t, step, out, code)
	}
}

// However the platform fails or lies, a command ends with an error in words.
func TestSynthflowFaults(t *testing.T) {
	p, err := synthflow.Start(t.Context(), synthflow.Options{Token: accountToken, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	a := &synthflowAccount{t: t, url: p.APIURL()}
	t.Setenv("SYNTHFLOW_TOKEN", accountToken)
	commands := [][]string{
		{"number", "create", "--workspace-id", "W", "--phone-number", "+15551230000"},
		{"number", "list", "--workspace-id", "W"},
		{"assistant", "create", "--name", "A", "--prompt", "x", "--again"},
		{"assistant", "list"},
	}
	for fault, says := range map[string]string{
		"500": "500 Internal Server Error", "401": "check the token", "403": "may not do this", "429:1h": "wait 1h0m0s", "429": "wait, and try again",
		"redirect": "which is not followed", "html": "a web page (HTML)", "html:200": "a web page (HTML)", "malformed": "something that is not JSON",
		"gzipbomb": "larger than 1048576 bytes", "huge": "larger than 1048576 bytes", "echo": "[redacted]", "reset": "the connection broke",
		"failed": "although HTTP says success",
	} {
		f, err := sim.ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		p.SetFault(f)
		for _, args := range commands {
			out, code := a.run(args...)
			checkOutput(t, cliStep{append([]string{fault}, args...), 1, []string{says}}, out, code)
		}
	}
	// These lie in what was created alone.
	p.SetFault(sim.Fault{})
	a.steps([]cliStep{{commands[2], 0, nil}})
	for i, fault := range []string{"types", "emptyid", "crlf", "reused"} {
		f, err := sim.ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		p.SetFault(f)
		out, code := a.run(commands[2]...)
		checkOutput(t, cliStep{append([]string{fault}, commands[2]...), 1, []string{"200 OK", "model_id", "don't rely on it", "!created"}}, out, code)
		if fault == "reused" { // a number's key is not what it is known by
			continue
		}
		number := append(slices.Clone(commands[0]), "--phone-number", fmt.Sprintf("+1555123100%d", i))
		out, code = a.run(number...)
		checkOutput(t, cliStep{append([]string{fault}, number...), 1, []string{"200 OK", "no usable", "!created"}}, out, code)
	}
}
