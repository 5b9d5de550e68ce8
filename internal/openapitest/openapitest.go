// Package openapitest checks a server's answers against its OpenAPI description. It is for tests.
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

	mu       sync.Mutex // guards compiler, which caches what it has compiled
	compiler *jsonschema.Compiler
}

// file is the compiler's name for the description.
const file = "openapi.json"

// Load reads a description. It makes objects refuse members that they don't name, so that an answer with an
// undescribed member is an error.
func Load(description []byte) (*Spec, error) {
	s := &Spec{compiler: jsonschema.NewCompiler()}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		return nil, err
	}
	closeObjects(doc)
	s.doc, _ = doc.(map[string]any)
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	return s, s.compiler.AddResource(file, doc)
}

// closeObjects makes objects refuse undescribed members.
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

// Paths returns the paths with their methods, in capitals.
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

// QueryParameters returns the names of an operation's query parameters.
func (s *Spec) QueryParameters(path, method string) (names []string) {
	for _, of := range [][]string{{"paths", path, "parameters"}, {"paths", path, strings.ToLower(method), "parameters"}} {
		found, at := s.get(of...)
		list, _ := found.([]any)
		for _, p := range list {
			p, _ = s.resolve(p, at)
			m, _ := p.(map[string]any)
			if m["in"] == "query" {
				names = append(names, fmt.Sprint(m["name"]))
			}
		}
	}
	slices.Sort(names)
	return names
}

// get follows keys and references. at is the location of the value, as a URL fragment.
func (s *Spec) get(keys ...string) (v any, at string) {
	v, at = s.doc, "#"
	for _, k := range keys {
		v, at = s.resolve(v, at)
		m, _ := v.(map[string]any)
		v, at = m[k], below(at, k)
	}
	return s.resolve(v, at)
}

// below returns the location of a member of the value at a location.
func below(at, name string) string {
	return at + "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
}

// resolve follows a reference within the description.
func (s *Spec) resolve(v any, at string) (any, string) {
	m, _ := v.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return s.get(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return v, at
}

// Answer returns an error that says what is wrong with an answer, or nil. The operation is found by the path, without
// its query.
func (s *Spec) Answer(method, path string, status int, contentType string, body []byte) error {
	if method == "OPTIONS" || method == "HEAD" {
		return nil
	}
	template := s.match(path)
	if template == "" {
		return fmt.Errorf("%s is not described", path)
	}
	name, responses := strconv.Itoa(status), []string{"paths", template, strings.ToLower(method), "responses"}
	if known, _ := s.get(responses...); known == nil {
		if status != 405 {
			return fmt.Errorf("%s %s is not described", method, template)
		}
		name, responses = "Problem", []string{"components", "responses"}
	}
	found, at := s.get(append(responses, name)...)
	if found == nil && status >= 400 {
		found, at = s.get(append(responses, "default")...)
	}
	if found == nil {
		return fmt.Errorf("%s %s: status %d is not described", method, template, status)
	}
	answer, _ := found.(map[string]any)
	content, _ := answer["content"].(map[string]any)
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("%s %s: %w: %q", method, template, err, contentType)
	}
	if content[kind] == nil {
		return fmt.Errorf("%s %s: %d with %s is not described", method, template, status, kind)
	}
	if kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil
	}
	return s.validate(below(below(at+"/content", kind), "schema"), body)
}

// match finds the description's path for a path. If several match, it takes the one with the fewest parameters.
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
		if parameter && i == len(want)-1 && template != "/api/calls/{id}" && template != "/api/browser-calls/{location}" {
			return len(got) >= len(want) // the rest is a file name, which may include slashes
		}
		if i >= len(got) || !parameter && part != got[i] {
			return false
		}
	}
	return len(want) == len(got)
}

// validate checks a JSON text against the schema at a place.
func (s *Spec) validate(at string, body []byte) error {
	s.mu.Lock()
	schema, err := s.compiler.Compile(file + at)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if err := schema.Validate(v); err != nil {
		return fmt.Errorf("%w: %.2000s", err, body)
	}
	return nil
}

// Examples returns an error that lists the examples that do not fit their schemas.
func (s *Spec) Examples() error { return s.examples(s.doc, "#") }

func (s *Spec) examples(v any, at string) error {
	var errs []error
	switch v := v.(type) {
	case map[string]any:
		_, has := v["schema"]
		all, _ := v["examples"].(map[string]any)
		if example, ok := v["example"]; ok {
			all = map[string]any{"example": map[string]any{"value": example}}
		}
		for name, e := range all {
			example, _ := e.(map[string]any)
			text, err := json.Marshal(example["value"])
			if err == nil && has {
				err = s.validate(at+"/schema", text)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("example %s: %w", name, err))
			}
		}
		for name, inner := range v {
			errs = append(errs, s.examples(inner, below(at, name)))
		}
	case []any:
		for i, inner := range v {
			errs = append(errs, s.examples(inner, below(at, strconv.Itoa(i))))
		}
	}
	return errors.Join(errs...)
}
