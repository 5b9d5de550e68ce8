package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/sim/platform"

	"github.com/spf13/pflag"
)

// If its default port is taken, a stand-in uses the next free one, over TCP and UDP. It never leaves a port that
// it was told to use.
func TestTakeFreePorts(t *testing.T) {
	taken, err := net.Listen("tcp", apart+":0")
	must(t, err)
	defer taken.Close()
	at := taken.Addr().String()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	http := flags.String("http", at, "")
	sip := flags.String("sip", "127.0.0.1:1", "")
	must(t, flags.Parse([]string{"--sip", at}))
	takeFreePorts(flags)
	if *http == at || *sip != at {
		t.Errorf("http %s, sip %s; %s is taken", *http, *sip, at)
	}
	free, err := net.Listen("tcp", *http)
	must(t, err)
	free.Close()
}

// TestSimulateHTTP: the stand-in of any platform gives the answer in a file, and refuses a file that is not an
// answer.
func TestSimulateHTTP(t *testing.T) {
	answer := map[string]any{
		"ok": true, "call": map[string]any{"id": "{id}"}, "uris": []any{"sip:{id}@{sip}"}, "from": "{body.caller}",
	}
	p, err := platform.Start(t.Context(), platform.AnyHTTP(answer, 201, "X-Key"), platform.Options{})
	must(t, err)
	defer p.Close()
	at, _ := p.SIPAddr()
	t.Setenv("KEY", platform.DefaultToken)
	for _, tt := range []struct{ method, body, says string }{
		{"POST", `body: {caller: "{{.From.Number}}"}`, "+15075550100"},
		{"GET", "timeout: 5s", "success    is any 2xx, ok is true"},
	} {
		out, code := run(t, "targets", "try", "http", "--config", writeYAML(t, `
trunks: [{name: test, sources: [local]}]
targets:
  - name: http
    kind: http
    uri: '{{.Prepare.JSON "uris.0"}}'
    prepare:
      method: %s
      url: %s/v1/calls?a=b
      token_env: KEY
      token_header: X-Key
      %s
      success: {json: {ok: true}}
      id: call.id
      example: {call: {id: c-1}, uris: ["sip:c-1@127.0.0.1"]}
routes: [{trunk: test, targets: [http]}]
`, tt.method, p.APIURL(), tt.body))
		if code != 0 || !strings.Contains(out, tt.says) || !strings.Contains(out, "@"+at) {
			t.Errorf("%s: exit code %d; want 0, %q and %s:\n%s", tt.method, code, tt.says, at, out)
		}
	}
	list := filepath.Join(t.TempDir(), "list.json")
	must(t, os.WriteFile(list, []byte("[]"), 0o600))
	for says, args := range map[string][]string{
		"--answer is missing":      nil,
		"no such file":             {"--answer", "/nowhere.json"},
		"is not a JSON object":     {"--answer", list},
		"--status 404: 200 to 299": {"--answer", list, "--status", "404"},
	} {
		if out, code := run(t, append([]string{"simulate", "http"}, args...)...); code != 2 || !strings.Contains(out, says) {
			t.Errorf("%v: exit code %d; want 2 and %q:\n%s", args, code, says, out)
		}
	}
}
