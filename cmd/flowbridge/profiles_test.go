package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/cause"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/node"
	"flowbridge/cmd/flowbridge/profiles"
	"flowbridge/config"
	"flowbridge/sim"
	"flowbridge/sim/platform"
	"flowbridge/store/record"
)

// profileStage is the stand-in of a platform, Flowbridge with the platform's profile, and a carrier.
type profileStage struct {
	platform *platform.Platform
	node     *node.Node
	carrier  *sim.Carrier
	hook     string // URL of Flowbridge's hook, for OpenAI's stand-in
}

// profileNet has the addresses of these tests: Flowbridge, the carrier, the platform.
var profileNet = [...]string{"127.0.63.1", "127.0.63.2", "127.0.63.3"}

// profileOf returns a platform's profile with the stand-in's addresses and secrets.
func profileOf(t *testing.T, name string, p *platform.Platform) string {
	t.Helper()
	all := profiles.All()
	i := slices.IndexFunc(all, func(p profiles.Profile) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("there is no profile %s", name)
	}
	at, _ := p.SIPAddr()
	dir := t.TempDir()
	standIn := profiles.StandIn{API: p.APIURL(), SIP: at, Secret: filepath.Join(dir, "secret"), CA: filepath.Join(dir, "ca.pem")}
	must(t, os.WriteFile(standIn.Secret, []byte(all[i].Secret()+"\n"), 0o600))
	must(t, os.WriteFile(standIn.CA, p.CA(), 0o600))
	return all[i].Simulated(standIn)
}

