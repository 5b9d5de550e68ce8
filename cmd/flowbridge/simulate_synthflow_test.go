package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/node"
	"flowbridge/config"
	"flowbridge/store"
	"flowbridge/store/record"
)

// simulated is what `flowbridge simulate synthflow --json` says of itself.
type simulated struct {
	API     string `json:"api"`
	SIP     string `json:"sip"`
	Token   string `json:"token"`
	Numbers []struct {
		Number  string `json:"number"`
		ModelID string `json:"model_id"`
	} `json:"numbers"`
}

// simulateSynthflow runs the command until the test ends, and sees to it that
// its log has none of its secrets.
func simulateSynthflow(t *testing.T, secrets []string, flags ...string) (s simulated) {
	t.Helper()
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	c := command()
	c.SetArgs(append([]string{"simulate", "synthflow", "--json", "--http", "127.0.0.1:0", "--sip", "127.0.0.1:0"}, flags...))
	c.SetOut(out)
	c.SetErr(&log)
	done := make(chan error, 1)
	go func() {
		err := c.ExecuteContext(ctx)
		_ = out.CloseWithError(io.ErrUnexpectedEOF)
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, secret := range secrets {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%q is in the log:\n%s", secret, log.String())
			}
		}
	})
	must(t, json.NewDecoder(in).Decode(&s))
	return s
}

const accountConfig = `
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m}
media: {listen: [127.0.0.1]}
trunks:
  - {name: carrier, sources: [127.0.0.0/8]}
targets:
  - name: synthflow
    kind: synthflow
    uri: "sip:{{.To.Number}}@%s"
    account: {api: "%s", token_env: SYNTHFLOW_TOKEN, workspace_id: w1}
    headers: {X-EI: "E.{{.CallID}};", X-Customer: "{{.From.Number}}"}
routes:
  - {trunk: carrier, targets: [synthflow]}
hooks:
  listen: "%s"
  synthflow: {secret_file: %q}
  variables: {token_file: %q, values: {plan: gold}}
store: {path: %q}
admin: {listen: "127.0.0.1:0"}
`

// From an empty account to an answered call: number and agent by the command
// line, the call by direct dial, the agent's variables and its report by our
// hooks.
func TestSimulateSynthflowAccount(t *testing.T) {
	const token, secret, variables = "tok-acc-1", "secret-of-hooks", "token-of-variables"
	at := freeAddress(t)
	p := simulateSynthflow(t, []string{token, secret, variables, trunkPassword}, "--token", token, "--workspace", "w1", "--webhook-secret", secret,
		"--pre-action", "http://"+at+"/variables?id=<external_id>", "--pre-action-token", variables)
	t.Setenv("SYNTHFLOW_TOKEN", token)
	dir := t.TempDir()
	files := map[string]string{
		"secret": secret, "token": variables, "password": trunkPassword, "agent": `{"external_webhook_url": "http://` + at + `/synthflow/webhook"}`,
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, []byte(text+"\n"), 0o600))
		files[name] = file
	}
	for _, args := range [][]string{
		{"number", "create", "--workspace-id", "w1", "--phone-number", demoCalled, "--trunk-username", "u", "--trunk-pwd-file", files["password"], "--api", p.API},
		{
			"assistant", "create", "--name", "Reception", "--phone-number", demoCalled, "--greeting-message", "Hello", "--llm", "gpt-4.1",
			"--body", files["agent"], "--api", p.API,
		},
	} {
		if out, code := run(t, append([]string{"synthflow"}, args...)...); code != 0 || strings.Contains(out, token) {
			t.Fatalf("%v: exit code %d\n%s", args, code, out)
		}
	}
	text := fmt.Sprintf(accountConfig, p.SIP, p.API, at, files["secret"], files["token"], filepath.Join(dir, "calls.db"))
	cfg, err := config.Parse("account.yaml", []byte(text), func(string) (string, bool) { return token, true })
	must(t, err)
	n, err := node.Start(t.Context(), cfg, zerolog.Nop(), node.Options{})
	must(t, err)
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	out, code := run(t, "call", "--to", fmt.Sprintf("sip:%s@%s", demoCalled, n.SIPAddr()), "--seconds", "1")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	records, err := store.OpenRead(t.Context(), filepath.Join(dir, "calls.db"))
	must(t, err)
	defer records.Close()
	var report *record.Report
	waitFor(t, "the report is there", func() bool {
		all, _, err := records.List(t.Context(), record.Filter{Limit: 1})
		must(t, err)
		if len(all) == 1 {
			report = all[0].Report
		}
		return report != nil
	})
	if report.Status != "completed" || report.EndReason != "human_ended_call" || !report.Confirmed || report.ExternalID == "" {
		t.Errorf("report: %+v", report)
	}
	heard := askSimulated(t, p, "/v2/calls/"+report.CallID)
	for _, want := range []string{`"variables.plan":"gold"`, `"X-Customer":"`, `"status":"completed"`, `"external_id":"` + report.ExternalID + `"`} {
		if !strings.Contains(heard, want) {
			t.Errorf("%s is not in %s", want, heard)
		}
	}
}

