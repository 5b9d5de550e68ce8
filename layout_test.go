package flowbridge_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// layout lists the packages of this module that each package may import. A package imports only packages below it
// in its block of the table.
var layout = map[string]string{
	"cmd/flowbridge":                "b2bua/locate b2bua/transport cmd/flowbridge/check cmd/flowbridge/cli cmd/flowbridge/compare cmd/flowbridge/explain cmd/flowbridge/node cmd/flowbridge/operate cmd/flowbridge/provision cmd/flowbridge/scenario cmd/flowbridge/testcall config internal/docs internal/httpd internal/local internal/rest media/recording sim sim/bot sim/platform sim/synthflow sim/twilio sim/vapi sim/whatsapp store store/fleet store/receipt store/record",
	"cmd/flowbridge/provision":      "cmd/flowbridge/cli cmd/flowbridge/profiles cmd/flowbridge/testcall config config/template internal/local internal/rest internal/yamledit platform/vapi synthflow",
	"cmd/flowbridge/scenario":       "b2bua/ladder cmd/flowbridge/cli cmd/flowbridge/compare cmd/flowbridge/node cmd/flowbridge/testcall config media/audio media/voice media/voice/turns sim store/record",
	"cmd/flowbridge/testcall":       "b2bua/ladder cmd/flowbridge/cli cmd/flowbridge/node config internal/local sim store/record",
	"cmd/flowbridge/explain":        "b2bua b2bua/cause b2bua/peers b2bua/report cmd/flowbridge/check cmd/flowbridge/cli cmd/flowbridge/node config config/template",
	"cmd/flowbridge/node":           "admin b2bua b2bua/bridge b2bua/cause b2bua/circuit b2bua/ladder b2bua/outbound b2bua/peers b2bua/prepare b2bua/reach b2bua/redirected b2bua/registration b2bua/registry b2bua/snapshot b2bua/stir b2bua/transport cmd/flowbridge/check cmd/flowbridge/cli cmd/flowbridge/compare cmd/flowbridge/follow cmd/flowbridge/node/resources cmd/flowbridge/node/watchdog config config/template config/twiml gateway gateway/browser internal/acme internal/handover internal/httpd internal/local internal/periodic internal/processors internal/publicaddr internal/rest internal/tracecontext media media/kernel media/recording platform/hooks platform/openai platform/twilio platform/vapi sim/platform store store/fleet store/receipt store/record store/webhook synthflow telemetry telemetry/hep telemetry/live telemetry/otlp",
	"cmd/flowbridge/node/resources": "internal/periodic internal/processors telemetry",
	"cmd/flowbridge/node/watchdog":  "internal/periodic telemetry",
	"cmd/flowbridge/check":          "b2bua/locate b2bua/prepare b2bua/transport cmd/flowbridge/cli cmd/flowbridge/profiles config config/template gateway internal/acme internal/local internal/publicaddr internal/rest media/kernel platform/vapi store/fleet synthflow",
	"cmd/flowbridge/operate":        "admin b2bua/ladder cmd/flowbridge/cli cmd/flowbridge/profiles config store/record telemetry/live",
	"cmd/flowbridge/compare":        "store/record",
	"cmd/flowbridge/follow":         "config store/record",
	"cmd/flowbridge/profiles":       "sim/platform",
	"cmd/flowbridge/cli":            "config internal/docs",

	"b2bua":              "b2bua/agreement b2bua/bridge b2bua/call b2bua/cause b2bua/ladder b2bua/leg b2bua/message b2bua/outbound b2bua/peers b2bua/redirected b2bua/registrar b2bua/registration b2bua/registry b2bua/report b2bua/snapshot b2bua/stir b2bua/transaction b2bua/transport config internal/coroutine internal/parallel internal/processors media media/dtls media/recording store/record",
	"b2bua/call":         "b2bua/bridge b2bua/cause b2bua/circuit b2bua/inbox b2bua/ladder b2bua/leg b2bua/message b2bua/outbound b2bua/peers b2bua/reach b2bua/registrar b2bua/registry b2bua/report b2bua/sdp b2bua/snapshot b2bua/stir b2bua/transaction b2bua/transport config config/template internal/coroutine internal/tracecontext media media/answerer store/record",
	"b2bua/calltest":     "",
	"b2bua/bridge":       "b2bua/agreement b2bua/cause b2bua/snapshot b2bua/ladder b2bua/leg b2bua/message b2bua/outbound b2bua/peers b2bua/registry b2bua/sdp config media media/answerer media/audio media/dtls media/recording media/voice/turns store/record",
	"b2bua/reach":        "b2bua/cause b2bua/circuit b2bua/leg b2bua/locate b2bua/message b2bua/outbound b2bua/peers b2bua/registrar b2bua/transport config config/template internal/coroutine store/record",
	"b2bua/locate":       "internal/coroutine",
	"b2bua/circuit":      "",
	"b2bua/redirected":   "b2bua/cause b2bua/message b2bua/outbound b2bua/peers config config/template internal/tracecontext store/record",
	"b2bua/registrar":    "b2bua/message config store/record",
	"b2bua/registration": "b2bua/cause b2bua/leg b2bua/locate b2bua/message b2bua/transport config",
	"b2bua/registry":     "b2bua/leg b2bua/message b2bua/outbound b2bua/peers config/template store/record",
	"b2bua/inbox":        "b2bua/leg b2bua/transport",
	"b2bua/report":       "b2bua/bridge b2bua/cause b2bua/leg b2bua/message b2bua/outbound b2bua/peers b2bua/sdp b2bua/stir b2bua/transport config config/template",
	"b2bua/agreement":    "b2bua/cause b2bua/peers b2bua/sdp config media media/latch",
	"b2bua/snapshot":     "b2bua/agreement b2bua/cause b2bua/leg b2bua/message b2bua/sdp b2bua/transport media store/record",
	"b2bua/ladder":       "b2bua/cause b2bua/leg b2bua/message b2bua/transport media media/recording media/voice/turns",
	"b2bua/transport":    "b2bua/cause b2bua/leg b2bua/locate b2bua/message b2bua/peers b2bua/transaction config internal/coroutine",
	"b2bua/transaction":  "b2bua/message",
	"b2bua/outbound":     "b2bua/cause b2bua/circuit b2bua/leg b2bua/message b2bua/peers b2bua/stir config config/template internal/tracecontext store/record",
	"b2bua/peers":        "b2bua/cause b2bua/circuit b2bua/leg b2bua/message config config/template media/audio store/record",
	"b2bua/leg":          "b2bua/cause b2bua/message b2bua/sdp config media",
	"b2bua/sdp":          "b2bua/message config media media/dtls media/ice",
	"b2bua/cause":        "b2bua/message",
	"b2bua/message":      "config config/template",

	"media/recording": "internal/processors media media/audio media/packet",
	"media":           "internal/local internal/processors media/answerer media/audio media/ice media/kernel media/latch media/opus media/packet media/quality media/stage media/stream media/voice media/voice/turns",
	"media/dtls":      "media",
	"media/kernel":    "media/voice",
	"media/ice":       "",
	"media/latch":     "media/packet",
	"media/packet":    "",
	"media/opus":      "",
	"media/stage":     "media/answerer media/audio media/kernel media/opus media/packet media/stream media/voice media/voice/turns",
	"media/stream":    "media/kernel media/packet media/quality",
	"media/quality":   "",
	"config":          "config/template config/twiml internal/local media/audio",
	"config/template": "",
	"config/twiml":    "",
	"store/fleet":     "internal/parallel store/record",
	"store":           "internal/parallel internal/processors store/record",
	"store/record":    "",
	"store/receipt":   "store/record",
	"b2bua/stir":      "internal/local",
	"media/audio":     "",

	"media/voice/turns": "media/voice",
	"media/voice":       "",
	"media/answerer":    "media/audio media/voice",
	"sim/conversation":  "media/audio media/voice media/voice/turns sim/speech",
	"sim/speech":        "",

	"telemetry":      "store/record telemetry/live",
	"telemetry/hep":  "",
	"telemetry/otlp": "internal/rest internal/tracecontext store/record",
	"telemetry/live": "store/record",

	"admin":           "internal/docs internal/httpd store/record telemetry/live",
	"gateway":         "gateway/dialog internal/local media/audio",
	"gateway/browser": "gateway/dialog",
	"gateway/dialog":  "",
	"platform/hooks":  "internal/httpd",
	"platform/openai": "internal/httpd internal/rest",
	"b2bua/prepare":   "config config/template internal/rest",
	"synthflow":       "internal/httpd internal/rest",
	"platform/vapi":   "internal/httpd internal/rest",
	"platform/twilio": "config/twiml internal/httpd",
	"store/webhook":   "internal/rest store/record",

	"sim/synthflow":        "sim sim/internal/standin synthflow",
	"sim/bot":              "media/audio sim/speech",
	"sim/vapi":             "sim sim/internal/standin",
	"sim/platform":         "platform/openai sim sim/internal/standin",
	"sim/twilio":           "platform/twilio sim sim/internal/standin",
	"sim/whatsapp":         "media/opus sim",
	"sim/internal/standin": "internal/httpd internal/rest sim",
	"sim":                  "internal/local media/audio sim/speech",

	"internal/acme":         "internal/httpd",
	"internal/handover":     "",
	"internal/local":        "",
	"internal/publicaddr":   "internal/local",
	"internal/rest":         "internal/coroutine",
	"internal/httpd":        "",
	"internal/yamledit":     "",
	"internal/logmessage":   "",
	"internal/docs":         "", // imports the root, which only embeds the documents
	"internal/tracecontext": "",
	"internal/memnet":       "",
	"internal/parallel":     "",
	"internal/periodic":     "",
	"internal/coroutine":    "",
	"internal/processors":   "",
	"sim/siptest":           "media",
	"internal/stirtest":     "",
	"internal/openapitest":  "",
	"internal/pgtest":       "",
	"internal/testlog":      "",
	"cmd/flowbridge/e2e":    "",
}

