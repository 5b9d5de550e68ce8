package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/config/template"
)

var update = flag.Bool("update", false, "write the .want files of testdata/bad")

const (
	leak      = "leaked/value of the environment"
	testToken = "sf-token-0123"
)

func testEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"SYNTHFLOW_TOKEN": testToken, "LEAK": leak, "MODEL": "m1", "HOST": "h.example:5062", "TWO_LINES": "first-half\nsecond-half", "PW": "pw-456",
		"BREAK": "a\r\nX-Injected: 1", "A": "192.0.2.", "B": "9",
	}[name]
	return v, ok
}

func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := Parse("flowbridge.yaml", data, testEnv)
			if all := Errors(nil); !errors.As(err, &all) || cfg != nil {
				t.Fatalf("got %v, %v; want Errors and no Config", cfg, err)
			}
			got := err.Error() + "\n"
			for _, secret := range []string{leak, testToken, "half", "hidden", "pw-456", "Injected"} {
				if strings.Contains(got, secret) {
					t.Errorf("the errors show %q:\n%s", secret, got)
				}
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("want - got +\n%s", diff)
			}
		})
	}
}

func parseFile(t *testing.T, file string) *Config {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("flowbridge.yaml", data, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestDefaults(t *testing.T) {
	got := parseFile(t, "testdata/good/defaults.yaml")
	want := &Config{
		SIP: SIP{
			Listen:         []Listener{{Transport: "udp", AddrPort: netip.MustParseAddrPort("0.0.0.0:5060")}},
			AuthAlgorithms: []string{"SHA-256", "MD5"},
			TLS: ListenTLS{ACME: ACME{
				Directory: "https://acme-v02.api.letsencrypt.org/directory",
				Listen:    Challenges{Transport: "http", AddrPort: netip.MustParseAddrPort("0.0.0.0:80")},
			}},
			DrainTimeout: time.Minute, MaxDelay: 75 * time.Millisecond,
			Limits: Limits{Connections: 1000, Setups: 2000},
		},
		Media: Media{
			Listen: []MediaListener{{Addr: netip.IPv4Unspecified()}}, PortLow: 10000, PortHigh: 32767, Engine: engineAuto, Insight: InsightOn, Transcode: "auto",
			Timeout: 30 * time.Second,
		},
		Store:     Store{Path: "flowbridge.db", Keep: 90 * day, Ladders: 7 * day},
		Admin:     Admin{Listen: AdminAddress{AddrPort: netip.MustParseAddrPort("127.0.0.1:8080")}, Local: RightsOperate},
		Telemetry: Telemetry{HEP: hep{CaptureID: 2001}},
		Log:       Log{Level: "info", Format: formatJSON},
		Fleet:     Fleet{Takeover: Takeover{Patience: 50 * time.Millisecond}},
		Source:    []byte("{}\n"),
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	for processors, want := range map[int]int{1: 40, 4: 40, 16: 160} { // as docs/guides/media.md says
		if n := got.Media.Transcoded(processors); n != want {
			t.Errorf("%d processors transcode %d calls; want %d", processors, n, want)
		}
	}
}

func TestComplete(t *testing.T) {
	c := parseFile(t, "testdata/good/complete.yaml")
	if got := fmt.Sprint(c.SIP.Listen); got != "[udp://0.0.0.0:5060 udp://[::]:5060]" {
		t.Errorf("listen: got %s", got)
	}
	trunk := c.Trunks[0]
	if trunk.NAT != NATAuto || !trunk.Trusted || trunk.MaxDuration != 4*time.Hour || trunk.Country != "1" || trunk.MaxCPS != 50 {
		t.Errorf("trunk: got %+v", trunk)
	}
	target := c.Targets[0]
	if target.Prepare.Token.Reveal() != testToken || target.Prepare.Timeout != 3*time.Second || target.MaxCalls != 200 {
		t.Errorf("target: got %+v", target)
	}
	var headers []string
	for _, h := range target.Headers {
		v, err := h.Value.Render(template.SampleVars(true))
		if err != nil {
			t.Error(err)
		}
		headers = append(headers, h.Name+": "+v)
	}
	want := []string{"X-EI: S.5f1c2f9e-6b7a-4c1d-9e8f-0a1b2c3d4e5f;", "X-Caller: +15550100001"}
	if diff := cmp.Diff(want, headers); diff != "" {
		t.Errorf("headers: want - got +\n%s", diff)
	}
	r := c.Routes[0]
	if !r.To.Match("+15071234567") || r.From != nil || r.Otherwise != 503 || r.SetupTimeout != 120*time.Second {
		t.Errorf("route: got %+v", r)
	}
	if out := fmt.Sprintf("%+v %#v %v", c, c, target.Prepare); strings.Contains(out, testToken) {
		t.Error("printing the configuration shows a secret")
	}
}

func TestVariety(t *testing.T) {
	c := parseFile(t, "testdata/good/variety.yaml")
	if got := fmt.Sprint(c.Trunks[0].Sources); got != "[192.0.2.1/32 2001:db8::/32 local]" || c.Trunks[0].Trusted || c.Trunks[0].NAT != NATOn {
		t.Errorf("trunk: got %+v", c.Trunks[0])
	}
	if c.Media.Timeout != 36*time.Hour || c.Media.PortLow != 20001 || c.SIP.Advertise != "sip.example.com" {
		t.Errorf("media: got %+v", c.Media)
	}
	dial := c.Targets[0]
	if dial.Prepare.API != "http://sim:8080" || dial.Prepare.ModelID.String() != "m1" || dial.Headers[0].Name != "x-lower" {
		t.Errorf("target: got %+v", dial)
	}
	if v, err := dial.Headers[1].Value.Render(template.SampleVars(false)); v != "" || err != nil {
		t.Errorf("without an id: got %q, %v; want nothing", v, err)
	}
	if got, err := c.Targets[1].URI.Render(template.SampleVars(true)); got != "sip:+15550100002@h.example:5062" || err != nil {
		t.Errorf("uri: got %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"PCMA", "opus"}, c.Targets[2].Codecs); diff != "" {
		t.Errorf("codecs: want - got +\n%s", diff)
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct{ path, want string }{
		{file("good", "abc\n", 0o600), ""},
		{file("readonly", "abc", 0o400), ""},
		{file("group", "abc", 0o640), ""},
		{file("world", "hidden-1", 0o604), "can be read by everybody; chmod 600 " + filepath.Join(dir, "world")},
		{file("empty", " \n", 0o600), "is empty"},
		{file("lines", "hidden-1\nhidden-2", 0o600), "line break"},
		{file("quoted", `"hidden-1"`, 0o600), "stands in quotes"},
		{file("quoted2", "'hidden-1'\n", 0o600), "without quotes"},
		{file("large", strings.Repeat("h", 9000), 0o600), "too large"},
		{dir, "not a regular file"},
		{filepath.Join(dir, "none"), "no such file or directory"},
		{"/dev/zero", "not a regular file"},
	} {
		cfg, err := Parse("f.yaml", fmt.Appendf(nil, "admin: {listen: '0.0.0.0:8080', token_file: %q}", tc.path), testEnv)
		if tc.want == "" {
			if err != nil || cfg.Admin.Token.Reveal() != "abc" {
				t.Errorf("%s: %v", tc.path, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v; want %q", tc.path, err, tc.want)
		}
	}
}

// A template is an error where none is rendered: it would be taken for the text itself.
func TestTemplateInPlainText(t *testing.T) {
	for _, text := range []string{
		"targets: [{name: t, kind: synthflow, account: {token_env: PW, workspace_id: 'w{{.Trunk}}'}}]",
		"targets: [{name: t, kind: sip, uri: 'sip:a@b.example'}]\nhooks: {listen: '127.0.0.1:1', twilio: {targets: [t], fallback: '<Response>{{.To.Number}}</Response>'}}",
	} {
		if _, err := Parse("f.yaml", []byte(text), testEnv); err == nil || !strings.Contains(err.Error(), "holds a template, and this key is the same for every call") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSecretNeverShows(t *testing.T) {
	s := Secret("hidden-1")
	j, err := json.Marshal(map[string]any{"a": s, "b": Admin{Token: s}})
	if err != nil {
		t.Fatal(err)
	}
	all := string(j) + s.String() + s.GoString()
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%X", "%d", "%10s"} {
		all += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, []Secret{s})
	}
	if strings.Contains(all, "hidden") || strings.Contains(all, "68696464") {
		t.Error(all)
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load("testdata/none.yaml"); err == nil || !strings.Contains(err.Error(), "testdata/none.yaml: cannot be read: no such file") {
		t.Errorf("got %v", err)
	}
	if _, err := Load("testdata"); err == nil {
		t.Error("a directory was read")
	}
	if _, err := Load("testdata/good/defaults.yaml"); err != nil {
		t.Error(err)
	}
	if _, err := Parse("f", make([]byte, maxFile+1), testEnv); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("got %v", err)
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "4h": 4 * time.Hour, "90d": 90 * day, "1d12h": 36 * time.Hour, "1.5h": 90 * time.Minute,
		"": -1, "d": -1, "0": -1, "0d": -1, "-1d": -1, "1d-1h": -1, "30": -1, "1d1d": -1, "99999d": 99999 * day, "99999d2562000h": -1,
		"999999d": -1,
	} {
		got, c := parseDuration(in)
		if want < 0 != !c.none() || want >= 0 && got != want {
			t.Errorf("%q: got %v, %v; want %v", in, got, c, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("flowbridge.yaml", data, testEnv)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("got %v, %v", cfg, err)
		}
		if err != nil && strings.Contains(err.Error(), leak) {
			t.Fatalf("leak: %v", err)
		}
	})
}

func TestEnvironmentIsRedacted(t *testing.T) {
	cfg, err := Parse("f.yaml", []byte("targets: [{name: t, kind: sip, uri: 'sip:a@b.example', headers: {X-A: '${PW} ${LEAK}-{{.Trunk}}${PW}', X-B: plain}}]"), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"[redacted] [redacted]-trunk[redacted]", "plain"} {
		h := cfg.Targets[0].Headers[i]
		text, err := h.Value.Render(template.SampleVars(false))
		if got := h.Value.Redact(text); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

// The remedy for a line with several odd spaces is the same each time.
func TestOddSpaces(t *testing.T) {
	for range 50 {
		if got := oddSpace([]byte("a:\u200b\u202f\u00a0b")); got != "write a plain space in place of a no-break space (U+00A0), which is byte 9 of the line" {
			t.Fatal(got)
		}
	}
}
