//go:build e2e

package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"flowbridge/sim/siptest"
)

// TestCompatible checks that the names promised in docs/compatibility.md still exist: each key of the configuration and
// of the chart, each path and field of the API, each metric with its labels, each column of the CSV.
func TestCompatible(t *testing.T) {
	const config = `
sip: {listen: ["udp://127.0.0.1:0"]}
media: {listen: ["127.0.0.1"]}
store: {path: calls.db}
admin: {listen: "127.0.0.1:0"}
`
	before := promised(t, predecessorSource)
	before["columns"] = columns(startPredecessor(t, t.TempDir(), config))
	now := promised(t, "../../..")
	now["columns"] = columns(startServer(t, t.TempDir(), config))
	for subject, names := range before {
		if len(names) < 20 {
			t.Errorf("%s: only %d names", subject, len(names))
		}
		for _, name := range names {
			if !slices.Contains(now[subject], name) {
				t.Errorf("%s: %s is gone; docs/compatibility.md promises that it stays", subject, name)
			}
		}
	}
}

// TestConfigurationsLoad checks that this build takes each configuration of the release's documents that the release
// itself takes.
func TestConfigurationsLoad(t *testing.T) {
	dir := t.TempDir()
	secret, sound := filepath.Join(dir, "secret"), filepath.Join(dir, "sound.wav")
	must(t, os.WriteFile(secret, []byte("c2VjcmV0LXdpdGgtMzItY2hhcmFjdGVycy1hbmQtbW9yZS4=\n"), 0o600))
	must(t, os.WriteFile(sound, wav(make([]int16, 8000)), 0o600))
	var configurations []string
	for _, pattern := range []string{"docs/examples/*.yaml", "docs/*.md", "docs/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(predecessorSource, pattern))
		must(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			must(t, err)
			if strings.HasSuffix(file, ".yaml") {
				configurations = append(configurations, string(text))
			}
			for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
				configurations = append(configurations, block[1])
			}
		}
	}
	ca := siptest.NewAuthority(t, "node").File
	files := strings.NewReplacer("/etc/flowbridge/key.pem", ca+".key", "/etc/flowbridge/please-wait.wav", sound,
		"/etc/flowbridge/numbers.csv", filepath.Join(predecessorSource, "docs/examples/numbers.csv"))
	loaded := 0
	for _, text := range configurations {
		text = regexp.MustCompile(`/run/secrets/[\w-]+|\b[a-z]+\.token\b|/etc/flowbridge/seat.key`).ReplaceAllString(text, secret)
		text = regexp.MustCompile(`/etc/flowbridge/(cert|carriers|ca|sti-roots)\.pem`).ReplaceAllString(files.Replace(text), ca)
		env := append(os.Environ(), raceEnv)
		for _, name := range regexp.MustCompile(`(?:\$\{|_env: )(\w+)`).FindAllStringSubmatch(text, -1) {
			env = append(env, name[1]+"=1")
		}
		check := func(program string) (string, error) {
			cmd := exec.Command(program, "check", "--elsewhere", "--config", "-")
			cmd.Env, cmd.Stdin = env, strings.NewReader(text)
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if _, err := check(predecessor); err != nil {
			continue // it needs what is not here
		}
		loaded++
		if out, err := check(program); err != nil {
			t.Errorf("%v: %s\n%s", err, out, text)
		}
	}
	if loaded < 50 {
		t.Errorf("the release takes only %d of %d configurations", loaded, len(configurations))
	}
}

// promised returns the names that the files of a version's source promise.
func promised(t *testing.T, source string) map[string][]string {
	t.Helper()
	text := func(file string) []byte {
		text, err := os.ReadFile(filepath.Join(source, file))
		must(t, err)
		return text
	}
	all := map[string][]string{}
	for subject, file := range map[string]string{
		"configuration": "docs/flowbridge.schema.json", "API": "admin/openapi.yaml", "chart": "contrib/helm/flowbridge/values.schema.json",
	} {
		var tree any
		must(t, yaml.Unmarshal(text(file), &tree)) // JSON is YAML
		all[subject] = namesIn(tree, "")
	}
	for _, cause := range regexp.MustCompile(`(?m)^- name: (\w+)`).FindAllStringSubmatch(string(text("b2bua/cause/causes.yaml")), -1) {
		all["causes"] = append(all["causes"], cause[1])
	}
	for _, metric := range regexp.MustCompile("(?m)^\\| `(flowbridge_\\w+)(?:\\{(.*?)\\})?`").FindAllStringSubmatch(string(text("docs/metrics.md")), -1) {
		all["metrics"] = append(all["metrics"], metric[1])
		for label := range strings.SplitSeq(metric[2], ", ") {
			all["metrics"] = append(all["metrics"], metric[1]+" "+label)
		}
	}
	return all
}

// namesIn returns the paths of the names in a JSON schema or an OpenAPI file: properties, paths with their methods and
// parameters, schemas.
func namesIn(tree any, path string) (names []string) {
	if list, ok := tree.([]any); ok {
		for _, item := range list {
			names = append(names, namesIn(item, path)...)
		}
	}
	node, _ := tree.(map[string]any)
	if name, ok := node["name"].(string); ok && node["in"] != nil {
		names = append(names, path+" parameter "+name)
	}
	for _, key := range slices.Sorted(maps.Keys(node)) {
		children, ok := node[key].(map[string]any)
		switch {
		case ok && slices.Contains([]string{"properties", "paths", "schemas"}, key):
			for name, child := range children {
				names = append(names, path+"."+name)
				names = append(names, namesIn(child, path+"."+name)...)
			}
		case ok && slices.Contains([]string{"get", "post", "put", "patch", "delete"}, key):
			names = append(names, path+" "+key)
			names = append(names, namesIn(children, path+" "+key)...)
		default:
			names = append(names, namesIn(node[key], path)...)
		}
	}
	return names
}

// columns returns the first line of the records as CSV.
func columns(s *server) []string {
	s.t.Helper()
	line, _, _ := strings.Cut(s.text("/api/cdrs?format=csv"), "\n")
	return strings.Split(line, ",")
}