// The example for the stand-in and the stand-in agree: check --online finds nothing to mend, workspace and agent included.
func TestExampleAgreesWithTheStandIn(t *testing.T) {
	p := simulateSynthflow(t, nil)
	t.Setenv("SYNTHFLOW_TOKEN", p.Token)
	text, err := os.ReadFile("../../docs/examples/simulator.yaml")
	must(t, err)
	example := strings.NewReplacer("127.0.0.1:32681", p.SIP, "http://127.0.0.1:8090", p.API).Replace(string(text))
	if strings.Count(example, p.SIP) != 1 || strings.Count(example, p.API) != 1 {
		t.Fatalf("the example does not name the addresses of the stand-in:\n%s", text)
	}
	out, code := run(t, "check", "--online", "--config", writeYAML(t, "%s", example))
	if code != 0 || !strings.Contains(out, `model_id is agent "Demo"`) || strings.Contains(out, "target simulator") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// askSimulated reads from the platform's API.
func askSimulated(t *testing.T, p simulated, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.API+path, nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+p.Token)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	must(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(t, err)
	return string(b)
}

// An address that is free now, for a server that others have to be told of
// before it starts.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestSimulateSynthflowFlags(t *testing.T) {
	s := simulateSynthflow(t, nil, "--number", "+15550100002=1744274157255x646200691892837600", "--number", "+15550100003", "--direct-dial", "off", "--fault", "401")
	if len(s.Numbers) != 2 || s.Numbers[0].ModelID != "1744274157255x646200691892837600" || len(s.Numbers[1].ModelID) != 36 {
		t.Errorf("got %+v", s)
	}
	t.Setenv("SYNTHFLOW_TOKEN", s.Token)
	if out, code := run(t, "synthflow", "assistant", "show", "m", "--api", s.API); code != 1 || !strings.Contains(out, "the key is not known") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	var plain bytes.Buffer
	c, cancel := context.WithCancel(t.Context())
	cmd := command()
	cmd.SetArgs([]string{"simulate", "synthflow", "--http", "127.0.0.1:0", "--sip", "127.0.0.1:0", "--number", "+15550100002"})
	cmd.SetOut(&plain)
	cancel()
	if err := cmd.ExecuteContext(c); err != nil || !strings.Contains(plain.String(), "number +15550100002, inbound agent ") {
		t.Errorf("%v\n%s", err, plain.String())
	}
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"number":      {[]string{"--number", "5550100002"}, "E.164"},
		"agent":       {[]string{"--number", "+15550100002=x"}, "UUID"},
		"twice":       {[]string{"--number", "+15550100002", "--number", "+15550100002"}, "twice"},
		"workspace":   {[]string{"--workspace", ""}, "workspace"},
		"direct dial": {[]string{"--direct-dial", "yes"}, "auto"},
		"webhook":     {[]string{"--webhook", "example.com"}, "http(s) URL"},
		"pre-action":  {[]string{"--pre-action", "<call_id>"}, "http(s) URL"},
		"its token":   {[]string{"--pre-action-token", "x"}, "without a URL"},
		"fault":       {[]string{"--fault", "html:1"}, "200 to 599"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := run(t, append([]string{"simulate", "synthflow"}, tt.args...)...); code != 2 || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d; want 2 and %q:\n%s", code, tt.says, out)
			}
		})
	}
}

// trunkPassword is a secret that no output may have.
const trunkPassword = "dflkvn23REFD#@"

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}
