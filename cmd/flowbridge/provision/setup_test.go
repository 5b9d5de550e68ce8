package provision

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/sim"
	"flowbridge/sim/synthflow"
)

const setupNumber = "+15551230000"

// setupStage is the stand-in platform and the place of a configuration.
type setupStage struct {
	*testing.T
	platform *synthflow.Platform
	file     string
	args     []string // of setup, for this platform
}

func newSetupStage(t *testing.T, account synthflow.Account) *setupStage {
	t.Helper()
	account.Workspaces = []string{"W"}
	p, err := synthflow.Start(t.Context(), synthflow.Options{Token: accountToken, Account: account, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	s := &setupStage{T: t, platform: p, file: filepath.Join(t.TempDir(), "flowbridge.yaml")}
	s.args = []string{
		"synthflow", "setup", "--api", p.APIURL(), "--sip", p.SIPAddr().String(), "--token-file", secretFile(t, accountToken), "--workspace-id", "W",
		"--phone-number", setupNumber, "--termination-uri", "sip.carrier.example", "--config", s.file,
	}
	return s
}

// newAgent are the flags of an agent that is to be created.
func newAgent() []string {
	return []string{"--name", "Ann", "--prompt", "You are Ann.", "--greeting-message", "Hello", "--llm", "gpt-4.1", "--language", "en-US", "--voice-id", "v"}
}

func (s *setupStage) run(args ...string) (string, int) {
	s.Helper()
	out, code := run(s.T, slices.Concat(s.args, args)...)
	if strings.Contains(out, accountToken) {
		s.Errorf("the token is in\n%s", out)
	}
	return out, code
}

func (s *setupStage) step(code int, says []string, args ...string) string {
	s.Helper()
	out, got := s.run(args...)
	checkOutput(s.T, cliStep{args, code, says}, out, got)
	return out
}

func (s *setupStage) write(text string) {
	s.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o640); err != nil {
		s.Fatal(err)
	}
}

// From an empty account and no file to an answered call, and once more without a change.
func TestSetupFromNothing(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	s.step(0, []string{
		"1  number\ncreated number " + setupNumber, "2  agent\ncreated agent \"Ann\", model_id ", "takes the calls to " + setupNumber,
		"--- /dev/null", "+++ " + s.file, "+  - name: synthflow", "wrote " + s.file,
		"POST /v2/prepare_inbound", "X-EI: S.", "record     answered, cause caller_hangup, target synthflow", "we hear the other side",
	}, append(newAgent(), "--trunk-source", "203.0.113.0/24", "--yes", "--test-call", "--seconds", "1")...)
	first := read(t, s.file)
	s.step(0, []string{"number " + setupNumber + " is there already", "2  agent\nagent ", "is there already", s.file + " has it already", "!POST"},
		append(newAgent(), "--trunk-source", "203.0.113.0/24", "--yes")...)
	s.step(1, []string{"without the source 203.0.113.9"}, append(newAgent(), "--trunk-source", "203.0.113.9", "--yes")...)
	if again := read(t, s.file); again != first {
		t.Errorf("the file became\n%s", again)
	}
	if calls := s.platform.Calls(); len(calls) != 1 || calls[0].EndedBy != sim.SideCaller {
		t.Errorf("the platform had %+v", calls)
	}
	out, code := run(t, "explain", "-c", s.file, "--from", "+15550100001", "--to", "15551230000", "--trunk", "carrier")
	if code != 0 || !strings.Contains(out, "INVITE sip:"+setupNumber+"@"+s.platform.SIPAddr().String()) || !strings.Contains(out, `"to_number":"`+setupNumber+`"`) {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Direct dial: no prepare, no X-EI.
func TestSetupDirect(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	s.step(0, []string{"!prepare_inbound", "!X-EI", "record     answered, cause caller_hangup", "call id of the platform -"},
		append(newAgent(), "--direct", "--trunk-source", "203.0.113.1", "--yes", "--test-call", "--seconds", "1")...)
	cfg, err := config.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if x := cfg.Targets[0]; x.Prepare != nil || x.Account == nil || x.Account.WorkspaceID != "W" || len(x.Headers) > 0 {
		t.Errorf("got %+v", x)
	}
}

// An agent that is there is bound, and one that refuses voice_engine_version is created without.
func TestSetupAgents(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{RefusesVoiceEngine: true})
	out, code := run(t, "synthflow", "assistant", "create", "--api", s.platform.APIURL(), "--token-file", s.args[7], "--name", "Ann", "--prompt", "x",
		"--llm", "gpt-4.1", "--language", "en-US", "--voice-id", "v", "--json")
	if code != 0 || !strings.Contains(out, "note: the API refused voice_engine_version") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	_, id, _ := strings.Cut(out, `"id": "`)
	id, _, _ = strings.Cut(id, `"`)
	s.step(0, []string{"bound agent " + id + " to " + setupNumber, `model_id: "` + id + `"`}, "--model-id", id, "--trunk-source", "203.0.113.1", "--yes")
	s.step(1, []string{"agent.prompt: is x, wanted y", "on the platform's page of the agent"}, "--model-id", id, "--prompt", "y", "--yes")
	s.step(1, []string{`prepare.model_id is "` + id + `", wanted that of a new agent`, "!400 Bad Request"}, append(newAgent(), "--name", "Bob", "--yes")...)
	s.step(1, []string{"404"}, "--model-id", "8f14e45f-ceea-467f-a0e6-1d5b5e3a1b11", "--target-name", "other", "--yes")
	s.step(1, []string{"400 Bad Request", "is linked to inbound agent " + id}, append(newAgent(), "--name", "Bob", "--target-name", "other", "--yes")...)
}

const handWritten = `# Kept by hand.
sip:
  listen: ["udp://127.0.0.1:0"]   # loopback

trunks:
  # the carrier
  - name: acme   # since 2019
    sources: [203.0.113.0/24, local]   # local: this machine, for test calls

routes:      # first match wins
- {trunk: acme, to: "^\\+44", targets: [pbx]}

targets:
    - name: pbx
      kind: sip
      uri: "sip:{{.To.Number}}@127.0.0.9"
store: {path: x.db}
`

// A file that is kept by hand gets its lines, and keeps the rest byte for byte, its mode and its link.
func TestSetupKeepsTheFile(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	s.write(handWritten)
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(s.file, link); err != nil {
		t.Fatal(err)
	}
	out := s.step(0, []string{"!/dev/null", "wrote"}, append(newAgent(), "--yes", "--config", link)...)
	want := strings.Replace(handWritten, "targets:\n", `targets:
    - name: synthflow
      kind: synthflow
      uri: "sip:`+setupNumber+"@"+s.platform.SIPAddr().String()+`"
      prepare:
        api: "`+s.platform.APIURL()+`"
        token_file: `+s.args[7]+`
        workspace_id: "W"
        model_id: "MODEL"
        to_number: "`+setupNumber+`"
      headers:
        X-EI: "S.{{.Prepare.CallID}};"
`, 1)
	want = strings.Replace(want, "routes:      # first match wins\n", `routes:      # first match wins
- trunk: acme
  to: "^\\+?15551230000$"
  targets: [synthflow]
`, 1)
	_, model, _ := strings.Cut(out, "model_id ")
	model, _, _ = strings.Cut(model, "\n")
	got := strings.Replace(read(t, s.file), yamlQuoted(model), `"MODEL"`, 1)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	st, err := os.Stat(s.file)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if to, err := os.Readlink(link); err != nil || to != s.file {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	entries, err := os.ReadDir(filepath.Dir(s.file))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// What can't be put in as text is printed, and the file is left alone.
func TestSetupByHand(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	const text = "trunks: [{name: acme, sources: [203.0.113.0/24]}]\n" +
		"targets: [{name: pbx, kind: sip, uri: \"sip:1@127.0.0.9\"}]\nroutes: [{to: \"^1\", targets: [pbx]}]\n"
	s.write(text)
	s.step(1, []string{"at the beginning of the list targets:\n  - name: synthflow\n    kind: synthflow", "at the beginning of the list routes:", "by hand"},
		append(newAgent(), "--yes")...)
	if got := read(t, s.file); got != text {
		t.Errorf("the file became\n%s", got)
	}
}

// Nothing is done by --dry-run, and it needs no token.
func TestSetupDryRun(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	t.Setenv("SYNTHFLOW_TOKEN", "")
	s.args = slices.Concat(s.args[:6], s.args[8:]) // without --token-file
	s.step(0, []string{
		"POST " + s.platform.APIURL() + "/v2/custom-numbers", "POST " + s.platform.APIURL() + "/v2/assistants", "Bearer [redacted]",
		`+      model_id: "MODEL_ID"`, "+      token_env: SYNTHFLOW_TOKEN", "!wrote",
	}, append(newAgent(), "--trunk-source", "203.0.113.1", "--dry-run", "--test-call")...)
	s.step(0, []string{"PUT " + s.platform.APIURL() + "/v2/assistants/M", `"phone_number": "` + setupNumber + `"`, `model_id: "M"`},
		"--model-id", "M", "--trunk-source", "203.0.113.1", "--dry-run")
	if _, err := os.Stat(s.file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
	out, code := run(t, "synthflow", "number", "show", setupNumber, "--api", s.platform.APIURL(), "--token-file", secretFile(t, accountToken), "--workspace-id", "W")
	if code != 1 || !strings.Contains(out, "404") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestSetupUsage(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	agent := append(newAgent(), "--yes")
	with := func(args ...string) []string { return slices.Concat(agent, args) }
	for _, tt := range []struct {
		says string
		args []string
	}{
		{"no terminal to ask at", newAgent()},
		{"name is missing", []string{"--yes", "--prompt", "x"}},
		{"are always inbound", with("--agent-body", secretFile(t, `{"type": "outbound"}`))},
		{"host and port", with("--sip", "127.0.0.1")},
		{"host and port", with("--sip", "a b:1")},
		{"1 to 3600", with("--seconds", "0")},
		{`".." is no id`, with("--model-id", "..")},
		{"--from", with("--from", "a@b")},
		{"not E.164", with("--phone-number", "5551230000")},
		{"write a network", with("--trunk-source", "here")},
		{"--target-name", with("--target", "x")},
	} {
		s.step(2, []string{tt.says}, tt.args...)
	}
	if out, code := run(t, "synthflow", "setup", "--api", s.platform.APIURL(), "--token-file", s.args[7], "--workspace-id", "W", "--phone-number", setupNumber, "--model-id", "M", "--yes"); code != 2 || !strings.Contains(out, "--sip is needed") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// What the configuration has is looked at before anything is written to it.
func TestSetupPlan(t *testing.T) {
	t.Setenv("SYNTHFLOW_TOKEN", "x")
	at := access{Options: rest.Options{BaseURL: "https://api.synthflow.ai"}, workspace: "W", region: config.SynthflowRegions()[0]}
	const prepare = `prepare: {token_env: SYNTHFLOW_TOKEN, workspace_id: W, model_id: M}, headers: {X-EI: "S.{{.Prepare.CallID}};"}`
	const uri = `uri: "sip:{{.To.Number}}@sipin.synthflow.ai:32681"`
	for name, tt := range map[string]struct {
		yaml  string
		trunk string
		adds  string
		says  string
	}{
		"no trunk":           {"", "", "", "write --trunk-source"},
		"two trunks":         {"trunks: [{name: a, sources: [10.0.0.1]}, {name: b, sources: [10.0.0.2]}]", "", "", "one of a, b"},
		"another trunk":      {"trunks: [{name: a, sources: [10.0.0.1]}]", "c", "", "no such trunk"},
		"not valid":          {"trunk: []", "", "", "correct the configuration first"},
		"everything":         {"trunks: [{name: a, sources: [10.0.0.1]}]", "", "targets routes", ""},
		"one of two":         {"trunks: [{name: a, sources: [10.0.0.1]}, {name: b, sources: [10.0.0.2]}]", "b", "targets routes", ""},
		"target there":       {"trunks: [{name: a, sources: [10.0.0.1]}]\ntargets: [{name: synthflow, kind: synthflow, " + uri + ", " + prepare + "}]", "", "routes", ""},
		"target without uri": {"trunks: [{name: a, sources: [10.0.0.1]}]\ntargets: [{name: synthflow, kind: synthflow, " + prepare + "}]", "", "routes", ""},
		"all there": {"trunks: [{name: a, sources: [10.0.0.1]}]\ntargets: [{name: synthflow, kind: synthflow, " + uri + ", " + prepare + "}]\n" +
			"routes: [{trunk: a, targets: [synthflow]}]", "", "", ""},
		"route to another": {"trunks: [{name: a, sources: [10.0.0.1]}]\ntargets: [{name: synthflow, kind: synthflow, " + uri + ", " + prepare + "}, {name: x, kind: sip, uri: \"sip:1@127.0.0.1\"}]\n" +
			"routes: [{targets: [x, synthflow]}]", "", "routes", ""},
		"route of some": {"trunks: [{name: a, sources: [10.0.0.1]}]\ntargets: [{name: synthflow, kind: synthflow, " + uri + ", " + prepare + "}]\n" +
			"routes: [{from: \"^1\", targets: [synthflow]}]", "", "routes", ""},
		"another agent": {
			"trunks: [{name: a, sources: [10.0.0.1]}]\ntargets: [{name: synthflow, kind: synthflow, " + uri + ", " + strings.Replace(prepare, "M}", "N}", 1) + "}]",
			"", "", `prepare.model_id is "N", wanted "M"`,
		},
		"another kind": {
			"trunks: [{name: a, sources: [10.0.0.1]}]\ntargets: [{name: synthflow, kind: sip, uri: \"sip:1@127.0.0.1\"}]",
			"", "", `kind is "sip", wanted "synthflow"; uri is "sip:1@127.0.0.1"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Synthflow()
			u := &setup{
				synthflowCLI: &synthflowCLI{connection: &connection{flags: c.PersistentFlags(), tokenEnv: "SYNTHFLOW_TOKEN"}},
				phoneNumber:  setupNumber, trunk: tt.trunk, targetName: "synthflow", at: at,
			}
			plan, err := u.plan(&setupFile{path: "x.yaml", name: "x.yaml", old: []byte(tt.yaml)}, "M")
			var keys []string
			for _, a := range plan {
				keys = append(keys, a.key)
			}
			if got := strings.Join(keys, " "); got != tt.adds || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// An id of the platform's must not read the environment.
func TestSetupReferences(t *testing.T) {
	u := &setup{synthflowCLI: &synthflowCLI{connection: &connection{flags: Synthflow().PersistentFlags()}}, targetName: "x", at: access{workspace: "W"}}
	if _, err := u.targetText("${HOME}"); err == nil || !strings.Contains(err.Error(), "variable of the environment") {
		t.Errorf("got %v", err)
	}
}

// A platform that says yes and binds nothing is found out.
func TestSetupReadsTheBindingBack(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	to, err := url.Parse(s.platform.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method != http.MethodGet || !strings.HasPrefix(r.Request.URL.Path, "/v2/assistants/") || r.Request.URL.Path == "/v2/assistants/" {
			return nil
		}
		id := strings.TrimPrefix(r.Request.URL.Path, "/v2/assistants/")
		body := `{"status":"success","response":{"assistants":[{"model_id":"` + id + `","name":"Ann","type":"inbound","phone_number":""}]}}`
		r.Body.Close()
		r.Body, r.ContentLength = readCloser{strings.NewReader(body)}, int64(len(body))
		r.Header.Del("Content-Length")
		return nil
	}
	liar := httptest.NewServer(proxy)
	defer liar.Close()
	s.step(1, []string{"is not bound to " + setupNumber + ", although the platform said so"},
		append(newAgent(), "--trunk-source", "203.0.113.1", "--yes", "--api", liar.URL)...)
	if _, err := os.Stat(s.file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// The question is answered by y alone.
func TestSetupAsks(t *testing.T) {
	for answer, yes := range map[string]bool{"y\n": true, "YES\n": true, "y": true, "\n": false, "n\n": false, "": false, "yy\n": false, strings.Repeat("y", 1000): false} {
		var out bytes.Buffer
		if got, err := confirm(strings.NewReader(answer), &out, "write it? "); got != yes || err != nil || out.String() != "write it? " {
			t.Errorf("%.10q: got %v, %v", answer, got, err)
		}
	}
	file := filepath.Join(t.TempDir(), "x.yaml")
	f, err := openSetupFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := []addition{{"trunks", "name: a\nsources: [10.0.0.1]\n"}}
	w := writer{out: &bytes.Buffer{}, allowed: func() (bool, error) { return false, nil }}
	if _, err := f.apply(all, os.LookupEnv, w); !errors.Is(err, errNotWritten) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
	// Somebody else writes it meanwhile.
	w.allowed = func() (bool, error) { return true, os.WriteFile(file, []byte("sip: {}\n"), 0o600) }
	if _, err := f.apply(all, os.LookupEnv, w); err == nil || !strings.Contains(err.Error(), "another program has changed it") || read(t, file) != "sip: {}\n" {
		t.Errorf("got %v, and the file is %q", err, read(t, file))
	}
	// The result would not be valid.
	if f, err = openSetupFile(file); err != nil {
		t.Fatal(err)
	}
	if _, err := f.apply([]addition{{"trunks", "name: a\n"}}, os.LookupEnv, w); cli.ExitCode(err) != cli.ExitUsage || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("got %v", err)
	}
}

// A text in YAML is read as it was written.
func FuzzYAMLText(f *testing.F) {
	for _, s := range []string{"W", "/run/secrets/x", "1744274157255x646200691892837600", "no", "1e9", `a"b\c`, "x: y", "- a", "#", "é", "{{.To.Number}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !cli.IsPrintable(s) || s == "" || strings.Contains(s, "$") {
			return
		}
		text := "routes: []\ntrunks: [{name: a, sources: [10.0.0.1], match: {header: " + yamlText("X-T: "+s) + "}}]\n"
		cfg, err := config.Parse("x.yaml", []byte(text), func(string) (string, bool) { return "", false })
		if err != nil || cfg.Trunks[0].Match.HeaderValue != s {
			t.Errorf("%q became %s: %v", s, text, err)
		}
	})
}