// knowsSIP lists the packages that may import the SIP library: those of the B2BUA, and those that play the other
// end of its calls in tests. The latter deliberately use none of the B2BUA's packages.
const knowsSIP = "b2bua b2bua/bridge b2bua/call b2bua/reach b2bua/redirected b2bua/registrar b2bua/registration b2bua/registry b2bua/transport b2bua/transaction b2bua/outbound b2bua/report b2bua/peers b2bua/leg b2bua/message gateway gateway/browser gateway/dialog sim sim/siptest"

// TestImports checks that each package keeps to the layout.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}{{range .Deps}}{{if eq . "modernc.org/sqlite"}} {{.}}{{end}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{"flowbridge": true}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], "flowbridge/")
		may, known := layout[pkg]
		if seen[pkg] = true; !known && pkg != "flowbridge" {
			t.Errorf("%s has no place in the layout", pkg)
		}
		for _, imported := range fields[1:] {
			name, ours := strings.CutPrefix(imported, "flowbridge/")
			if ours && !slices.Contains(strings.Fields(may), name) {
				t.Errorf("%s imports %s", pkg, name)
			}
			if strings.HasPrefix(imported, "github.com/emiago/sipgo") && !slices.Contains(strings.Fields(knowsSIP), pkg) {
				t.Errorf("%s imports the SIP library", pkg)
			}
			if imported == "flowbridge" && pkg != "internal/docs" {
				t.Errorf("%s reads the documents; internal/docs does that for all", pkg)
			}
			if strings.HasPrefix(imported, "github.com/gopacket/") {
				t.Errorf("%s brings tables of 5 MB that each garbage collection goes through", pkg)
			}
			if imported == "modernc.org/sqlite" && pkg != "store" && !strings.HasPrefix(pkg, "cmd/") {
				t.Errorf("%s links SQLite", pkg)
			}
		}
	}
	for pkg := range layout {
		if !seen[pkg] {
			t.Errorf("the layout has %s, which does not exist", pkg)
		}
	}
}

