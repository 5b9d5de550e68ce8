//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// The account of the platforms' tests, and its secrets. None of the secrets may be visible
// anywhere.
const (
	workspace = "1738660423280x428309622607052800"
	model     = "11111111-1111-4111-8111-111111111111"
	model2    = "22222222-2222-4222-8222-222222222222"
	vapiKey   = "vapi-private-key"

	twilioToken   = "hush-twilio-token"
	vapiSecret    = "hush-vapi-secret"
	webhookSecret = "hush-webhook-secret"
	agentToken    = "hush-agent-token"
	trunkPassword = "hush-trunk-password-of-20"
)

var hushed = []string{apiToken, vapiKey, twilioToken, vapiSecret, webhookSecret, agentToken, trunkPassword}

// platforms is a stage with both platforms of the documents, and with a B2BUA that has all its hooks.
type platforms struct {
	*stage
	dir      string
	vapi     string // URL of its API
	vapiSIP  netip.AddrPort
	hookAddr netip.AddrPort
	away     netip.AddrPort // address of another agent, see startAway
	sf       *process
	vp       *process
}

// newPlatforms starts the stand-ins. sfFlags are additional flags for Synthflow's.
func newPlatforms(t *testing.T, sfFlags ...string) *platforms {
	s := newStage(t)
	p := &platforms{stage: s, dir: s.TempDir()}
	for name, text := range map[string]string{
		"twilio": twilioToken, "vapi": vapiSecret, "webhook": webhookSecret, "agent": agentToken, "trunk": trunkPassword,
		"synthflow-api": apiToken, "vapi-api": vapiKey,
		"vapi-number.json": `{"authentication": {"username": "flowbridge-trunk-user", "password": "` + trunkPassword + `"}}`,
	} {
		must(t, os.WriteFile(filepath.Join(p.dir, name), []byte(text+"\n"), 0o600))
	}
	p.hookAddr = s.freeTCP(s.b2bua)
	p.sf = s.simulate(append([]string{
		"--workspace", workspace, "--ring", "20ms",
		"--webhook", p.hook("/synthflow/webhook"), "--webhook-secret", webhookSecret,
	}, sfFlags...)...)
	p.startVapi()
	return p
}

// freeTCP returns a TCP port that is free on an address that only this test uses.
func (s *stage) freeTCP(addr netip.Addr) netip.AddrPort {
	at := s.freePort(addr)
	return netip.AddrPortFrom(addr, at.Port())
}

func (p *platforms) hook(path string) string { return "http://" + p.hookAddr.String() + path }

// startAway starts another platform, for the target away.
func (p *platforms) startAway(flags ...string) {
	p.Helper()
	api, agent := p.api, p.agent
	p.simulate(flags...)
	p.away = p.agent
	p.api, p.agent = api, agent
}

func (p *platforms) startVapi() {
	p.Helper()
	host := p.platform.String()
	cmd := exec.Command(program, "simulate", "vapi", "--http", host+":0", "--sip", host+":0", "--key", vapiKey, "--ring", "20ms")
	cmd.Env = append(os.Environ(), "NO_COLOR=1", raceEnv)
	p.vp = start(p.T, "flowbridge simulate vapi", cmd)
	eventually(p.T, "Vapi listens", func() bool {
		api, ok := p.vp.find("API   ")
		agent, too := p.vp.find("agent sip:")
		if ok && too {
			p.vapi, _, _ = strings.Cut(api, " ")
			p.vapiSIP = netip.MustParseAddrPort(agent)
		}
		return ok && too
	})
}

// platformsConfig has every kind of trunk and hook. %s is the target of hooks.twilio.
const platformsConfig = `
sip: {listen: ["udp://@B2BUA@:0"]}
media: {listen: ["@B2BUA@"]}
trunks:
  - {name: carrier, sources: ["@CARRIER@"]}
targets:
  - name: prepared
    kind: synthflow
    uri: "sip:{{.Agent.Number}}@@AGENT@"
    prepare:
      api: "@API@"
      token_file: synthflow-api
      workspace_id: @WORKSPACE@
      model_id: @MODEL@
      custom_variables: {lead: "{{.Lead.Number}}", way: "{{.Direction}}"}
    headers:
      X-EI: 'S.{{.Prepare.CallID}};{{with .Header "X-Twilio-CallSid"}}E.{{.}};{{end}}'
      X-Lead: "{{.Lead.Number}}"
  - name: plain
    kind: synthflow
    uri: "sip:{{.Agent.Number}}@@AGENT@"
  - name: bare
    kind: synthflow
    uri: "sip:{{.Agent.Number}}@@AGENT@"
    headers: {X-EI: '{{with .Header "X-Twilio-CallSid"}}{{.}}{{else}}{{$.CallID}}{{end}}'}
  - name: external
    kind: synthflow
    uri: "sip:{{.Agent.Number}}@@AGENT@"
    account: {api: "@API@", token_file: synthflow-api, workspace_id: @WORKSPACE@}
    headers: {X-EI: "E.{{.SIPCallID}};"}
  - {name: away, kind: sip, uri: "sip:{{.Agent.Number}}@@AWAY@"}
  - name: vapi
    kind: vapi
    uri: "sip:support@@VAPISIP@"
    account: {api: "@VAPI@", token_file: vapi-api}
    auth: {username: flowbridge-trunk-user, password_file: trunk}
    budget: {size: 1300} # the stand-in has no TCP
    headers: {x-first_name: '{{.Header "X-Name"}}', x-call: "{{.CallID}}"}
routes:
  - {trunk: carrier, to: "^\\+15550100001$", targets: [prepared]}
  - {trunk: carrier, to: "^\\+15550100002$", targets: [plain]}
  - {trunk: carrier, to: "^\\+15550100003$", targets: [bare]}
  - {trunk: carrier, to: "^\\+15550100004$", targets: [external]}
  - {trunk: carrier, to: "^\\+15550100005$", targets: [vapi]}
  - {trunk: carrier, from: "^\\+15550100001$", targets: [prepared], direction: outbound}
hooks:
  listen: "@HOOK@"
  twilio: {url: "http://@HOOK@", auth_token_file: twilio, targets: [@TWILIO@]@TWILIO+@}
  vapi:
    secret_file: vapi
    rules:
      - {when: '{{and (eq .Trunk "carrier") (eq (.Header "X-Lang") "de")}}', assistant: {firstMessage: "Guten Tag {{first_name}}"}, variables: {first_name: '{{.Header "X-Name"}} aus Bonn'}}
      - {when: '{{eq (.Header "X-Lang") "fr"}}', destination: {type: number, number: "+33100000000"}}
      - {when: '{{and (eq .Trunk "carrier") (eq (.Header "X-Lang") "id")}}', assistant_id: '{{.Header "X-Assistant"}}'}
      - {error: "We speak other languages."}
  synthflow: {secret_file: webhook}
  variables: {token_file: agent, values: {greeting: "Hello {{.Lead.Number}}"}}
store: {path: calls.db}
admin: {listen: "127.0.0.1:0"}
log: {level: debug}
`