// newProfileStage starts the platform, Flowbridge and the carrier. change, if not nil, changes the profile before it is
// used.
func newProfileStage(t *testing.T, of platform.Description, o platform.Options, change func(string) string) *profileStage {
	t.Helper()
	background := context.Background()
	closing := func(name string, close func() error) {
		t.Cleanup(func() {
			if err := close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	o.HTTPListen, o.SIPListen, o.RingFor = profileNet[2]+":0", profileNet[2]+":0", -1
	p, err := platform.Start(background, of, o)
	must(t, err)
	closing("platform", p.Close)
	profile := profileOf(t, of.Name, p)
	if change != nil {
		profile = strings.ReplaceAll(change(profile), "API_URL", p.APIURL())
	}
	text := fmt.Sprintf(`
sip: {listen: ["udp://%s:0", "tcp://%[1]s:0"], max_delay: 1m}
media: {listen: [%[1]s]}
trunks:
  - {name: carrier, sources: ["%s/32"]}
routes:
  - {trunk: carrier, targets: [%s]}
store: {path: "%s"}
admin: {listen: "%[1]s:0"}
`, profileNet[0], profileNet[1], of.Name, filepath.Join(t.TempDir(), "flowbridge.db")) + profile
	cfg, err := config.Parse(of.Name+".yaml", []byte(text), func(string) (string, bool) { return platform.DefaultSecret, true })
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	s := &profileStage{platform: p}
	log := zerolog.Nop()
	if testing.Verbose() {
		log = zerolog.New(zerolog.NewTestWriter(t))
	}
	s.node, err = node.Start(background, cfg, log, node.Options{})
	must(t, err)
	closing("node", s.node.Close)
	s.carrier, err = sim.StartCarrier(background, sim.CarrierOptions{Listen: profileNet[1] + ":0", Log: zerolog.Nop()})
	must(t, err)
	closing("carrier", s.carrier.Close)
	return s
}

// call places a call, which the carrier ends after some packets. It returns the result and the record.
func (s *profileStage) call(t *testing.T) (sim.CarrierResult, record.Record) {
	t.Helper()
	got, err := s.carrier.Call(t.Context(), sim.CarrierCall{To: "sip:+15075785607@" + s.node.SIPAddr().String(), From: "+15075550100", Hold: time.Millisecond, Heard: 60, Seed: 7})
	must(t, err)
	var record record.Record
	waitFor(t, "the record is written, and the platform's side has ended", func() bool {
		record, err = s.node.RecordOf(t.Context(), got.SIPCallID)
		return err == nil && !record.EndedAt.IsZero() && !slices.ContainsFunc(s.platform.Calls(), func(c platform.Call) bool { return c.EndedAt.IsZero() })
	})
	return got, record
}

// common counts the packets that one side sent and the other side heard, compared by content.
func common(sent, heard []sim.PacketMark) (n int) {
	sums := map[uint32]bool{}
	for _, m := range sent {
		sums[m.Sum] = m.Sum != 0
	}
	for _, m := range heard {
		if sums[m.Sum] {
			n++
		}
	}
	return n
}

// TestProfiles: each profile is a valid configuration, and a carrier's call reaches the platform's agent, which checks
// it against the platform's documentation. Both sides hear each other.
func TestProfiles(t *testing.T) {
	named := map[string]bool{}
	page, err := os.ReadFile("../../docs/platforms/profiles.md")
	must(t, err)
	for _, p := range profiles.All() {
		named[p.Name] = true
		if !strings.Contains(string(page), "\n| "+p.Name+" |") && !strings.Contains(string(page), "]("+p.Name+".md)") {
			t.Errorf("docs/platforms/profiles.md lacks %s", p.Name)
		}
		if p.Title == "" || p.Version == "" || len(p.Sources) == 0 {
			t.Errorf("%s: title %q, version %q, sources %q", p.Name, p.Title, p.Version, p.Sources)
		}
		if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
			t.Errorf("%s: date: %v", p.Name, err)
		}
	}
	for _, of := range platform.Descriptions() {
		if !named[of.Name] {
			t.Errorf("%s has a stand-in and no profile", of.Name)
		}
		delete(named, of.Name)
		t.Run(of.Name, func(t *testing.T) {
			s := newProfileStage(t, of, platform.Options{}, nil)
			got, record := s.call(t)
			if got.Status != 200 || record.Disposition != "answered" {
				t.Fatalf("the carrier got %d %s; record %+v; calls %+v", got.Status, got.Reason, record, s.platform.Calls())
			}
			if of.Agent.SRTP == sim.SRTPRequired && record.Media.B.SRTP == "" {
				t.Error("the platform's side is not encrypted")
			}
			calls := s.platform.Calls()
			if len(calls) != 1 || calls[0].Status != 200 {
				t.Fatalf("%d calls: %+v", len(calls), calls)
			}
			if n := common(calls[0].SentMarks, got.HeardMarks); n < 20 {
				t.Errorf("the carrier heard %d packets of the agent's greeting", n)
			}
			if n := common(got.SentMarks, calls[0].HeardMarks); n < 20 {
				t.Errorf("the agent heard %d packets of the caller's words", n)
			}
			if of.API == nil {
				return
			}
			if calls[0].Asked == nil || record.SynthflowCallID == "" || record.PreparedAt.IsZero() || record.Attempts[0].PrepareStatus != of.API.Status {
				t.Errorf("asked %v; record %+v", calls[0].Asked, record)
			}
		})
	}
	delete(named, "synthflow") // the stand-ins of these two have accounts instead of descriptions
	delete(named, "vapi")
	delete(named, "websocket") // its stand-in is called by no SIP (sim/bot)
	for name := range named {
		t.Errorf("%s has a profile and no stand-in", name)
	}
}

// TestProfilesAreHeld: a stand-in refuses a call that differs from its platform's documentation in one point.
func TestProfilesAreHeld(t *testing.T) {
	for i, tt := range []struct {
		of, old, now string
		number       string // the only called number that is accepted
		status       int
		cause        cause.Cause
	}{
		{"polyai", "X-PolyAi-Auth-Token:", "X-Polyai-Auth-Token:", "", 403, cause.TargetRefused},
		{"polyai", `"${POLYAI_TOKEN}"`, `"another"`, "", 403, cause.TargetRefused},
		{"bland", "    media: {srtp: required, srtp_suites: [AES_CM_128_HMAC_SHA1_80]}\n", "", "", 488, cause.TargetRefused},
		{"bland", "{{.To.Number}}@", "agent@", "", 404, cause.TargetRefused},
		{"openai", "proj_4711@", "4711@", "", 404, cause.TargetRefused},
		{"ultravox", "agent_5f1c", "5f1c", "", 404, cause.TargetRefused},
		{"elevenlabs", "{{.To.Number}}@", "{{.To.User}}1@", "+15075785607", 404, cause.TargetRefused},
		{"telnyx", `"` + platform.DefaultUser, `"somebody`, "", 503, cause.AuthRefused},
		{"livekit", "    auth: {username: \"" + platform.DefaultUser + "\"", "    call_auth: {username: \"other\"", "", 503, cause.AuthMissing},
		{"retell", "{{.Prepare.CallID}}@", "{{.To.Number}}@", "", 404, cause.TargetRefused},
		{"retell", "metadata:", "meta:", "", 503, cause.PrepareFailed},
		{"retell", `agent_id: "AGENT_ID"`, `agent_id: ""`, "", 503, cause.PrepareFailed},
		{"retell", "/v2/register-phone-call", "/v3/register-phone-call", "", 503, cause.PrepareFailed},
	} {
		t.Run(fmt.Sprint(tt.of, i), func(t *testing.T) {
			of, _ := described(tt.of)
			s := newProfileStage(t, of, platform.Options{Number: tt.number}, func(text string) string {
				if !strings.Contains(text, tt.old) {
					t.Fatalf("%q is not in\n%s", tt.old, text)
				}
				return strings.Replace(text, tt.old, tt.now, 1)
			})
			got, record := s.call(t)
			if got.Status != tt.status || record.Cause != string(tt.cause) {
				t.Errorf("the carrier got %d %s, cause %s; want %d, %s", got.Status, got.Reason, record.Cause, tt.status, tt.cause)
			}
		})
	}
}

// TestLyingAPI: if the API of a platform gives an unusable answer, no call is dialled, and the record says why.
func TestLyingAPI(t *testing.T) {
	of, _ := described("retell")
	waits := func(timeout string) *profileStage {
		return newProfileStage(t, of, platform.Options{}, func(text string) string {
			text = strings.Replace(text, "    prepare:\n", "    circuit: {failures: 0}\n    prepare:\n", 1) // each lie is asked for
			return strings.Replace(text, "      id: call_id", "      timeout: "+timeout+"\n      id: call_id", 1)
		})
	}
	patient, hasty := waits("1m"), waits("1s")
	for fault, want := range map[string]struct {
		cause  cause.Cause
		status int
	}{
		"failed": {cause.PrepareRefused, 201}, "malformed": {cause.PrepareInvalid, 200}, "types": {cause.PrepareInvalid, 201}, "crlf": {cause.PrepareInvalid, 201},
		"emptyid": {cause.PrepareInvalid, 201}, "html:201": {cause.PrepareInvalid, 201}, "html": {cause.PrepareFailed, 502}, "huge": {cause.PrepareInvalid, 200},
		"gzipbomb": {cause.PrepareInvalid, 200}, "redirect": {cause.PrepareFailed, 307}, "500": {cause.PrepareFailed, 500}, "401": {cause.PrepareFailed, 401},
		"429": {cause.PrepareFailed, 429}, "echo": {cause.PrepareFailed, 400}, "reset": {cause.PrepareFailed, 0}, "hang": {cause.PrepareTimeout, 0},
	} {
		f, err := sim.ParseFault(fault)
		must(t, err)
		s := patient
		if want.cause == cause.PrepareTimeout {
			s = hasty
		}
		s.platform.SetFault(f)
		got, record := s.call(t)
		if got.Status != 503 || record.Cause != string(want.cause) || len(record.Attempts) != 1 || record.Attempts[0].PrepareStatus != want.status {
			t.Errorf("%s: the carrier got %d, cause %s, attempts %+v; want cause %s, status %d", fault, got.Status, record.Cause, record.Attempts, want.cause, want.status)
		}
	}
	if calls := slices.Concat(patient.platform.Calls(), hasty.platform.Calls()); len(calls) > 0 {
		t.Errorf("%d calls were dialled", len(calls))
	}
}

// TestSecretsOfProfiles: a call's ladder shows neither an API token, nor a secret header, nor a value that a request
// has from the environment, whatever the header is called.
func TestSecretsOfProfiles(t *testing.T) {
	for name, secrets := range map[string][]string{
		"retell": {platform.DefaultToken, platform.DefaultSecret}, "pipecat": {platform.DefaultToken, platform.DefaultSecret}, "polyai": {platform.DefaultSecret},
	} {
		of, _ := described(name)
		if name == "pipecat" {
			of.API = new(*of.API)
			of.API.TokenIn = "X-Account"
		}
		s := newProfileStage(t, of, platform.Options{}, func(text string) string {
			if name == "pipecat" {
				text = strings.Replace(text, "      token_file:", "      token_header: X-Account\n      token_file:", 1)
				return strings.Replace(text, `call: "{{.CallID}}"`, `call: "${SECOND}"`, 1)
			}
			return strings.Replace(text, "      body:", "      headers: {X-Second: \"${SECOND}\"}\n      body:", 1)
		})
		got, record := s.call(t)
		said, err := s.node.Ladder(t.Context(), record.ID)
		must(t, err)
		var text strings.Builder
		must(t, errors.Join(said.Draw(&text, 200), json.NewEncoder(&text).Encode(said)))
		if got.Status != 200 || !strings.Contains(text.String(), "INVITE") || of.API != nil && !strings.Contains(text.String(), "X-") {
			t.Errorf("%s: %d, %s", name, got.Status, text.String())
		}
		for _, secret := range secrets {
			if strings.Contains(text.String(), secret) {
				t.Errorf("%s: %q is in %s", name, secret, text.String())
			}
		}
	}
}

// TestProfilesAsPrinted: if the words that a profile says to replace are left in a file, check names them.
func TestProfilesAsPrinted(t *testing.T) {
	t.Setenv("POLYAI_TOKEN", "x")
	dir := t.TempDir()
	secret, file := filepath.Join(dir, "secret"), filepath.Join(dir, "flowbridge.yaml")
	inCapitals, told := regexp.MustCompile(`\b[A-Z]+(?:[_-][A-Z]+)*\b`), 0
	for _, p := range profiles.All() {
		for name, text := range map[string]string{secret: "x\n", file: regexp.MustCompile(`/run/secrets/[a-z-]+`).ReplaceAllString(p.YAML, secret)} {
			must(t, os.WriteFile(name, []byte(text), 0o600))
		}
		var out, errs bytes.Buffer
		if code := cli.Run(t.Context(), command(), []string{"check", "--config", file}, &out, &errs); code != 0 {
			t.Fatalf("%s: %s", p.Name, &errs)
		}
		for l := range strings.Lines(out.String()) {
			if strings.Contains(l, "warning: "+file) && !strings.Contains(l, "has the profile's") {
				t.Errorf("%s: %s", p.Name, l)
			}
		}
		_, replace, _ := strings.Cut(p.YAML, "# Replace ")
		replace, _, _ = strings.Cut(replace, "\ntargets:")
		body := p.YAML[strings.Index(p.YAML, "\ntargets:"):]
		for _, word := range inCapitals.FindAllString(replace, -1) {
			if len(word) < len("AGENT_ID") || strings.HasPrefix(word, "X-") || !strings.Contains(body, word) {
				continue // an abbreviation, which is not a placeholder
			}
			if told++; !strings.Contains(out.String(), "targets[0].") || !strings.Contains(out.String(), "has the profile's "+word+",") {
				t.Errorf("%s: nothing of %s:\n%s", p.Name, word, &out)
			}
		}
	}
	if told < 7 {
		t.Errorf("only %d things to replace were found", told)
	}
}

// described returns the description with this name.
func described(name string) (platform.Description, bool) {
	for _, d := range platform.Descriptions() {
		if d.Name == name {
			return d, true
		}
	}
	return platform.Description{}, false
}

// TestSimulatedProfiles: --simulated prints a valid configuration, and the commands for the stand-in.
func TestSimulatedProfiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range profiles.Names() {
		of, _ := described(name) // the stand-ins of Synthflow and Vapi have no description
		text, code := run(t, "targets", "profiles", name, "--simulated")
		if code != 0 || !strings.Contains(text, "# flowbridge simulate "+name) || of.Name == "" && profiles.Placeholder.MatchString(text) {
			t.Fatalf("%s: exit code %d\n%s", name, code, text)
		}
		for line := range strings.Lines(text) {
			if command, ok := strings.CutPrefix(line, "# printf "); ok {
				out, err := exec.Command("sh", "-c", "printf "+command).CombinedOutput()
				if err != nil {
					t.Errorf("%s: %v\n%s", line, err, out)
				}
			}
		}
		if strings.Contains(text, " --ca-file "+name+".pem\n") { // the file that the printed command writes
			p, err := platform.Start(t.Context(), of, platform.Options{HTTPListen: profileNet[2] + ":0", SIPListen: profileNet[2] + ":0"})
			must(t, err)
			must(t, os.WriteFile(name+".pem", p.CA(), 0o600))
			must(t, p.Close())
		}
		if _, err := config.Parse(name, []byte(text), func(string) (string, bool) { return "x", true }); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	if out, code := run(t, "targets", "profiles", "--simulated"); code != 2 {
		t.Errorf("without a name: exit code %d\n%s", code, out)
	}
}