// TestNoClientFollows checks that no HTTP client follows a redirect: an answer must not choose where a request goes.
// net/http's own client, and one without CheckRedirect, would follow.
func TestNoClientFollows(t *testing.T) {
	client := regexp.MustCompile(`(?s)http\.Client\{.*?\n\t*\}\n`)
	own := regexp.MustCompile(`http\.(Get|Post|PostForm|Head|DefaultClient|DefaultTransport)\b`)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case file == "scripts":
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text := read(t, file)
		for _, found := range append(client.FindAllString(text, -1), own.FindAllString(text, -1)...) {
			if !strings.Contains(found, "CheckRedirect") {
				t.Errorf("%s: %s follows redirects", file, found)
			}
		}
		if strings.Count(text, "http.Client{") != len(client.FindAllString(text, -1)) || strings.Contains(text, "new(http.Client)") {
			t.Errorf("%s: write a client so that this test can read it", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCallsHaveNoLocks checks that only the files named here use locks. Only the call's own goroutine uses a call
// and its legs, so they need no locks.
func TestCallsHaveNoLocks(t *testing.T) {
	locked := []string{"server.go"}
	var files []string
	for _, pattern := range []string{"b2bua/*.go", "b2bua/call/*.go", "b2bua/bridge/*.go", "b2bua/leg/*.go", "b2bua/sdp/*.go", "b2bua/outbound/*.go", "b2bua/cause/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	uses := regexp.MustCompile(`\b(sync|atomic)\.`)
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") && !slices.Contains(locked, filepath.Base(file)) && uses.MatchString(read(t, file)) {
			t.Errorf("%s uses sync or atomic", file)
		}
	}
}

// TestExamplesAreValid parses each YAML example, and each YAML block of the documents that is a complete
// configuration. None of them may cause a warning. For example, an expression for numbers must end with $.
func TestExamplesAreValid(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("c2VjcmV0LXdpdGgtMzItY2hhcmFjdGVycy1hbmQtbW9yZS4=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte("postgres://flowbridge:secret@127.0.0.1/flowbridge\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		if name == "NODE" { // in docs/examples/fleet.yaml
			return "1", true
		}
		return "secret", true
	}
	cert := siptest.NewAuthority(t, "node").File
	key := cert + ".key"
	secrets := regexp.MustCompile(`/run/secrets/(?:[a-ce-z-][a-z-]*)|twilio\.token`)
	files := strings.NewReplacer("/etc/flowbridge/cert.pem", cert,
		"/etc/flowbridge/please-wait.wav", writeSound(t), "/etc/flowbridge/key.pem", key, "/etc/flowbridge/carriers.pem", cert, "/etc/flowbridge/ca.pem", cert, "/etc/flowbridge/sti-roots.pem", cert, "/run/secrets/dsn", dsn, "/etc/flowbridge/dsn", dsn, "/etc/flowbridge/seat.key", secret, "/etc/flowbridge/numbers.csv", "docs/examples/numbers.csv")
	parse := func(name, text string) {
		t.Helper()
		text = files.Replace(secrets.ReplaceAllString(text, secret))
		if name == "docs/guides/test.md" {
			if _, err := config.ParseConversation(name, []byte(text)); err != nil {
				t.Error(err)
			}
			return
		}
		cfg, err := config.Parse(name, []byte(text), env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if len(cfg.Warnings) > 0 {
			t.Errorf("%s: warnings: %v", name, cfg.Warnings)
		}
	}
	examples, err := filepath.Glob("docs/examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range examples {
		parse(file, read(t, file))
	}
	for _, pattern := range []string{"docs/configuration.md", "docs/fleet.md", "docs/*/*.md"} { // TestReadme runs that of the README
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, file), -1)
			if len(blocks) == 0 {
				t.Errorf("%s shows no configuration", file)
			}
			for _, b := range blocks {
				parse(file, b[1])
			}
		}
	}
}

