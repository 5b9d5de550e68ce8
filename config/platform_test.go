package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/config/template"
)

// API and SIP host come as a pair, whichever of the two is written down.
func TestRegions(t *testing.T) {
	for text, want := range map[string]string{
		"kind: synthflow":                                                                "global sip:+15550100002@sipin.synthflow.ai:32681 https://api.synthflow.ai",
		"kind: synthflow, region: global":                                                "global sip:+15550100002@sip.synthflow.ai:32681 https://api.synthflow.ai",
		"kind: synthflow, region: us":                                                    "us sip:+15550100002@sip.us.synthflow.ai:32681 https://api.us.synthflow.ai",
		"kind: synthflow, region: eu, transport: tls":                                    "eu sip:+15550100002@sip.eu.synthflow.ai:32682 https://api.eu.synthflow.ai",
		`kind: synthflow, uri: "sip:1@sip.eu.synthflow.ai:32681"`:                        "eu sip:1@sip.eu.synthflow.ai:32681 https://api.eu.synthflow.ai",
		`kind: synthflow, uri: "sip:1@SIPIN.synthflow.ai:32681", region: global`:         "global sip:1@SIPIN.synthflow.ai:32681 https://api.synthflow.ai",
		`kind: synthflow, uri: "sip:1@127.0.0.1:5070"`:                                   " sip:1@127.0.0.1:5070 https://api.synthflow.ai",
		`kind: synthflow, uri: "sip:1@127.0.0.1:5070", region: us`:                       "us sip:1@127.0.0.1:5070 https://api.us.synthflow.ai",
		`kind: vapi, uri: "sip:a@sip.eu.vapi.ai"`:                                        "eu sip:a@sip.eu.vapi.ai https://api.eu.vapi.ai",
		`kind: vapi, uri: "sip:a@sip.vapi.ai;transport=tcp", transport: tcp, region: us`: "us sip:a@sip.vapi.ai;transport=tcp https://api.vapi.ai",
		`kind: vapi, uri: "sip:a@[::1]:5070", region: eu`:                                "eu sip:a@[::1]:5070 https://api.eu.vapi.ai",
	} {
		for _, section := range []string{"prepare", "account"} {
			if section == "prepare" && text[6] == 'v' {
				continue
			}
			cfg, err := Parse("x.yaml", []byte("sip: {listen: [\"udp://0.0.0.0:5060\", \"tcp://0.0.0.0:5060\"]}\ntargets: [{name: t, "+text+", "+section+": {token_env: SYNTHFLOW_TOKEN}}]"), testEnv)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			target := cfg.Targets[0]
			uri, err := target.URI.Render(template.SampleVars(false))
			api := target.Account
			if section == "prepare" {
				api = &account{API: target.Prepare.API}
			}
			if target.Overflow != OverflowTCP {
				t.Errorf("%s: overflow %s; the platforms take TCP at the same port", text, target.Overflow)
			}
			if got := fmt.Sprint(target.Region, " ", uri, " ", api.API); got != want || err != nil {
				t.Errorf("%s, %s: got %s, %v; want %s", text, section, got, err, want)
			}
		}
	}
	cfg, err := Parse("x.yaml", []byte(`targets: [{name: t, kind: synthflow, prepare: {api: "https://api.us.synthflow.ai/v2", token_env: SYNTHFLOW_TOKEN}}]`), testEnv)
	if err != nil || cfg.Targets[0].Region != regionUS {
		t.Fatalf("got %v, %v", cfg, err)
	}
	if uri, _ := cfg.Targets[0].URI.Render(template.SampleVars(false)); uri != "sip:+15550100002@sip.us.synthflow.ai:32681" {
		t.Errorf("the SIP host of an API's region: got %s", uri)
	}
}

// The lead is the customer, in either direction.
func TestLead(t *testing.T) {
	tmpl, err := template.Parse("{{.Direction}} {{.Lead.Number}} {{.Agent.Number}}")
	if err != nil {
		t.Fatal(err)
	}
	vars := template.SampleVars(false)
	if got, err := tmpl.Render(vars); got != "inbound +15550100001 +15550100002" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	vars.Direction = template.DirectionOutbound
	if got, err := tmpl.Render(vars); got != "outbound +15550100002 +15550100001" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	for text, want := range map[string]string{"": template.DirectionInbound, ", direction: outbound": template.DirectionOutbound} {
		cfg, err := Parse("x.yaml", []byte("targets: [{name: t, kind: sip, uri: \"sip:a@b.example\"}]\nroutes: [{targets: [t]"+text+"}]"), testEnv)
		if err != nil || cfg.Routes[0].Direction != want {
			t.Errorf("%q: got %v, %v", text, cfg, err)
		}
	}
}

