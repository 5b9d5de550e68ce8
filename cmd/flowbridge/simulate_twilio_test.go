package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/node"
	"flowbridge/config"
	"flowbridge/sim/synthflow"
)

const twilioTestToken = "0123456789abcdef0123456789abcdef"

const twilioTestConfig = `
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m}
media: {listen: [127.0.0.1]}
trunks:
  - {name: twilio, sources: [127.0.0.0/8]}
targets:
  - name: synthflow
    kind: synthflow
    uri: "sip:{{.To.Number}}@%s"
    prepare: {api: "%s", token_env: SIM_TOKEN, model_id: demo-agent, workspace_id: demo}
    headers: {X-EI: "S.{{.Prepare.CallID}};", X-Caller: "{{.From.Number}}", X-Long: "%s"}
routes:
  - {trunk: twilio, targets: [synthflow]}
hooks:
  listen: "%s"
  twilio: {url: "https://voice.example.com", auth_token_file: %q, targets: [synthflow]}
store: {path: %q}
admin: {listen: "127.0.0.1:0"}
`

// twilioStage is a platform, and a node with the webhook and a trunk.
type twilioStage struct {
	platform    *synthflow.Platform
	hook, trunk string
	tokenFile   string
}

func newTwilioStage(t *testing.T, long string) twilioStage {
	t.Helper()
	s := twilioStage{tokenFile: filepath.Join(t.TempDir(), "twilio.token")}
	must(t, os.WriteFile(s.tokenFile, []byte(twilioTestToken+"\n"), 0o600))
	hook := freeAddress(t)
	var err error
	s.platform, err = synthflow.Start(t.Context(), synthflow.Options{Log: zerolog.Nop()})
	must(t, err)
	t.Cleanup(func() { s.platform.Close() })
	text := fmt.Sprintf(twilioTestConfig, s.platform.SIPAddr(), s.platform.APIURL(), long, hook, s.tokenFile, filepath.Join(t.TempDir(), "calls.db"))
	cfg, err := config.Parse("twilio.yaml", []byte(text), func(string) (string, bool) { return s.platform.Token(), true })
	must(t, err)
	n, err := node.Start(t.Context(), cfg, zerolog.Nop(), node.Options{})
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	s.hook = "http://" + hook + "/redirect_call"
	s.trunk = "sip:" + n.SIPAddr().String()
	return s
}

func (s twilioStage) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	return run(t, append([]string{"simulate", "twilio", "--called", demoCalled, "--seconds", "1"}, args...)...)
}

func (s twilioStage) ask(t *testing.T, args ...string) (string, int) {
	t.Helper()
	out, code := s.run(t, append([]string{
		"--voice-url", s.hook, "--public-url", "https://voice.example.com/redirect_call", "--auth-token-file", s.tokenFile,
	}, args...)...)
	if strings.Contains(out, twilioTestToken) || strings.Contains(out, s.platform.Token()) {
		t.Errorf("a secret is in\n%s", out)
	}
	return out, code
}

// Twilio asks the webhook, Flowbridge prepares the call, and Twilio dials the
// agent with the prepared id.
func TestSimulateTwilio(t *testing.T) {
	s := newTwilioStage(t, "")
	for _, method := range []string{"GET", "POST"} {
		out, code := s.ask(t, "--method", method)
		if code != 0 {
			t.Fatalf("%s: exit code %d\n%s", method, code, out)
		}
		for _, want := range []string{
			"webhook    " + method + " " + s.hook, "answer     200, text/xml; charset=utf-8", "<Response><Dial><Sip>sip:" + demoCalled,
			"verb       dial sip:", "warning    32110: the ';' of X-EI should be %3B", "X-EI: S.", "X-Twilio-CallSid: CA", "|- INVITE sip:" + demoCalled,
			"we hear the other side",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s", method, want, out)
			}
		}
	}
	if calls := s.platform.Calls(); len(calls) != 2 || calls[0].Status != 200 || calls[0].XEI == calls[1].XEI {
		t.Errorf("the agent saw %+v", calls)
	}
}

func TestSimulateTwilioJSON(t *testing.T) {
	s := newTwilioStage(t, "")
	out, code := s.ask(t, "--json", "--call-sid", "CA0123")
	var got twilioJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	if !got.OK || got.Error != "" || got.CallSID != "CA0123" || got.Outcome != "dialled" || len(got.Requests) != 1 || got.Requests[0].Status != 200 || len(got.Dials) != 1 {
		t.Fatalf("got %+v", got)
	}
	if d := got.Dials[0]; d.Status != 200 || !d.OK || d.EndedBy != "caller" || d.RTP.Received == 0 || !strings.HasPrefix(d.Headers[0], "X-EI: S.") {
		t.Errorf("got %+v", d)
	}
	out, code = s.ask(t, "--json", "--fault", "badsignature")
	got = twilioJSON{}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&got); err != nil || code != 1 || got.OK || !strings.Contains(got.Error, "403") || got.Dials == nil {
		t.Errorf("exit code %d, %v\n%s", code, err, out)
	}
}

// If something goes wrong, the command says so and fails.
func TestSimulateTwilioFails(t *testing.T) {
	s := newTwilioStage(t, strings.Repeat("x", 1100))
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"wrong signature": {[]string{"--fault", "badsignature"}, "answered 403: X-Twilio-Signature"},
		"no called":       {[]string{"--fault", "nocalled"}, `answered 400: Missing "Called" query parameter`},
		"too long":        {nil, "the TwiML rejects the caller"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := s.ask(t, tt.args...); code != 1 || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d; want %q in\n%s", code, tt.says, out)
			}
		})
	}
}

func TestSimulateTwilioBadUsage(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	must(t, os.WriteFile(open, []byte("x"), 0o644))
	called := []string{"--called", demoCalled}
	hook := append(called, "--voice-url", "http://127.0.0.1:1/")
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"nothing":         {nil, "--called is needed"},
		"no url":          {called, "Voice URL"},
		"no web address":  {append(called, "--voice-url", "127.0.0.1"), "http://"},
		"space in called": {append(hook, "--called", "1 2"), "without spaces"},
		"seconds":         {append(hook, "--seconds", "0"), "1 to 3600"},
		"method":          {append(hook, "--method", "PUT"), "GET or POST"},
		"fault":           {append(hook, "--fault", "lazy"), "badsignature"},
		"header":          {append(hook, "--header", "X"), "Name: value"},
		"not an X-":       {append(hook, "--header", "Subject: x"), "X- headers"},
		"two tokens":      {append(hook, "--auth-token", "a", "--auth-token-file", "b"), "exclude"},
		"no file":         {append(hook, "--auth-token-file", open+"none"), "--auth-token-file"},
		"open file":       {append(hook, "--auth-token-file", open), "chmod 600"},
		"send to":         {append(hook, "--send-to", "127.0.0.1:x"), "--send-to"},
		"listen":          {append(hook, "--listen", "x"), "--listen"},
		"listen, family":  {append(hook, "--listen", "[::1]:0", "--send-to", "127.0.0.1:5060"), "--listen"},
		"trunk":           {append(called, "--trunk", "127.0.0.1:5060"), "sip:127.0.0.1:5060"},
		"trunk's port":    {append(called, "--trunk", "sip:127.0.0.1:0"), "--trunk"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := run(t, append([]string{"simulate", "twilio"}, tt.args...)...); code != 2 || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d; want 2 and %q:\n%s", code, tt.says, out)
			}
		})
	}
}
