package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
)

const root = "../.."

// TestImports holds the packages to the table in ARCHITECTURE.md.
func TestImports(t *testing.T) {
	allowed := map[string][]string{
		"b2bua": {
			"audio", "b2bua/cause", "b2bua/leg", "b2bua/message", "b2bua/outbound", "b2bua/peers", "b2bua/sdp", "b2bua/transport", "config", "media", "recording", "store",
		},
		"b2bua/transport":          {"b2bua/cause", "b2bua/leg", "b2bua/message", "b2bua/peers", "config"},
		"b2bua/outbound":           {"b2bua/leg", "b2bua/message", "b2bua/peers", "config"},
		"b2bua/peers":              {"audio", "b2bua/leg", "b2bua/message", "config", "store"},
		"b2bua/leg":                {"b2bua/cause", "b2bua/message", "b2bua/sdp", "config", "media"},
		"b2bua/sdp":                {"b2bua/message", "config", "media"},
		"b2bua/cause":              {"b2bua/message"},
		"b2bua/message":            {"config"},
		"audio":                    {},
		"media":                    {"audio"},
		"recording":                {"audio", "media"},
		"synthflow":                {"internal/httpd", "internal/rest"},
		"twilio":                   {"internal/httpd"},
		"vapi":                     {"internal/httpd", "internal/rest"},
		"internal/httpd":           {},
		"internal/rest":            {},
		"internal/yamledit":        {},
		"config":                   {"audio", "twilio"},
		"store":                    {},
		"admin":                    {"internal/httpd", "store"},
		"hooks":                    {"internal/httpd"},
		"cmd/flowbridge/cli":       {"config"},
		"cmd/flowbridge/node":      {"admin", "b2bua", "b2bua/cause", "b2bua/peers", "b2bua/transport", "cmd/flowbridge/cli", "config", "hooks", "internal/rest", "media", "recording", "store", "synthflow", "twilio", "vapi"},
		"cmd/flowbridge/check":     {"b2bua", "b2bua/transport", "cmd/flowbridge/cli", "config", "internal/rest", "synthflow", "vapi"},
		"cmd/flowbridge/explain":   {"b2bua", "b2bua/cause", "b2bua/peers", "cmd/flowbridge/cli", "cmd/flowbridge/node", "config"},
		"cmd/flowbridge/testcall":  {"b2bua", "b2bua/transport", "cmd/flowbridge/cli", "cmd/flowbridge/node", "config", "sim", "store"},
		"cmd/flowbridge/provision": {"cmd/flowbridge/cli", "cmd/flowbridge/testcall", "config", "internal/rest", "internal/yamledit", "synthflow", "vapi"},
		"sim":                      {"audio"},

		"sim/internal/standin": {"internal/httpd", "internal/rest", "sim"},
		"sim/synthflow":        {"sim", "sim/internal/standin", "synthflow"},
		"sim/twilio":           {"sim", "sim/internal/standin"},
		"sim/vapi":             {"sim", "sim/internal/standin"},
		"internal/memnet":      {},
	}
	for pkg, may := range allowed {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "flowbridge/"+pkg).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", pkg, err)
		}
		for line := range strings.Lines(string(out)) {
			name, ours := strings.CutPrefix(strings.TrimSpace(line), "flowbridge/")
			if ours && !slices.Contains(may, name) {
				t.Errorf("%s imports %s", pkg, name)
			}
		}
	}
}

// TestCallsHaveNoLocks: nothing but its own goroutine touches a call, so
// there is nothing to lock.
func TestCallsHaveNoLocks(t *testing.T) {
	for _, pattern := range []string{"call*.go", "leg/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, "b2bua", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			if text := read(t, file); !strings.HasSuffix(file, "_test.go") && regexp.MustCompile(`\b(sync|atomic)\.`).MatchString(text) {
				t.Errorf("%s uses sync or atomic", file)
			}
		}
	}
}

// TestEveryCauseIsExplained: docs/causes.md has a row for each cause, and for
// nothing else.
func TestEveryCauseIsExplained(t *testing.T) {
	text := read(t, filepath.Join(root, "docs/causes.md"))
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(text, -1) {
		rows[m[1]] = true
	}
	for _, c := range cause.Causes() {
		if !rows[string(c)] {
			t.Errorf("docs/causes.md does not explain %s", c)
		}
		delete(rows, string(c))
	}
	for c := range rows {
		t.Errorf("docs/causes.md explains %s, which does not exist", c)
	}
}

// TestExamplesAreValid parses each YAML example and each YAML block of the
// documents that is a whole configuration.
func TestExamplesAreValid(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(string) (string, bool) { return "secret", true }
	cert, key := writeCertificate(t)
	secrets := regexp.MustCompile(`/run/secrets/[a-z-]+|twilio\.token`)
	files := strings.NewReplacer("/etc/flowbridge/cert.pem", cert,
		"/etc/flowbridge/key.pem", key, "/etc/flowbridge/carriers.pem", cert)
	parse := func(name, text string) {
		t.Helper()
		text = files.Replace(secrets.ReplaceAllString(text, secret))
		if _, err := config.Parse(name, []byte(text), env); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	examples, err := filepath.Glob(filepath.Join(root, "docs/examples/*.yaml"))
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range examples {
		parse(file, read(t, file))
	}
	for _, pattern := range []string{"README.md", "docs/configuration.md", "docs/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
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

// TestLinksLead: what the documents name of each other is there.
func TestLinksLead(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(read(t, file), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			}
		}
	}
}

// writeCertificate makes a certificate and its key, as files.
func writeCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", keyDER)
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
