package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"flowbridge/internal/docs"
)

// releasedNames has the newest release in its first line, and below it the names that this release has.
const releasedNames = "../../scripts/internal/released-names"

// TestDocsNameWhatIsReleased checks that README and docs name only what the newest release has, or mark it: "(from 1.3)".
// A reader installs that release. With -update, it writes the names of the present code as those of the newest heading
// in CHANGELOG.md, which is right only in the commit of a release. docs/contributing.md says how to mark.
func TestDocsNameWhatIsReleased(t *testing.T) {
	now := namesNow(t)
	if *update {
		must(t, os.WriteFile(releasedNames, []byte(docs.LastRelease()+"\n"+strings.Join(now, "\n")+"\n"), 0o644))
	}
	version, released := readReleased(t)
	if version != docs.LastRelease() {
		t.Fatalf("%s has the names of %s, and CHANGELOG.md the release %s; write them: "+
			"go test ./cmd/flowbridge -run TestDocsNameWhatIsReleased -update", releasedNames, version, docs.LastRelease())
	}
	n := newNames(now, released)
	files, err := filepath.Glob("../../docs/*/*.md")
	must(t, err)
	for _, pattern := range []string{"../../README.md", "../../docs/*.md", "../../docs/examples/*.yaml"} {
		more, err := filepath.Glob(pattern)
		must(t, err)
		files = append(files, more...)
	}
	if len(files) < 50 {
		t.Fatalf("only %d documents", len(files))
	}
	for _, file := range files {
		if filepath.Base(file) == "contributing.md" {
			continue // its reader has the present code
		}
		text, err := os.ReadFile(file)
		must(t, err)
		for _, wrong := range n.unmarked(file, string(text), version) {
			t.Errorf("%s:%s", file, wrong)
		}
	}
}

func readReleased(t *testing.T) (version string, names []string) {
	t.Helper()
	text, err := os.ReadFile(releasedNames)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) < 1000 {
		t.Fatalf("%s has only %d lines", releasedNames, len(lines))
	}
	return lines[0], lines[1:]
}

// namesNow returns what users of this version can write or meet, each with its kind: "command flowbridge calls list",
// "flag flowbridge calls list --json", "setting targets.kind", "setting targets.kind=sip", "api GET /api/calls",
// "metric flowbridge_calls_open", "alert FlowbridgeDown", and each "word hold" of the API, which a command or a key that
// comes later may share.
func namesNow(t *testing.T) []string {
	t.Helper()
	text := func(file string) []byte {
		text, err := os.ReadFile(filepath.Join("../..", file))
		must(t, err)
		return text
	}
	names := commandNames(command())
	var schema map[string]any
	must(t, json.Unmarshal(text("docs/flowbridge.schema.json"), &schema))
	names = append(names, settingNames(schema, "")...)
	var api map[string]any
	must(t, yaml.Unmarshal(text("admin/openapi.yaml"), &api))
	names = append(names, apiNames(api)...)
	for _, m := range regexp.MustCompile("(?m)^\\| `(flowbridge_\\w+)").FindAllSubmatch(text("docs/metrics.md"), -1) {
		names = append(names, "metric "+string(m[1]))
	}
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)`).FindAllSubmatch(text("contrib/prometheus/flowbridge.rules.yml"), -1) {
		names = append(names, "alert "+string(m[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// apiNames returns the paths of an OpenAPI file with their methods, and the words that its answers and paths have.
func apiNames(tree any) (names []string) {
	for _, item := range list(tree) {
		names = append(names, apiNames(item)...)
	}
	node, _ := tree.(map[string]any)
	for _, word := range list(node["enum"]) {
		names = append(names, fmt.Sprint("word ", word))
	}
	for key, value := range node {
		below, _ := value.(map[string]any)
		for name := range below {
			switch {
			case key == "properties":
				names = append(names, "word "+name)
			case strings.HasPrefix(key, "/") && name != "parameters":
				names = append(names, "api "+strings.ToUpper(name)+" "+key, "word "+path.Base(key))
			}
		}
		names = append(names, apiNames(value)...)
	}
	return names
}

func commandNames(c *cobra.Command) (names []string) {
	for _, sub := range c.Commands() {
		if sub.Hidden {
			continue
		}
		names = append(names, "command "+sub.CommandPath())
		for _, flags := range []*pflag.FlagSet{sub.Flags(), sub.InheritedFlags()} {
			flags.VisitAll(func(f *pflag.Flag) {
				if !f.Hidden {
					names = append(names, "flag "+sub.CommandPath()+" --"+f.Name)
				}
			})
		}
		names = append(names, commandNames(sub)...)
	}
	return names
}

// settingNames returns the keys below a path of a JSON schema, and the words that a key accepts.
func settingNames(schema map[string]any, path string) (names []string) {
	if items, ok := schema["items"].(map[string]any); ok {
		return settingNames(items, path)
	}
	for _, one := range append(list(schema["anyOf"]), schema) {
		one, _ := one.(map[string]any)
		for _, word := range list(one["enum"]) {
			if word, ok := word.(string); ok {
				names = append(names, "setting "+path+"="+word)
			}
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		below := strings.TrimPrefix(path+"."+key, ".")
		property, _ := properties[key].(map[string]any)
		names = append(append(names, "setting "+below), settingNames(property, below)...)
	}
	return names
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}
