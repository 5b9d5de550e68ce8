package config

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxVisits limits the nodes visited in one file, counting aliases each time.
const maxVisits = 200_000

// value is a YAML node with its path in the file.
type value struct {
	l    *loader
	node *yaml.Node
	path string
}

func (v value) fail(problem, remedy string) { v.l.fail(v.node.Line, v.path, problem, remedy) }

// resolve follows an alias to its target, but keeps the line of the alias.
func (v value) resolve() (value, bool) {
	v.l.visits++
	if v.l.visits > maxVisits {
		if v.l.visits == maxVisits+1 {
			v.fail("the file holds too many values", "write out what its aliases stand for")
		}
		return v, false
	}
	if v.node.Kind != yaml.AliasNode {
		return v, true
	}
	if v.node.Alias == nil || v.node.Alias.Kind == yaml.AliasNode {
		v.fail("the alias stands for nothing", "write the value itself")
		return v, false
	}
	at := *v.node.Alias
	at.Line = v.node.Line
	v.node = &at
	return v, true
}

func (v value) isNull() bool { return v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null" }

// kindName returns the kind of a node in words, for an error.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "a single value"
	case yaml.DocumentNode, yaml.AliasNode:
	}
	return "something else"
}

// entry is one key of a mapping with its value.
type entry struct {
	key  string
	line int
	value
}

// entries returns the keys of a mapping in file order. A duplicate key is reported and left out.
func (v value) entries(keyPath func(path, key string) string) ([]entry, bool) {
	v, ok := v.resolve()
	if !ok {
		return nil, false
	}
	if v.isNull() {
		v.fail("has no value", "write its keys below it, indented, or remove the key")
		return nil, false
	}
	if v.node.Kind != yaml.MappingNode {
		v.fail("must be a mapping, not "+kindName(v.node),
			cmp.Or(hint(v.path+"{}"), `write "key: value" lines below it, indented`))
		return nil, false
	}
	first := map[string]int{}
	var all []entry
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		k := value{l: v.l, node: v.node.Content[i], path: v.path}
		if k, ok = k.resolve(); !ok {
			return nil, false
		}
		if k.node.Kind != yaml.ScalarNode {
			k.fail("a key must be a single word", `write "key: value"`)
			continue
		}
		name, path := k.node.Value, keyPath(v.path, k.node.Value)
		if line, twice := first[name]; twice {
			v.l.fail(k.node.Line, path, fmt.Sprintf("is given twice, first in line %d", line), "keep one of them")
			continue
		}
		first[name] = k.node.Line
		all = append(all, entry{key: name, line: k.node.Line, value: value{l: v.l, node: v.node.Content[i+1], path: path}})
	}
	return all, true
}

// join appends a key to a path. Keys come from the file, so long ones are truncated and control characters are
// escaped.
func join(path, key string) string {
	if len(key) > 60 {
		key = key[:60] + "…"
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		key = fmt.Sprintf("%q", key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// scalar is a single value, both as written and with ${NAME} replaced.
type scalar struct {
	value
	raw     string
	text    string
	fromEnv bool

	environment []string // the non-empty values of its ${NAME}
}

// quoted returns the value as written in the file, without what may be a secret. It never shows the contents of a
// variable.
func (s scalar) quoted() string {
	shown := maskedValue(s.path, s.raw)
	if len(shown) > 80 {
		return fmt.Sprintf("%q…", shown[:80])
	}
	return fmt.Sprintf("%q", shown)
}

// complain reports `"value" problem; remedy`.
func (s scalar) complain(c complaint) {
	if c.hide {
		s.fail(c.problem, c.remedy)
		return
	}
	if s.fromEnv && c.unseen != "" {
		c.remedy = c.unseen
	}
	if name := s.bareVariable(); name != "" {
		c.remedy = "write ${" + name + "} for what the variable contains; else " + c.remedy
	}
	s.fail(s.quoted()+" "+c.problem, c.remedy)
}

// scalar reads a single value and replaces ${NAME} in it.
func (v value) scalar() (scalar, bool) {
	v, ok := v.resolve()
	if !ok {
		return scalar{}, false
	}
	if v.isNull() {
		v.fail("has no value", `write one, "" for an empty text, or remove the key`)
		return scalar{}, false
	}
	if v.node.Kind != yaml.ScalarNode {
		v.fail("must be a single value, not "+kindName(v.node),
			cmp.Or(hint(v.path+"{}"), "write it behind the colon; values with { or [ in quotes"))
		return scalar{}, false
	}
	switch v.node.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
	default:
		v.fail("has a YAML tag that has no meaning here", "remove the tag")
		return scalar{}, false
	}
	s := scalar{value: v, raw: v.node.Value, text: v.node.Value}
	if v.node.Style == 0 && typographic.MatchString(s.raw) {
		v.fail("stands in typographic quotes, which are a part of the text in YAML", `write plain quotes, " or '`)
		return scalar{}, false
	}
	if s.bareVariable() != "" {
		v.l.bare = append(v.l.bare, s)
	}
	return s.expand()
}

// typographic matches a text that starts with a typographic quote, as word processors and web pages write it.
var typographic = regexp.MustCompile(`^[“”„‟‘’‚«»]`)

var (
	reference = regexp.MustCompile(`\$\{[^}]*\}?`)
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// unbraced matches a variable in shell form. action matches an action of a template, which may have variables of
// the template.
var (
	unbraced = regexp.MustCompile(`\$([A-Z_][A-Z0-9_]+)`)
	action   = regexp.MustCompile(`\{\{.*?\}\}`)
)

// bareVariable returns the name of a variable without braces, or "".
func (s scalar) bareVariable() string {
	if found := unbraced.FindStringSubmatch(action.ReplaceAllString(s.raw, "")); found != nil {
		return found[1]
	}
	return ""
}

// expand replaces ${NAME} by the environment's value. The contents of a variable are not expanded again.
func (s scalar) expand() (scalar, bool) {
	ok := true
	s.text = reference.ReplaceAllStringFunc(s.raw, func(ref string) string {
		name := strings.TrimSuffix(strings.TrimPrefix(ref, "${"), "}")
		if !strings.HasSuffix(ref, "}") || !envName.MatchString(name) {
			s.fail("a reference to the environment is not written as ${NAME}",
				"use letters, digits and underscore between the braces")
			ok = false
			return ""
		}
		val, set := s.l.env(name)
		if !set {
			s.fail("the environment variable "+name+" is not set", "set it, or write the value itself")
			ok = false
			return ""
		}
		s.fromEnv = true
		if val != "" {
			s.environment = append(s.environment, val)
		}
		return val
	})
	return s, ok
}
