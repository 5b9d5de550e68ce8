package provision

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"flowbridge/sim/synthflow"
)

// requestLog is a way to the stand-in that keeps what was asked.
type requestLog struct {
	url string
	mu  sync.Mutex
	got []string
}

// throughLog has the setups of a stage go by a log.
func (s *setupStage) throughLog() *requestLog {
	s.Helper()
	to, err := url.Parse(s.platform.APIURL())
	if err != nil {
		s.Fatal(err)
	}
	l := &requestLog{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.got = append(l.got, r.Method+" "+r.URL.Path)
		l.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	s.Cleanup(server.Close)
	l.url = server.URL
	s.args = append(s.args, "--api", server.URL)
	return l
}

// take gives what was asked since the last time.
func (l *requestLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.got
	l.got = nil
	return got
}

// What is wrong in the command line or the file is found before anything is sent.
func TestSetupChecksBeforeItSends(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	log := s.throughLog()
	const trunk = "trunks: [{name: acme, sources: [203.0.113.0/24]}]\n"
	agent := append(newAgent(), "--yes")
	with := func(args ...string) []string { return slices.Concat(agent, args) }
	for name, tt := range map[string]struct {
		file string
		code int
		says string
		args []string
	}{
		"no such trunk":        {trunk, 2, "there is no such trunk", with("--trunk", "nosuch")},
		"no trunk":             {"sip: {}\n", 2, "write --trunk-source", agent},
		"unknown key":          {trunk + "sipp: {}\n", 2, "sipp", agent},
		"not YAML":             {"trunks: [", 2, "correct the configuration first", agent},
		"not valid after it":   {trunk, 2, "would not be valid", with("--target-name", "a b")},
		"target is another":    {trunk + "targets: [{name: synthflow, kind: sip, uri: \"sip:1@127.0.0.9\"}]\n", 1, `kind is "sip"`, agent},
		"source of the trunk":  {trunk, 1, "without the source 203.0.114.1", with("--trunk", "acme", "--trunk-source", "203.0.114.1")},
		"SIP of another":       {trunk, 2, "--sip sip.us.synthflow.ai:32681 is of region us, and the API", with("--region", "eu", "--sip", "sip.us.synthflow.ai:32681")},
		"SIP of Vapi":          {trunk, 2, "is a host of vapi", with("--sip", "sip.vapi.ai:5060")},
		"SIP of the documents": {trunk, 2, "is of region global", with("--region", "eu", "--sip", "sipin.synthflow.ai:32681")},
		"API of another":       {trunk, 2, "is of region us, and --region is eu", with("--region", "eu", "--api", "https://api.us.synthflow.ai")},
		"SIP beside the API":   {trunk, 2, "is of region eu, and the API", with("--api", "https://api.us.synthflow.ai", "--sip", "sip.eu.synthflow.ai:32681")},
		"elements in brackets, id": {
			trunk + "routes: [{to: \"^1\", targets: [pbx]}]\ntargets: [{name: pbx, kind: sip, uri: \"sip:1@127.0.0.9\"}]\n", 1,
			"nothing was done: write each element",
			[]string{"--model-id", "8f14e45f-ceea-467f-a0e6-1d5b5e3a1b11", "--yes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.write(tt.file)
			out, code := s.run(tt.args...)
			checkOutput(t, cliStep{tt.args, tt.code, []string{tt.says, "!1  number"}}, out, code)
			if got := log.take(); len(got) > 0 || read(t, s.file) != tt.file {
				t.Errorf("sent %v, and the file is\n%s", got, read(t, s.file))
			}
		})
	}
}

// A list with elements in brackets is found out before the account is changed; what is to be pasted has the id of an agent
// that is there.
func TestSetupByHandChangesNothing(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	log := s.throughLog()
	const text = "trunks: [{name: acme, sources: [203.0.113.0/24]}]\n" +
		"targets: [{name: pbx, kind: sip, uri: \"sip:1@127.0.0.9\"}]\nroutes: [{to: \"^1\", targets: [pbx]}]\n"
	s.write(text)
	onlyReads := func() {
		t.Helper()
		if got := log.take(); len(got) == 0 || slices.ContainsFunc(got, func(r string) bool { return !strings.HasPrefix(r, "GET ") }) {
			t.Errorf("sent %v", got)
		}
	}
	s.step(1, []string{`model_id: "` + newModelID + `"`, "repeat the command with --model-id", "nothing was done"}, append(newAgent(), "--yes")...)
	onlyReads()
	out, code := run(t, "synthflow", "assistant", "create", "--api", log.url, "--token-file", s.args[7], "--name", "Ann", "--prompt", "You are Ann.")
	_, id, _ := strings.Cut(strings.TrimSpace(out), "model_id ")
	if code != 0 || id == "" {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	log.take()
	s.step(1, []string{`model_id: "` + id + `"`, "add the above by hand, and repeat the command"}, "--name", "Ann", "--yes")
	onlyReads()
}

// An agent that is there is found by its name alone; what a new one needs is asked for only if there is none.
func TestSetupFindsTheAgentByName(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	log := s.throughLog()
	s.write("trunks: [{name: acme, sources: [203.0.113.0/24]}]\n")
	s.step(2, []string{`there is no agent named "Ann"`, "--prompt or --prompt-file, --llm and --language are needed", "--model-id", "!object"}, "--name", "Ann", "--yes")
	s.step(1, []string{"404", "!1  number"}, "--model-id", "8f14e45f-ceea-467f-a0e6-1d5b5e3a1b11", "--yes")
	if got := log.take(); slices.ContainsFunc(got, func(r string) bool { return !strings.HasPrefix(r, "GET ") }) {
		t.Errorf("sent %v", got)
	}
	if out, code := run(t, "synthflow", "assistant", "create", "--api", log.url, "--token-file", s.args[7], "--name", "Ann", "--prompt", "You are Ann."); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	s.step(0, []string{"GET " + log.url + "/v2/assistants/", `model_id: "MODEL_ID"`}, "--name", "Ann", "--dry-run")
	s.step(0, []string{"bound agent", "takes the calls to " + setupNumber, "wrote " + s.file}, "--name", "Ann", "--yes")
	s.step(0, []string{"has it already"}, "--name", "Ann", "--yes")
	s.step(0, []string{"has it already"}, "--name", "Ann", "--dry-run")
	if out, code := run(t, "synthflow", "assistant", "create", "--api", log.url, "--token-file", s.args[7], "--name", "Ann", "--prompt", "x", "--again"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	s.step(1, []string{`there are 2 agents named "Ann": `, "name one of them by --model-id", "!--again"}, "--name", "Ann", "--yes")
}

// An agent that takes no calls ends the setup before the account is changed.
func TestSetupWantsAnInboundAgent(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	log := s.throughLog()
	s.write("trunks: [{name: acme, sources: [203.0.113.0/24]}]\n")
	out, code := run(t, "synthflow", "assistant", "create", "--api", log.url, "--token-file", s.args[7], "--name", "Ann", "--prompt", "x",
		"--body", secretFile(t, `{"type": "outbound"}`), "--json")
	_, id, _ := strings.Cut(out, `"id": "`)
	id, _, _ = strings.Cut(id, `"`)
	if code != 0 || id == "" {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	log.take()
	s.step(1, []string{"agent " + id + " is of type outbound", "so it takes none", "!1  number"}, "--model-id", id, "--yes")
	if got := log.take(); len(got) == 0 || slices.ContainsFunc(got, func(r string) bool { return !strings.HasPrefix(r, "GET ") }) {
		t.Errorf("sent %v", got)
	}
}

// What is missing is said all at once, by the names of the flags.
func TestSetupSaysWhatIsMissing(t *testing.T) {
	t.Setenv("SYNTHFLOW_TOKEN", "")
	t.Setenv("MISSING_TOKEN", "x")
	for _, step := range []cliStep{
		{nil, 2, []string{"--workspace-id, --token-file (or the variable ", "), --phone-number and --name are missing", "or by --model-id", "--prompt or --prompt-file, --llm and --language"}},
		{[]string{"--workspace-id", "W", "--token-env", "MISSING_TOKEN", "--model-id", "M"}, 2, []string{"--phone-number is missing", "!--name"}},
		{[]string{"--workspace-id", "W", "--token-env", "MISSING_TOKEN", "--phone-number", setupNumber}, 2, []string{"--name is missing; the agent"}},
		{[]string{"--dry-run"}, 2, []string{"--workspace-id, --phone-number and --name are missing"}},
	} {
		out, code := run(t, append([]string{"synthflow", "setup", "--config", "/nonexistent/flowbridge.yaml"}, step.args...)...)
		checkOutput(t, step, out, code)
	}
}

// The region that the API says is the SIP host's, too.
func TestSetupRegionOfTheAPI(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	out, code := run(t, "synthflow", "setup", "--workspace-id", "W", "--phone-number", setupNumber, "--model-id", "M", "--dry-run", "--trunk-source", "203.0.113.1",
		"--api", "https://api.us.synthflow.ai", "--config", s.file)
	checkOutput(t, cliStep{nil, 0, []string{"region: us", "@sip.us.synthflow.ai:32681", "PUT https://api.us.synthflow.ai/"}}, out, code)
}
