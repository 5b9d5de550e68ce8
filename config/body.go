package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"flowbridge/config/template"
)

// jsonBody is a JSON object whose strings are templates. Names, numbers, true, false and null are the same for every
// call.
type jsonBody struct{ root part }

// part is a value within a body: an object, a list, a literal or a string.
type part struct {
	path    string // path of its key below the target, for errors
	object  bool
	members []bodyMember
	list    bool
	items   []part
	literal []byte             // JSON; nil if the part is not a literal
	text    *template.Template // template of a string; nil renders ""
}

// bodyMember is a member of an object.
type bodyMember struct {
	name string
	part
}

// maxBodyDepth limits how deeply a body may be nested.
const maxBodyDepth = 16

// body reads a mapping as the body of a request. Errors name its keys by their path. In a prepare step, the path
// starts with prepare.
func (s section) body(k key) *jsonBody {
	v, ok := s.fields[k.name]
	if !ok {
		return nil
	}
	if r, ok := v.resolve(); !ok || r.node.Kind != yaml.MappingNode {
		if ok {
			v.fail("must be a mapping, not "+kindName(r.node), `write its members below it, indented; "{}" for an empty object`)
		}
		return nil
	}
	path := k.name
	if k.use == "prepare" {
		path = "prepare." + path
	}
	root, ok := v.part(path, 0, k.templateUse())
	if !ok {
		return nil
	}
	return &jsonBody{root}
}

// part reads a value within a body. ok is false if an error in it was reported.
func (v value) part(path string, depth int, use templateUse) (p part, ok bool) {
	p.path = path
	if v, ok = v.resolve(); !ok {
		return p, false
	}
	if depth > maxBodyDepth {
		v.fail(fmt.Sprintf("is nested more than %d deep", maxBodyDepth), "is it what the platform takes?")
		return p, false
	}
	switch {
	case v.isNull():
		p.literal = []byte("null")
		return p, true
	case v.node.Kind == yaml.MappingNode:
		return v.objectPart(p, depth, use)
	case v.node.Kind == yaml.SequenceNode:
		p.list = true
		for i, n := range v.node.Content {
			at := fmt.Sprintf("[%d]", i)
			item, fine := value{l: v.l, node: n, path: v.path + at}.part(path+at, depth+1, use)
			ok = ok && fine
			p.items = append(p.items, item)
		}
		return p, ok
	}
	return v.scalarPart(p, use)
}

func (v value) objectPart(p part, depth int, use templateUse) (part, bool) {
	p.object = true
	entries, ok := v.entries(join)
	for _, e := range entries {
		if strings.Contains(e.key, "{{") || reference.MatchString(e.key) {
			v.l.fail(e.line, e.path, "is a name with a template or a reference to the environment in it",
				"write the name itself: only values depend on the call")
			ok = false
			continue
		}
		member, fine := e.part(p.path+"."+e.key, depth+1, use)
		ok = ok && fine
		p.members = append(p.members, bodyMember{e.key, member})
	}
	return p, ok
}

func (v value) scalarPart(p part, use templateUse) (part, bool) {
	sc, ok := v.scalar()
	if !ok {
		return p, false
	}
	if sc.node.ShortTag() == "!!str" || sc.node.ShortTag() == "!!timestamp" {
		p.text, _, ok = v.template(use)
		return p, ok
	}
	got, ok := sc.literal()
	if !ok {
		sc.complain(refuse("is not a number as JSON writes it", `write it in decimals, or in quotes as a text`))
		return p, false
	}
	literal, err := json.Marshal(got)
	if err != nil {
		sc.complain(refuse("cannot be written as JSON", "write it in quotes as a text"))
		return p, false
	}
	p.literal = literal
	return p, true
}

// literal returns the JSON value that a scalar stands for: a string, json.Number or bool. ok is false for a number not
// written as in JSON.
func (s scalar) literal() (v any, ok bool) {
	switch s.node.ShortTag() {
	case "!!bool":
		var b bool
		err := s.node.Decode(&b)
		return b, err == nil
	case "!!int", "!!float":
		return json.Number(s.text), json.Valid([]byte(s.text))
	}
	return s.text, true
}

// JSON returns the body for one call. The error names the key whose template failed.
func (b *jsonBody) JSON(v template.Vars) ([]byte, error) {
	return b.root.append(make([]byte, 0, 256), &v)
}

func (p *part) append(b []byte, v *template.Vars) ([]byte, error) {
	var err error
	switch {
	case p.object:
		b = append(b, '{')
		for i := range p.members {
			m := &p.members[i]
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendText(b, m.name); err != nil {
				return nil, fmt.Errorf("%s: %w", m.path, err)
			}
			if b, err = m.append(append(b, ':'), v); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case p.list:
		b = append(b, '[')
		for i := range p.items {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = p.items[i].append(b, v); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case p.literal != nil:
		return append(b, p.literal...), nil
	}
	text, err := p.text.Render(*v)
	if err == nil {
		b, err = appendText(b, text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	return b, nil
}

// appendText appends a string as JSON.
func appendText(b []byte, s string) ([]byte, error) {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return append(append(append(b, '"'), s...), '"'), nil
	}
	out := bytes.NewBuffer(b)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, err
	}
	return out.Bytes()[:out.Len()-1], nil // without the encoder's newline
}

// environment appends the values that the strings of a part take from the environment.
func (p *part) environment(all []string) []string {
	for i := range p.members {
		all = p.members[i].environment(all)
	}
	for i := range p.items {
		all = p.items[i].environment(all)
	}
	return append(all, p.text.FromEnvironment()...)
}
