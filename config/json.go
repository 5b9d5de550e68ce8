package config

import (
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"flowbridge/config/template"
)

// json reads a mapping as JSON. Apart from ${NAME}, the values stay as written.
func (s section) json(key string) json.RawMessage {
	v, ok := s.fields[key]
	if !ok {
		return nil
	}
	if r, ok := v.resolve(); ok && r.node.Kind != yaml.MappingNode {
		v.fail("must be a mapping, not "+kindName(r.node), "write its keys below it, indented")
		return nil
	}
	tree, ok := v.tree()
	if !ok {
		return nil
	}
	out, err := json.Marshal(tree)
	if err != nil {
		v.fail("cannot be written as JSON: "+err.Error(), "write texts, numbers, true, false, lists and mappings")
		return nil
	}
	return out
}

// tree returns a value with all values below it.
func (v value) tree() (any, bool) {
	v, ok := v.resolve()
	if !ok {
		return nil, false
	}
	switch {
	case v.isNull():
		return nil, true
	case v.node.Kind == yaml.MappingNode:
		entries, ok := v.entries(join)
		out := map[string]any{}
		for _, e := range entries {
			inner, fine := e.tree()
			ok = ok && fine
			out[e.key] = inner
		}
		return out, ok
	case v.node.Kind == yaml.SequenceNode:
		out := make([]any, len(v.node.Content))
		for i, n := range v.node.Content {
			var fine bool
			out[i], fine = value{l: v.l, node: n, path: v.path}.tree()
			ok = ok && fine
		}
		return out, ok
	}
	sc, ok := v.scalar()
	if !ok {
		return nil, false
	}
	var plain any
	if sc.node.ShortTag() != "!!str" && sc.node.Decode(&plain) == nil && sc.node.ShortTag() != "!!timestamp" {
		return plain, true
	}
	return sc.text, true
}

// maxJSONPath is the maximum length of a path, in bytes.
const maxJSONPath = 256

// parseJSONPath parses a path as used by template.PrepareVars.JSON, or an empty text.
func parseJSONPath(t string) (string, complaint) {
	switch {
	case t == "":
	case len(t) > maxJSONPath, strings.ContainsFunc(t, template.IsControl), slices.Contains(strings.Split(t, "."), ""):
		return "", refuse("is not a JSON path",
			"write members and indices of lists, joined by dots, like call.id or calls.0.id")
	case strings.ContainsAny(t, "$[]"):
		return "", refuse("is not a JSON path of this kind", "write call.id for $.call.id, and calls.0.id for calls[0].id")
	}
	return t, complaint{}
}