// serveAll starts the B2BUA with all hooks. twilio are the targets of its redirects, more has
// further keys of that hook.
func (p *platforms) serveAll(twilio, more string) *server {
	p.Helper()
	if !p.away.IsValid() {
		p.away = p.agent
	}
	p.server = startServer(p.T, p.dir, strings.NewReplacer(
		"@B2BUA@", p.b2bua.String(), "@CARRIER@", p.carrier.String(), "@AGENT@", p.agent.String(), "@AWAY@", p.away.String(), "@API@", p.api,
		"@WORKSPACE@", workspace, "@MODEL@", model, "@VAPISIP@", p.vapiSIP.String(), "@VAPI@", p.vapi,
		"@HOOK@", p.hookAddr.String(), "@TWILIO@", twilio, "@TWILIO+@", more,
	).Replace(platformsConfig))
	return p.server
}

// run runs the program in the directory of the configuration, and returns its output and its exit
// code.
func (p *platforms) run(args ...string) (out string, code int) {
	p.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "NO_COLOR=1", raceEnv)
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.Fatal(err)
	}
	p.silentAbout(text.String(), strings.Join(args, " "))
	return text.String(), cmd.ProcessState.ExitCode()
}

// must is like run, but the program must succeed.
func (p *platforms) must(args ...string) string {
	p.Helper()
	out, code := p.run(args...)
	if code != 0 {
		p.Fatalf("flowbridge %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// silentAbout checks that a text contains no secret.
func (p *platforms) silentAbout(text, where string) {
	p.Helper()
	for _, secret := range hushed {
		if strings.Contains(text, secret) {
			p.Errorf("%s shows a secret, %s:\n%s", where, secret, text)
		}
	}
}

// call places a call from the carrier and returns what was printed about it.
func (p *platforms) call(from, to string, headers ...string) (out string, code int) {
	p.Helper()
	args := []string{
		"call", "--to", fmt.Sprintf("sip:%s@%s", to, p.server.sip), "--from", from, "--seconds", "1", "--listen", p.carrier.String() + ":0",
	}
	for _, h := range headers {
		args = append(args, "--header", h)
	}
	return p.run(args...)
}

// last waits for this many records and returns the newest.
func (p *platforms) last(count int, ready func(record.Record) bool) record.Record {
	p.Helper()
	var all []record.Record
	if !within(patience, func() bool { all = p.server.cdrs(); return len(all) == count && ready(all[0]) }) {
		p.Fatalf("%d records, of %d; the newest: %+v", len(all), count, first(all))
	}
	return all[0]
}

func first(all []record.Record) any {
	if len(all) == 0 {
		return nil
	}
	b, _ := json.Marshal(all[0])
	return string(b)
}

func answered(r record.Record) bool { return r.Disposition == record.DispositionAnswered }

func isReported(r record.Record) bool { return r.Report != nil }

// logged waits for a line in a process's log that contains all of these parts.
func (p *platforms) logged(from *process, parts ...string) string {
	p.Helper()
	found := ""
	has := func() bool {
		for _, line := range from.output() {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(line, part)
			}
			if all {
				found = line
				return true
			}
		}
		return false
	}
	if !within(patience, has) {
		p.Fatalf("%s never says %q", from.name, parts)
	}
	return found
}

// finish stops the B2BUA, and looks for secrets in its log.
func (p *platforms) finish() {
	p.Helper()
	eventually(p.T, "/api/calls is empty", func() bool { return len(p.server.calls()) == 0 })
	p.server.stop()
	for _, from := range []*process{p.server.process, p.sf, p.vp} {
		for _, line := range from.output() {
			if from != p.sf && from != p.vp || !strings.HasPrefix(line, "API ") { // a stand-in prints the token that it accepts
				p.silentAbout(line, from.name)
			}
		}
	}
}
