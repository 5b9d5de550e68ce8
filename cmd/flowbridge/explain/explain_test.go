package explain

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/config/template"
)

const explainConfig = `
sip: {listen: ["udp://127.0.0.1:5060"]}
media: {listen: [127.0.0.1]}
trunks:
  - {name: carrier, sources: [192.0.2.0/24], max_calls: 10, limits: {per_caller_calls: 2}}
  - {name: pbx, sources: [198.51.100.2], uri: "sip:{{.To.Number}}@198.51.100.2"}
targets:
  - name: synthflow
    kind: synthflow
    uri: "sip:{{.To.Number}}@127.0.0.3:32681"
    prepare: {api: "https://api.example.invalid", token_env: EXPLAIN_TOKEN, model_id: m, custom_variables: {who: "<{{.From.Name}}>"}}
    headers: {X-EI: "S.{{.Prepare.CallID}};", x-Caller: "{{.From.Number}}"}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@127.0.0.4", sources: [127.0.0.4]}
routes:
  - {trunk: pbx, targets: [spare]}
  - {to: "^\\+1507", targets: [synthflow, spare], failover_on: [486]}
  - {target: spare, trunks: [pbx]}
`

func explainFile(t *testing.T) string {
	t.Helper()
	t.Setenv("EXPLAIN_TOKEN", "tok-secret")
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	if err := os.WriteFile(file, []byte(explainConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// run executes a command line and returns its output and exit code.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	root := cli.Root()
	root.AddCommand(Command())
	var out bytes.Buffer
	code := cli.Run(t.Context(), root, args, &out, &out)
	return out.String(), code
}

// TestExplainBrowser: a browser's call comes from this machine. What proves it is not shown.
func TestExplainBrowser(t *testing.T) {
	file := explainFile(t)
	text := strings.NewReplacer("trunks:\n", "trunks:\n  - {name: talk, browser: true}\n").Replace(explainConfig)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := run(t, "explain", "-c", file, "--trunk", "talk", "--from", "anna", "--to", "+15075785607")
	if code != 0 || !strings.HasPrefix(out, "trunk      talk, from 127.0.0.1;") || regexp.MustCompile("[A-Z2-7]{26}").MatchString(out) {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestExplain(t *testing.T) {
	out, code := run(t, "explain", "-c", explainFile(t), "--trunk", "carrier", "--from", `"Ann" <sip:+15075550100@x>`, "--to", "+15075785607")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, want := range []string{
		"trunk      carrier, from 192.0.2.1; at most 10 calls; at most 2000 new calls a second\n",
		"reserved   10 calls in set-up and 10 with ports, whatever other callers have\n",
		"limits     at most 2 calls of one calling number\n",
		"not        routes[0]: it is for trunk pbx\n",
		"route      routes[1]: it matches to: ^\\+1507\n",
		"POST https://api.example.invalid/v2/prepare_inbound\n",
		"Authorization: Bearer [redacted]\n",
		`"custom_variables":{"who":"<Ann>"}`,
		"    INVITE sip:+15075785607@127.0.0.3:32681 SIP/2.0\n",
		"    X-EI: S.00000000-0000-4000-8000-000000000000;\n",
		"    x-Caller: +15075550100\n",
		"and by failover_on 486: next target: spare\n",
		"    INVITE sip:+15075785607@127.0.0.4 SIP/2.0\n",
		"otherwise  503",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, "tok-secret") {
		t.Errorf("the token is in\n%s", out)
	}
}

// The output shows the settings for sound and media that differ from the
// defaults, and no others.
func TestExplainMedia(t *testing.T) {
	args := []string{"explain", "--trunk", "carrier", "--from", "1", "--to", "+15075785607", "-c"}
	plain := explainFile(t)
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	text := strings.NewReplacer(
		"failover_on: [486]", "failover_on: [486], ringback: fr, hold: silence, record: always, mask_dtmf: on_demand",
		"sources: [127.0.0.4]", "sources: [127.0.0.4], media: {address: 127.0.0.1, latch: strict, srtp: required}",
	).Replace(explainConfig) + "recording: {path: " + filepath.Join(t.TempDir(), "calls") + "}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	full, code := run(t, append(args, file)...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, full)
	}
	out, code := run(t, append(args, plain)...)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	for _, line := range []string{
		"ringback   fr\n", "hold       silence\n", "record     always\n", "mask_dtmf  on_demand\n",
		"  media: address 127.0.0.1, latch strict, srtp required\n",
	} {
		if strings.Count(full, line) != 1 {
			t.Errorf("%q is not in once\n%s", line, full)
		}
		if name := strings.Fields(line)[0]; strings.Contains(out, "\n"+name+" ") || strings.Contains(out, "  media:") {
			t.Errorf("%s is in\n%s", name, out)
		}
	}
}

// A target whose keys come from DTLS has no keys in SDP, so the output does not
// mention any.
func TestExplainDTLS(t *testing.T) {
	t.Setenv("EXPLAIN_TOKEN", "tok")
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	text := strings.Replace(explainConfig, "sources: [127.0.0.4]", "sources: [127.0.0.4], media: {srtp: required, srtp_keying: dtls}", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"explain", "--trunk", "carrier", "--from", "1", "--to", "+15075785607", "-c", file}
	out, code := run(t, args...)
	if code != 0 || strings.Count(out, "  media: srtp required (dtls)\n") != 1 || strings.Contains(out, "SRTP keys are new") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code = run(t, append(args, "--json")...); code != 0 || strings.Count(out, `"srtp_keying": "dtls"`) != 1 {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestExplainCallOfTarget(t *testing.T) {
	out, code := run(t, "explain", "-c", explainFile(t), "--target", "spare", "--from", "+15075550100", "--to", "+15075785607")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if strings.Contains(out, "  media:") {
		t.Errorf("nothing of the media is particular:\n%s", out)
	}
	for _, want := range []string{
		"target     spare, from 127.0.0.4\n",
		"not        routes[1]: it is for calls of trunks\n",
		"route      routes[2]: it matches target spare\n",
		"attempt 1: pbx, kind trunk, over udp; at most 5000 calls; at most 2000 new calls a second\n",
		"    INVITE sip:+15075785607@198.51.100.2 SIP/2.0\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

func TestExplainJSON(t *testing.T) {
	out, code := run(t, "explain", "-c", explainFile(t), "--json", "--source", "192.0.2.7", "--from", "1", "--to", "+15075785607")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	var got struct {
		Trunk   string
		Targets []struct {
			URI    string
			Invite []string
		}
		Prepare map[string]struct {
			URL  string
			Body map[string]any
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Trunk != "carrier" || len(got.Targets) != 2 || got.Prepare["synthflow"].Body["from_number"] != "1" || strings.Contains(out, "tok-secret") {
		t.Errorf("got\n%s", out)
	}
}

func TestExplainExitCodes(t *testing.T) {
	file := explainFile(t)
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no numbers", nil, 2, "--from and --to"},
		{"several trunks", []string{"--from", "1", "--to", "2"}, 2, "carrier, pbx. Say which one calls, like --trunk carrier"},
		{"no trunk of this name", []string{"--from", "1", "--to", "2", "--trunk", "x"}, 2, "carrier, pbx"},
		{"no address", []string{"--from", "1", "--to", "2", "--source", "x"}, 2, "IP address"},
		{"target that does not call", []string{"--from", "1", "--to", "2", "--target", "synthflow"}, 2, "there are: spare"},
		{"bad header", []string{"--from", "1", "--to", "2", "--trunk", "pbx", "--header", "x"}, 2, "X-Name: value"},
		{"no route", []string{"--from", "1", "--to", "2", "--trunk", "carrier"}, 1, "refused with 404"},
		{"stranger", []string{"--from", "1", "--to", "2", "--source", "203.0.113.1"}, 1, "the call gets no answer: the address 203.0.113.1 is in no trunk's sources\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, code := run(t, append([]string{"explain", "-c", file}, tt.args...)...)
			if code != tt.code || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d, want %d; output, which should say %q:\n%s", code, tt.code, tt.says, out)
			}
		})
	}
}

// Values that headers and variables take from the environment may be secrets, so
// they are hidden.
func TestExplainHidesTheEnvironment(t *testing.T) {
	t.Setenv("EXPLAIN_KEY", "key&\"secret")
	file := explainFile(t)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(`headers: {`, `headers: {X-Key: "k=${EXPLAIN_KEY};{{.Trunk}}", `, `custom_variables: {`, `custom_variables: {key: "${EXPLAIN_KEY}!", `).Replace(string(data))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, json := range [][]string{nil, {"--json"}} {
		out, code := run(t, append([]string{"explain", "-c", file, "--trunk", "carrier", "--from", "1", "--to", "+15075785607"}, json...)...)
		if code != 0 || strings.Contains(out, "secret") || !strings.Contains(out, "X-Key: k=[redacted];carrier") || !strings.Contains(out, "[redacted]!") {
			t.Errorf("exit code %d\n%s", code, out)
		}
	}
}

// If a secret is a part of the text that replaces it, it is still hidden only
// once.
func TestRedactedOnce(t *testing.T) {
	if got := redacted("k=edac", &config.Prepare{URL: &template.URL{}, Token: "edac"}); got != "k=[redacted]" {
		t.Errorf("got %s; want k=[redacted]", got)
	}
}
