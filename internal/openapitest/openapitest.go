// Package openapitest holds answers of a server to its OpenAPI description. It is for tests.
package openapitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Spec is a description.
type Spec struct {
	doc map[string]any

	mu       sync.Mutex // guards what follows
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by their text
}

// at is the name of the description for the compiler.
const at = "openapi.json"

// Load reads a description. Its objects are taken to have no other members than those that they name: so an answer with
// a member that is not described is wrong.
func Load(description []byte) (*Spec, error) {
	s := &Spec{compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		return nil, err
	}
	closeObjects(doc)
	s.doc, _ = doc.(map[string]any)
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	return s, s.compiler.AddResource(at, doc)
}

// closeObjects refuses undescribed members.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		_, has := v["properties"].(map[string]any)
		if _, said := v["additionalProperties"]; has && !said && v["type"] != nil {
			v["additionalProperties"] = false
		}
		for _, below := range v {
			closeObjects(below)
		}
	case []any:
		for _, below := range v {
			closeObjects(below)
		}
	}
}

// Paths are the paths with their methods, in capitals.
func (s *Spec) Paths() map[string][]string {
	all := map[string][]string{}
	paths, _ := s.doc["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for name := range operations {
			if m := strings.ToUpper(name); slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, m) {
				all[path] = append(all[path], m)
			}
		}
		slices.Sort(all[path])
	}
	return all
}

// QueryParameters are the names of an operation's parameters in the query.
func (s *Spec) QueryParameters(path, method string) (names []string) {
	for _, of := range [][]string{{"paths", path, "parameters"}, {"paths", path, strings.ToLower(method), "parameters"}} {
		list, _ := s.get(of...).([]any)
		for _, p := range list {
			m, _ := s.resolve(p).(map[string]any)
			if m["in"] == "query" {
				names = append(names, fmt.Sprint(m["name"]))
			}
		}
	}
	slices.Sort(names)
	return names
}

func (s *Spec) get(keys ...string) any {
	var v any = s.doc
	for _, k := range keys {
		m, _ := s.resolve(v).(map[string]any)
		v = m[k]
	}
	return s.resolve(v)
}

// resolve follows a reference within the description.
func (s *Spec) resolve(v any) any {
	m, _ := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok {
		return v
	}
	v = s.doc
	for key := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// Answer says what is wrong with an answer, by the operation that a path without its query belongs to.
func (s *Spec) Answer(method, path string, status int, contentType string, body []byte) error {
	if method == "OPTIONS" || method == "HEAD" {
		return nil
	}
	template := s.match(path)
	if template == "" {
		return fmt.Errorf("%s is not described", path)
	}
	responses, _ := s.get("paths", template, strings.ToLower(method), "responses").(map[string]any)
	if responses == nil {
		if status != 405 {
			return fmt.Errorf("%s %s is not described", method, template)
		}
		responses = map[string]any{"405": map[string]any{"$ref": "#/components/responses/Problem"}}
	}
	answer, ok := responses[strconv.Itoa(status)]
	if !ok {
		if answer, ok = responses["default"]; !ok || status < 400 {
			return fmt.Errorf("%s %s: status %d is not described", method, template, status)
		}
	}
	described, _ := s.resolve(answer).(map[string]any)
	content, _ := described["content"].(map[string]any)
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("%s %s: %w: %q", method, template, err, contentType)
	}
	media, ok := content[kind].(map[string]any)
	if !ok {
		return fmt.Errorf("%s %s: %d with %s is not described", method, template, status, kind)
	}
	if kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil
	}
	return s.validate(media["schema"], body)
}

// match finds the path of the description that a path belongs to: the one with the fewest parameters.
func (s *Spec) match(path string) (best string) {
	fewest := 100
	for template := range s.Paths() {
		if n := strings.Count(template, "{"); matches(template, path) && n < fewest {
			best, fewest = template, n
		}
	}
	return best
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	for i, part := range want {
		parameter := strings.HasPrefix(part, "{")
		if parameter && i == len(want)-1 && template != "/api/calls/{id}" {
			return len(got) >= len(want) // a file, slashes included
		}
		if i >= len(got) || !parameter && part != got[i] {
			return false
		}
	}
	return len(want) == len(got)
}

// validate holds a JSON text to a schema, which is compiled where it stands in the description.
func (s *Spec) validate(schema any, body []byte) error {
	key, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	compiled, err := s.compiled(string(key))
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if err := compiled.Validate(v); err != nil {
		return fmt.Errorf("%w: %.2000s", err, body)
	}
	return nil
}

func (s *Spec) compiled(key string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if done := s.schemas[key]; done != nil {
		return done, nil
	}
	where := s.locate(s.doc, "#", key)
	if where == "" {
		return nil, errors.New("the schema can't be found")
	}
	done, err := s.compiler.Compile(at + where)
	if err == nil {
		s.schemas[key] = done
	}
	return done, err
}

// locate finds where an equal schema stands.
func (s *Spec) locate(v any, where, key string) string {
	if m, ok := v.(map[string]any); ok {
		for name, below := range m {
			at := where + "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
			if name == "schema" {
				if text, err := json.Marshal(below); err == nil && string(text) == key {
					return at
				}
			}
			if found := s.locate(below, at, key); found != "" {
				return found
			}
		}
	}
	if list, ok := v.([]any); ok {
		for i, below := range list {
			if found := s.locate(below, where+"/"+strconv.Itoa(i), key); found != "" {
				return found
			}
		}
	}
	return ""
}

// Examples says which examples do not fit their schemas.
func (s *Spec) Examples() error { return s.examples(s.doc) }

func (s *Spec) examples(v any) error {
	var errs []error
	switch v := v.(type) {
	case map[string]any:
		schema, has := v["schema"]
		all, _ := v["examples"].(map[string]any)
		if example, ok := v["example"]; ok {
			all = map[string]any{"example": map[string]any{"value": example}}
		}
		for name, e := range all {
			example, _ := e.(map[string]any)
			text, err := json.Marshal(example["value"])
			if err == nil && has {
				err = s.validate(schema, text)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("example %s: %w", name, err))
			}
		}
		for _, below := range v {
			errs = append(errs, s.examples(below))
		}
	case []any:
		for _, below := range v {
			errs = append(errs, s.examples(below))
		}
	}
	return errors.Join(errs...)
}
