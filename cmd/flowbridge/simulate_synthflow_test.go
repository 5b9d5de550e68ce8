package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// simulated is what `flowbridge simulate synthflow --json` prints about itself.
type simulated struct {
	API     string `json:"api"`
	SIP     string `json:"sip"`
	Token   string `json:"token"`
	Numbers []struct {
		Number  string `json:"number"`
		ModelID string `json:"model_id"`
	} `json:"numbers"`
}

// simulateSynthflow runs the command until the test ends, and checks that its log contains none of these secrets.
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

// The example configuration for the stand-in fits the stand-in: check --online finds nothing wrong, including workspace
// and agent.
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

// freeAddress returns an address that is free now, for a server whose address others must know before it starts.
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
		"pre-action":  {[]string{"--pre-action", "http://127.0.0.1:1"}, "with curl"},
		"fault":       {[]string{"--fault", "html:1"}, "200 to 599"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := run(t, append([]string{"simulate", "synthflow"}, tt.args...)...); code != 2 || !strings.Contains(out, tt.says) {
				t.Errorf("exit code %d; want 2 and %q:\n%s", code, tt.says, out)
			}
		})
	}
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}
