package config

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"flowbridge/config/template"
	"flowbridge/media/audio"
)

// source holds the declarations of the sections. The comments of their fields become the descriptions in the schema.
//
//go:embed acme.go admin.go budget.go circuit.go config.go fleet.go follow.go hook_openai.go hook_twilio.go hook_vapi.go hooks.go hours.go map_headers.go media.go platform.go prepare.go queue.go recording.go register.go rescue.go route.go sip.go stir.go target.go telemetry.go tell.go trunk.go webhook.go websocket.go
var source embed.FS

// environment matches a reference to the environment, which is allowed in every value.
const environment = `\$\{`

// object is a JSON object that keeps the order of its members.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, m := range o {
		b.WriteByte("{,"[min(i, 1)])
		if err := enc.Encode(m.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Schema returns the JSON Schema (draft 2020-12) of flowbridge.yaml. It defines the keys and the form of their values.
// Names, files, templates, and rules about more than one key are checked only by Parse. The schema is stricter than
// Parse in one case: it rejects a section without values, like auth: {}, for lack of required keys.
func Schema() ([]byte, error) {
	s := append(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "flowbridge.yaml"},
		{"description", "The configuration of Flowbridge. ${NAME} in a value is replaced from the environment."},
	}, descriptions().section(typeConfig)...)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return out.Bytes(), nil
}

// described holds the comments of fields, by Struct.Field.
type described map[string]string

var structOrField = regexp.MustCompile(`(?m)^type (\w+) struct|((?:^\t// .*\n)+)\t(\w+) [^\n]*key:`)

// descriptions reads the comments from the source.
func descriptions() described {
	d, within := described{}, ""
	files, _ := source.ReadDir(".") // reading an embedded directory can't fail
	for _, f := range files {
		text, _ := source.ReadFile(f.Name())
		for _, m := range structOrField.FindAllStringSubmatch(string(text), -1) {
			if m[1] != "" {
				within = m[1]
			}
			d[within+"."+m[3]] = strings.Join(strings.Fields(strings.ReplaceAll(m[2], "\t//", "")), " ")
		}
	}
	return d
}

// section returns the schema of a mapping with known keys.
func (d described) section(t reflect.Type) object {
	var properties object
	var required []string
	for _, k := range keysOf(t) {
		text := d[t.Name()+"."+k.field.Name]
		names := k.names()
		if k.required != "" {
			required = append(required, names[0])
		}
		if len(names) == 1 {
			properties = append(properties, member{names[0], append(object{{"description", text}}, d.value(k)...)})
			continue
		}
		properties = append(properties,
			member{names[0], append(object{{"description", text + " A file, not readable by everybody."}},
				kinds["file"].schema()...)},
			member{names[1], append(object{{"description", "Instead of " + names[0] + ", an environment variable."}},
				kinds["environment-name"].schema()...)})
	}
	s := object{{"type", "object"}, {"additionalProperties", false}, {"properties", properties}}
	if required != nil {
		s = append(s, member{"required", required})
	}
	return s
}

// textOrSection returns the schema of an element that may be a mapping, or a string of the key's kind.
func (d described) textOrSection(k key, t reflect.Type) object {
	s := object{{"type", []string{"object", "string"}}}
	for _, m := range slices.Concat(k.kind().schema(), d.section(t)) {
		if m.name != "type" {
			s = append(s, m)
		}
	}
	return s
}

// value returns the schema of a key's value.
func (d described) value(k key) object {
	t, list := elementType(k.field.Type), isList(k.field.Type)
	switch k.field.Type {
	case reflect.TypeFor[json.RawMessage](), reflect.TypeFor[*jsonBody](), reflect.TypeFor[[]Member]():
		return object{{"type", "object"}}
	case reflect.TypeFor[[]variable](), reflect.TypeFor[[]Header]():
		return object{{"type", "object"}, {"additionalProperties", kinds["*template.Template"].schema()}}
	case reflect.TypeFor[[]Share]():
		return object{{"type", "object"}, {"additionalProperties", integer(0, maxWeight).schema()}}
	case reflect.TypeFor[map[string]*audio.Sound]():
		return object{
			{"type", "object"},
			{"additionalProperties", kinds["file"].schema()},
			{"propertyNames", object{{"pattern", nameText}}},
		}
	}
	declared, nested := sectionType(t)
	item := k.kind().schema
	if nested {
		item = func() object { return d.section(declared) }
	}
	switch k.field.Type {
	case reflect.TypeFor[[]Pass](), reflect.TypeFor[Unaccepted]():
		item = func() object { return d.textOrSection(k, declared) }
	}
	if list {
		s := object{{"type", "array"}, {"items", item()}}
		if k.filled {
			s = append(s, member{"minItems", 1})
		}
		if nested {
			return s
		}
		def := []string{}
		if k.def != "" {
			def = strings.Split(k.def, ", ")
		}
		return append(s, member{"uniqueItems", t != reflect.TypeFor[*template.Template]()}, member{"default", def})
	}
	if types := k.kind().types; json.Valid([]byte(k.def)) && (slices.Contains(types, "integer") ||
		slices.Equal(types, boolean)) {
		return append(item(), member{"default", json.RawMessage(k.def)})
	} else if k.def != "" {
		return append(item(), member{"default", k.def})
	}
	return item()
}

// schema returns the schema of a single value of the kind. Every value may be a reference to the environment instead.
func (k kind) schema() (s object) {
	if k.title != "" {
		s = object{{"title", k.title}}
	}
	pattern, types := environment, k.types
	if k.anyCase {
		pattern = caseless(k.enum) + "|" + environment
	} else if k.pattern != "" {
		pattern = k.pattern + "|" + environment
	}
	if types == nil {
		types = []string{"string"}
	}
	s = append(s, member{"type", types})
	switch {
	case k.enum != nil:
		s = append(s, member{"anyOf", []object{{{"enum", k.enum}}, {{"pattern", pattern}}}})
	case k.pattern != "" || types[0] != "string":
		s = append(s, member{"pattern", pattern})
	}
	if slices.Contains(types, "integer") {
		s = append(s, member{"minimum", k.low}, member{"maximum", k.high})
	}
	return s
}

// caseless returns a pattern for one of the words, in upper or lower case.
func caseless(words []string) string {
	var b strings.Builder
	for _, r := range strings.Join(words, "|") {
		if up, low := unicode.ToUpper(r), unicode.ToLower(r); up != low {
			b.WriteString("[" + string(up) + string(low) + "]")
			continue
		}
		b.WriteRune(r)
	}
	return "^(" + b.String() + ")$"
}
