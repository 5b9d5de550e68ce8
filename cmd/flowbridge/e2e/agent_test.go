//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"flowbridge/cmd/flowbridge/scenario"
)

// agentTest holds a short conversation. No verdict depends on how fast the machine is.
const agentTest = `
steps:
  - {wait: pause, within: 1m, pause: 400ms}
  - say: 1s
  - {wait: words, within: 1m}
  - press: "1#"
expect:
  hangup_by: caller
  duration min: 1s
  received X-Caller: "+15075550100"
`

// TestAgents tests an agent of Synthflow, Vapi and Retell as a newcomer would: with the configuration of the profile,
// beside its stand-in. Then a running server is called, and the capsule of a call that fails is fetched.
func TestAgents(t *testing.T) {
	runIn(t, cores)
	ownNetwork(t, netip.MustParseAddr("192.168.78.5"))
	dir := t.TempDir()
	run := func(args ...string) (string, error) {
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), raceEnv, "VAPI_TOKEN=sim-key")
		out, err := cmd.Output()
		return string(out), err
	}
	for _, name := range []string{"synthflow", "vapi", "retell"} {
		standIn := start(t, name, exec.Command(program, "simulate", name, "--answer-after", "300ms"))
		eventually(t, "the stand-in listens", func() bool { _, ok := standIn.find("agent sip:"); return ok })
		profile, err := run("targets", "profiles", name, "--simulated")
		must(t, err)
		must(t, os.WriteFile(dir+"/"+name+".secret", []byte("sim-token"), 0o600))
		if name == "vapi" {
			id, err := run("vapi", "--api", "http://127.0.0.1:8091", "assistant", "create", "--name", "Demo", "--first-message", "Hello")
			must(t, err)
			id = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).FindString(id)
			_, err = run("vapi", "--api", "http://127.0.0.1:8091", "number", "create", "--sip-uri", "sip:sim-user@127.0.0.1:5070",
				"--assistant-id", id)
			must(t, err)
		}
		profile = strings.Replace(profile, "targets: [retell]}", "targets: [retell], record: always}\nrecording: {path: kept}", 1)
		must(t, os.WriteFile(dir+"/flowbridge.yaml", []byte(profile), 0o600))
		must(t, os.WriteFile(dir+"/agent.yaml", []byte("target: "+name+agentTest), 0o600))
		out, err := run("test", "agent.yaml", "--repeat", "2", "--parallel", "2", "--json", "--out", name)
		var r scenario.Result
		if err != nil || json.Unmarshal([]byte(out), &r) != nil || !r.OK || len(r.Runs) != 2 || len(r.Verdicts) != 4 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, run := range r.Runs {
			wav, err := filepath.Glob(dir + "/" + name + "/*/*/*/" + run.CallID + ".wav")
			if err != nil || len(wav) != 1 || !strings.Contains(string(out), `"figure": "answer"`) || len(run.Talk.Caller) == 0 {
				t.Errorf("%s: %v, %v\n%s", name, wav, err, out)
			}
		}
		if name == "retell" {
			toServer(t, dir, run)
		}
		standIn.kill()
	}
	if first, err := run("test", "--init", "retell"); err != nil || !strings.Contains(first, "\ntarget: \"retell\"\n") ||
		os.WriteFile(dir+"/first.yaml", []byte(first), 0o600) != nil {
		t.Errorf("%v\n%s", err, first)
	}
	if out, err := run("test", "first.yaml", "--repeat", "1001"); exitCode(err) != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// toServer calls a running server. Its call fails, because it is too long.
func toServer(t *testing.T, dir string, run func(args ...string) (string, error)) {
	serve := exec.Command(program, "serve")
	serve.Dir = dir
	server := start(t, "server", serve)
	defer server.kill()
	eventually(t, "the server is ready", func() bool { _, err := run("healthcheck"); return err == nil })
	text := strings.Replace("to: \"+15075785607\""+agentTest, "min: 1s", "max: 1ms", 1)
	text = strings.Replace(strings.Replace(text, "duration max", "duration", 1), "  received X-Caller: \"+15075550100\"\n", "", 1)
	must(t, os.WriteFile(dir+"/server.yaml", []byte(text), 0o600))
	out, err := run("test", "server.yaml", "--server", "127.0.0.1:5060", "--api", "http://127.0.0.1:8080", "--out", "failed")
	capsules, _ := filepath.Glob(dir + "/failed/*.zip")
	if exitCode(err) != 1 || len(capsules) != 1 || !strings.Contains(out, "who spoke, ") ||
		!regexp.MustCompile(`duration +[0-9.]+ s +at most 0.00 s +missed`).MatchString(out) {
		t.Errorf("%v, %v\n%s", err, capsules, out)
	}
	// Now its caller speaks to the agent.
	records, err := run("cdr", "list", "--json")
	must(t, err)
	id := regexp.MustCompile(`"id": "([^"]+)"`).FindStringSubmatch(records)
	if at := regexp.MustCompile(`at the server Call-ID ([^,\s]+)`).FindStringSubmatch(out); at == nil || !strings.Contains(records, at[1]) {
		t.Errorf("the server's call is %v; %s\n%s", at, records, out)
	}
	replay := "target: retell\nsounds: {hello: none.wav}\nsteps: [{say: hello}]\n" +
		"expect: {hangup_by: caller, received to_number: \"+15075785607\"}\n"
	must(t, os.WriteFile(dir+"/replay.yaml", []byte(replay), 0o600))
	out, err = run("test", "replay.yaml", "--caller", id[1], "--json")
	var r scenario.Result
	// A busy machine leaves the answer's verdict open, but not its figure.
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || !r.OK || strings.Count(out, `"figure": "answer"`) != 1 {
		t.Errorf("%v, %v\n%s", id, err, out)
	}
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}