// writeSound writes a WAV file with one second of silence in G.711: the RIFF header, the format and the samples.
func writeSound(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sound.wav")
	data := append([]byte("RIFF\x64\x1f\x00\x00WAVEfmt \x10\x00\x00\x00\x07\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x40\x1f\x00\x00"),
		bytes.Repeat([]byte{0xff}, 8000)...)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestBuildUsesProfile checks that the build finds the CPU profile of scripts/pgo, and that the file is small and
// names no files of the machine that recorded it.
func TestBuildUsesProfile(t *testing.T) {
	const profile = "cmd/flowbridge/default.pgo"
	st, err := os.Stat(profile)
	if err != nil || st.Size() > 2<<20 {
		t.Fatalf("%v; want at most 2 MB. scripts/pgo records it", err)
	}
	steps, err := exec.Command("go", "build", "-n", "-a", "-o", os.DevNull, "./cmd/flowbridge").CombinedOutput()
	if err != nil {
		t.Fatalf("go build -n: %v\n%s", err, steps)
	}
	if !strings.Contains(string(steps), filepath.FromSlash(profile)) || !strings.Contains(string(steps), "-pgoprofile=") {
		t.Errorf("the build does not use %s", profile)
	}
	samples, err := exec.Command("go", "tool", "pprof", "-raw", "-symbolize=none", profile).Output()
	if err != nil {
		t.Fatalf("go tool pprof: %v", err)
	}
	if path := regexp.MustCompile(` /\S+\.go:`).Find(samples); path != nil {
		t.Errorf("%s names files of the machine that recorded it:%s scripts/pgo leaves them out", profile, path)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