// Hooks with their defaults, and with everything.
func TestHooks(t *testing.T) {
	secret := secretFile(t, "hush\n")
	cfg, err := Parse("x.yaml", []byte(`
targets: [{name: t, kind: sip, uri: "sip:a@b.example"}]
trunks: [{name: c, sources: [192.0.2.1]}]
hooks:
  listen: "0.0.0.0:8081"
  twilio: {auth_token_file: `+secret+`, url: "https://voice.example.com", targets: [t]}
  vapi:
    secret_file: `+secret+`
    rules:
      - {to: "^\\+49", when: '{{eq (.Header "X-Lang") "de"}}', assistant_id: a1, overrides: {maxDurationSeconds: 60}, variables: {name: '{{.From.Name}}'}}
      - assistant:
          firstMessage: "Hello {{name}}"
          model: {provider: openai, temperature: 0.5, messages: [{role: system, content: "one\ntwo"}], on: true, none: null}
      - {destination: {type: number, number: "+15550100009"}}
  synthflow: {secret_file: `+secret+`}
  variables: {token_file: `+secret+`, values: {caller: '{{.Lead.Number}}'}, ids: ['{{.Header "X-Ext"}}']}
`), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	h := cfg.Hooks
	if h.Twilio.Fallback != "" || h.Twilio.AuthToken.Reveal() != "hush" {
		t.Errorf("twilio: got %+v", h.Twilio)
	}
	if h.Vapi.Secret.Reveal() != "hush" || len(h.Vapi.Rules) != 3 {
		t.Fatalf("vapi: got %+v", h.Vapi)
	}
	r := h.Vapi.Rules
	if !r[0].To.Match("+4930") || string(r[0].Overrides) != `{"maxDurationSeconds":60}` || r[0].Variables[0].Name != "name" {
		t.Errorf("first rule: got %+v", r[0])
	}
	const assistant = `{"firstMessage":"Hello {{name}}","model":{"messages":[{"content":"one\ntwo","role":"system"}],"none":null,"on":true,"provider":"openai","temperature":0.5}}`
	if got := string(r[1].Assistant); got != assistant {
		t.Errorf("got %s\nwant %s", got, assistant)
	}
	if got := string(r[2].Destination); got != `{"number":"+15550100009","type":"number"}` {
		t.Errorf("got %s", got)
	}
	if len(h.Variables.IDs) != 1 {
		t.Errorf("got %+v, %+v", h.Synthflow, h.Variables)
	}
}

// The parts of a SIP URI that say where it leads.
func TestHostPort(t *testing.T) {
	for uri, want := range map[string]string{
		"sip:a@b.example": "b.example 0", "sip:a@b.example:5070;transport=tcp": "b.example 5070", "sip:b.example": "b.example 0",
		"sip:a:b@[2001:db8::1]:5061": "2001:db8::1 5061", "sip:a@[::1]": "::1 0", "": " 0",
	} {
		if host, port := HostPort(uri); fmt.Sprint(host, " ", port) != want {
			t.Errorf("%q: got %s %d; want %s", uri, host, port, want)
		}
	}
}

// With follow Twilio asks below the path, by the public URL, which it needs.
func TestTwilioFollow(t *testing.T) {
	parse := func(keys string) (*Config, error) {
		return Parse("x.yaml", []byte(`
targets: [{name: t, kind: sip, uri: "sip:a@b.example"}]
hooks:
  listen: "127.0.0.1:8082"
  twilio: {targets: [t]`+keys+`}
`), testEnv)
	}
	for keys, want := range map[string]string{
		`, follow: true, url: "https://voice.example.com"`:               "https://voice.example.com/redirect_call/ended",
		`, follow: true, url: "https://voice.example.com/a/"`:            "https://voice.example.com/a/redirect_call/ended",
		`, follow: true, url: "https://voice.example.com/redirect_call"`: "https://voice.example.com/redirect_call/ended",
	} {
		cfg, err := parse(keys)
		if err != nil {
			t.Errorf("%s: %v", keys, err)
			continue
		}
		h := cfg.Hooks
		if !h.Twilio.Follow || h.Twilio.FollowURL() != want {
			t.Errorf("%s: got %+v, %s", keys, h.Twilio, h.Twilio.FollowURL())
		}
	}
	if cfg, err := parse(""); err != nil || cfg.Hooks.Twilio.Follow {
		t.Errorf("without: %v", err)
	}
	for keys, want := range map[string]string{
		", follow: true":    "with follow, Twilio is told to ask there how calls ended",
		", follow: perhaps": "hooks.twilio.follow",
		", follow: yes":     "hooks.twilio.follow",
		", follow: [true]":  "hooks.twilio.follow",
		", follows: true":   "follows",
		`, follow: "x y"`:   "hooks.twilio.follow",
	} {
		if _, err := parse(keys); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "x.yaml:0") {
			t.Errorf("%s: got %v; want %q", keys, err, want)
		}
	}
}

// secretFile is the name of a file with a secret.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
