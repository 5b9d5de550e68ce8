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

func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// subsection is a section within s, or within the elements of a list; path is extended for a list.
func subsection(s object, path string) (object, string) {
	if items, ok := s.get("items").(object); ok {
		s, path = items, path+"[]"
	}
	if p, ok := s.get("properties").(object); ok {
		return p, path
	}
	return nil, path
}

// referenceTables is a table for each section. Sections with the same keys share one.
func referenceTables(t *testing.T) string {
	t.Helper()
	d, err := descriptions()
	if err != nil {
		t.Fatal(err)
	}
	type table struct {
		paths []string
		rows  string
	}
	var tables []*table
	var walk func(s object, path string)
	walk = func(s object, path string) {
		properties, path := subsection(s, path)
		if items, ok := s.get("items").(object); ok {
			s = items
		}
		required, _ := s.get("required").([]string)
		var rows strings.Builder
		for _, m := range properties {
			v, _ := m.value.(object)
			fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", m.name, typeOf(v), defaultOf(v, slices.Contains(required, m.name)),
				regexp.MustCompile(`(^|[ (\[])("[^"]*"|\[[^\]]*\])`).ReplaceAllString(strings.ReplaceAll(fmt.Sprint(v.get("description")), "|", `\|`), "$1`$2`"))
		}
		same := slices.IndexFunc(tables, func(t *table) bool { return t.rows == rows.String() })
		if same >= 0 {
			tables[same].paths = append(tables[same].paths, path)
		} else {
			tables = append(tables, &table{[]string{path}, rows.String()})
		}
		for _, m := range properties {
			if v, _ := m.value.(object); v != nil {
				if p, _ := subsection(v, ""); p != nil {
					walk(v, join(path, m.name))
				}
			}
		}
	}
	walk(d.section(typeConfig), "")
	var b strings.Builder
	for _, t := range tables {
		title := "Sections"
		if t.paths[0] != "" {
			title = strings.Join(t.paths, ", ")
		}
		fmt.Fprintf(&b, "\n### %s\n\n| key | value | default | meaning |\n|---|---|---|---|\n%s", title, t.rows)
	}
	return b.String() + "\n"
}

func typeOf(s object) string {
	if items, ok := s.get("items").(object); ok {
		return "list: " + typeOf(items)
	}
	if _, ok := s.get("properties").(object); ok {
		return "section"
	}
	if inner, ok := s.get("additionalProperties").(object); ok {
		return "name: " + typeOf(inner)
	}
	if any, ok := s.get("anyOf").([]object); ok {
		values, _ := any[0].get("enum").([]string)
		return strings.Join(values, ", ")
	}
	title, _ := s.get("title").(string)
	switch title {
	case integerType:
		return fmt.Sprintf("%v to %v", s.get("minimum"), s.get("maximum"))
	case "":
		return "mapping"
	}
	return title
}

func defaultOf(s object, required bool) string {
	switch v := s.get("default").(type) {
	case []string:
		if len(v) == 0 {
			return "none"
		}
		return "`" + strings.Join(v, "`, `") + "`"
	case nil:
		if required {
			return "required"
		}
		return ""
	default:
		return fmt.Sprintf("`%s`", v)
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

// around gives a file with value at a path, and what has to stand beside it so that it is read.
func around(path []string, value any) any {
	for i, p := range slices.Backward(path) {
		if p == "[]" {
			value = []any{value}
			continue
		}
		m := map[string]any{}
		switch {
		case i == 2 && path[0] == "hooks" && path[1] != "tls":
			m["listen"] = "127.0.0.1:8081"
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
	var all Errors
	if errors.As(err, &all) {
		for _, e := range all {
			if e.Path == at && (e.Problem[0] == '"' || strings.HasPrefix(e.Problem, "must be")) { // else it concerns another key, too
				parser = errors.Join(parser, e)
			}
		}
	}
	var bad *jsonschema.ValidationError
	if errors.As(s.Validate(instance(t, text)), &bad) {
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

// TestSchemaHasTheParsersKeys: in each section, the keys that the parser names are those of the schema, in both directions.
func TestSchemaHasTheParsersKeys(t *testing.T) {
	d, err := descriptions()
	if err != nil {
		t.Fatal(err)
	}
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

// parserKeys are those that the parser names for a section.
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
		case kind.number:
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
