package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

//go:generate go test . -run TestGenerated -update

// TestGenerated: the schema and the tables of the reference are what the declarations say. With -update they are written.
func TestGenerated(t *testing.T) {
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	generated(t, "../docs/flowbridge.schema.json", func([]byte) []byte { return schema })
	generated(t, "../docs/configuration.md", func(text []byte) []byte {
		begin, end := []byte("<!-- begin of the generated reference -->\n"), []byte("<!-- end of the generated reference -->\n")
		i, j := bytes.Index(text, begin), bytes.Index(text, end)
		if i < 0 || j < i {
			t.Fatal("docs/configuration.md has no place for the reference")
		}
		return slices.Concat(text[:i], begin, []byte(referenceTables(t)), text[j:])
	})
}

func generated(t *testing.T, file string, want func(got []byte) []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	text := want(got)
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), string(got)); diff != "" {
		t.Errorf("%s is not what is declared; run go generate ./config: want - got +\n%s", file, diff)
	}
}

// compiled is the schema for a validator of another author.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("flowbridge.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("flowbridge.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a file as the validator wants it.
func instance(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if v == nil {
		v = map[string]any{}
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestSchemaTakesExamples: what the parser takes, the schema takes. Each example names the schema for editors.
func TestSchemaTakesExamples(t *testing.T) {
	s := compiled(t)
	for _, pattern := range []string{"testdata/good/*.yaml", "../docs/examples/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(instance(t, text)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			line, _, _ := strings.Cut(string(text), "\n")
			if named, ok := strings.CutPrefix(line, "# yaml-language-server: $schema="); strings.Contains(pattern, "examples") {
				if _, err := os.Stat(filepath.Join(filepath.Dir(file), named)); !ok || err != nil {
					t.Errorf("%s: the first line names no schema: %s", file, line)
				}
			}
		}
	}
}

// leaf is a key with a single value, or with a list of them.
type leaf struct {
	path []string // with "[]" for an element of a list
	k    key
}

// leaves are all of them, and sections are the keys of each mapping.
func leaves(t *testing.T) (all []leaf, sections map[string][]string) {
	t.Helper()
	sections = map[string][]string{}
	var walk func(s section, path []string)
	walk = func(s section, path []string) {
		var names []string
		for _, k := range s.keys {
			names = append(names, k.names()...)
			declared, nested := sectionType(elementType(k.field.Type))
			at := slices.Concat(path, []string{k.name})
			if isList(k.field.Type) {
				at = append(at, "[]")
			}
			if nested {
				walk(section{keys: keysOf(declared)}, at)
			} else if len(k.names()) == 1 {
				all = append(all, leaf{at, k})
			}
		}
		sections[strings.Join(path, "/")] = names
	}
	walk(section{keys: keysOf(typeConfig)}, nil)
	return all, sections
}

// budgets are how many settings each section of the file has, with those of the sections in it. A change may raise one
// for new kinds of targets (6 settings in all such changes), browser calls (3) and telling (7), hence planned. Any other
// new setting takes the place of one that hardly anybody sets.
var budgets = map[string]int{
	"": 2, "sip": 15, "media": 9, "recording": 5, "trunks": 55, "targets": 69, "routes": 38, "admin": 9, "hooks": 34,
	"store": 3, "webhooks": 3, "telemetry": 4, "log": 2, "fleet": 7,
}

const planned = 6 + 3 + 7

// TestSettingsAreFew: a reader of the reference has to know each key. A list's keys count once, and the keys of trunks
// and targets for each.
func TestSettingsAreFew(t *testing.T) {
	const without = 239 // those planned
	_, sections := leaves(t)
	settings, sum := map[string]int{}, 0
	for at, names := range sections {
		top, inner, _ := strings.Cut(strings.TrimSuffix(at, "/[]"), "/")
		settings[top] += len(names)
		switch { // a section is a key of the one around it, and no setting
		case inner != "":
			settings[top]--
		case top != "":
			settings[""]--
		}
	}
	for top, n := range settings {
		if sum += n; n != budgets[top] {
			t.Errorf("section %q: %d settings; its budget is %d (a new one takes the place of one that hardly anybody sets)",
				top, n, budgets[top])
		}
	}
	if sum > without+planned {
		t.Errorf("%d settings; want at most %d", sum, without+planned)
	}
}

// around gives a file with value at a path, and what has to stand beside it so that it is read.
func around(path []string, value any) any {
	for i, p := range slices.Backward(path) {
		if p == "[]" {
			value = []any{value}
			continue
		}
		m := map[string]any{}
		switch {
		case i == 2 && path[0] == "targets":
			m["kind"] = KindSynthflow
		}
		m[p] = value
		value = m
	}
	return value
}

// judge says whether parser and schema complain of what stands at a path.
func judge(t *testing.T, s *jsonschema.Schema, path []string, value any) (parser, schema error) {
	t.Helper()
	doc := around(path, value)
	text, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.ReplaceAll(strings.Join(path, "."), ".[]", "[0]")
	_, err = Parse("x.yaml", text, testEnv)
	if all, ok := errors.AsType[Errors](err); ok {
		for _, e := range all {
			if e.Path == at && (e.Problem[0] == '"' || strings.HasPrefix(e.Problem, "must be")) { // else it concerns another key, too
				parser = errors.Join(parser, e)
			}
		}
	}
	if bad, ok := errors.AsType[*jsonschema.ValidationError](s.Validate(instance(t, text))); ok {
		schema = deep(bad, strings.Split(strings.ReplaceAll(strings.Join(path, "\x00"), "[]", "0"), "\x00"))
	}
	return parser, schema
}

// deep finds the complaint about what stands at a path.
func deep(e *jsonschema.ValidationError, path []string) error {
	if slices.Equal(e.InstanceLocation, path) {
		return e
	}
	for _, c := range e.Causes {
		if err := deep(c, path); err != nil {
			return err
		}
	}
	return nil
}

// TestSchemaHasTheParsersKeys: in each section, parser and schema have the same keys.
func TestSchemaHasTheParsersKeys(t *testing.T) {
	d := descriptions()
	s := compiled(t)
	_, sections := leaves(t)
	if len(sections) < 25 {
		t.Fatalf("only %d sections", len(sections))
	}
	for at := range sections {
		path := strings.FieldsFunc(at, func(r rune) bool { return r == '/' })
		schema := object{{"properties", d.section(typeConfig).get("properties")}}
		for _, p := range path {
			next := schema.get("items")
			if p != "[]" {
				properties, _ := schema.get("properties").(object)
				next = properties.get(p)
			}
			schema, _ = next.(object)
		}
		properties, _ := schema.get("properties").(object)
		var names []string
		for _, m := range properties {
			names = append(names, m.name)
			if parser, invalid := judgeKey(t, s, path, m.name); parser || invalid {
				t.Errorf("%s: %s is unknown: to the parser %t, to the schema %t", at, m.name, parser, invalid)
			}
		}
		slices.Sort(names)
		if got := parserKeys(t, path); !slices.Equal(got, names) {
			t.Errorf("%s: the parser knows %v, the schema %v", at, got, names)
		}
		if parser, invalid := judgeKey(t, s, path, "qqqqqqqqqqqq"); !parser || !invalid {
			t.Errorf("%s: a key that is unknown is taken: by the parser %t, by the schema %t", at, !parser, !invalid)
		}
	}
}

// judgeKey says whether parser and schema do not know a key.
func judgeKey(t *testing.T, s *jsonschema.Schema, section []string, name string) (parser, schema bool) {
	t.Helper()
	text, err := yaml.Marshal(around(slices.Concat(section, []string{name}), nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("x.yaml", text, testEnv)
	parser = err != nil && strings.Contains(err.Error(), name+": unknown key")
	err = s.Validate(instance(t, text))
	return parser, err != nil && strings.Contains(err.Error(), "additional properties '"+name+"' not allowed")
}

// parserKeys returns the keys that the parser names for a section.
func parserKeys(t *testing.T, section []string) []string {
	t.Helper()
	text, err := yaml.Marshal(around(slices.Concat(section, []string{"qqqqqqqqqqqq"}), nil))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("x.yaml", text, testEnv)
	m := regexp.MustCompile("qqqqqqqqqqqq: unknown key; the keys here are (.*)").FindStringSubmatch(fmt.Sprint(err))
	if m == nil {
		t.Fatalf("%v: %v", section, err)
	}
	names := strings.Split(m[1], ", ")
	slices.Sort(names)
	return names
}

// TestSchemaAndParserHoldBounds: both take a default, a bound and each value of an enum, and both refuse what is beyond.
func TestSchemaAndParserHoldBounds(t *testing.T) {
	s := compiled(t)
	all, _ := leaves(t)
	tried := 0
	for _, l := range all {
		kind := l.k.kind()
		var good, bad []any
		switch {
		case kind.title == integerType:
			good, bad = []any{kind.low, kind.high}, []any{kind.low - 1, kind.high + 1, "many", 1.5, true}
		case kind.title == boolType:
			good, bad = []any{true, false}, []any{"yes", 1}
		case kind.enum != nil:
			for _, v := range kind.enum {
				good = append(good, v)
			}
			bad = []any{"qqqq", 5, true}
		case slices.Equal(kind.types, number):
			bad = []any{kind.high + 1, -1, "qqqq"}
		case kind.pattern != "" && kind.pattern != ".":
			bad = []any{"\x00 qq\n", []any{"a"}, map[string]any{"a": "b"}}
		}
		if l.k.def != "" && !l.k.later {
			for text := range strings.SplitSeq(l.k.def, ", ") {
				good = append(good, text)
				if kind.title == integerType || kind.title == boolType {
					good = good[:len(good)-1]
				}
			}
		}
		for _, v := range good {
			parser, schema := judge(t, s, l.path, v)
			if schema != nil || parser != nil {
				t.Errorf("%v: %v is refused: parser %v, schema %v", l.path, v, parser, schema)
			}
			tried++
		}
		for _, v := range bad {
			parser, schema := judge(t, s, l.path, v)
			if parser == nil || schema == nil {
				t.Errorf("%v: %v is taken: parser %v, schema %v", l.path, v, parser, schema)
			}
			tried++
		}
	}
	if tried < 400 {
		t.Errorf("only %d values were tried", tried)
	}
}
