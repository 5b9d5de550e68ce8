package config

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"unicode"

	"flowbridge/audio"
)

// source is where the sections are declared: the comments of their fields are the descriptions of the schema.
//
//go:embed config.go hook_twilio.go hook_vapi.go hooks.go media.go platform.go route.go sip.go target.go trunk.go
var source embed.FS

// environment is a reference to the environment, which may stand in every value.
const environment = `\$\{`

// object is a JSON object that keeps the order of its members.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
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

// Schema gives the JSON Schema (draft 2020-12) of flowbridge.yaml. It says which keys there are and how their values are
// written. Parse alone checks what concerns more than one key, names, files and templates.
func Schema() ([]byte, error) {
	d, err := descriptions()
	if err != nil {
		return nil, err
	}
	s := append(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "flowbridge.yaml"},
		{"description", "The configuration of Flowbridge. ${NAME} in a value is replaced from the environment."},
	}, d.section(typeConfig)...)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return out.Bytes(), nil
}

// described are the comments of fields, as Struct.Field.
type described map[string]string

// descriptions reads them from the source.
func descriptions() (described, error) {
	d := described{}
	files, err := source.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	for _, f := range files {
		text, err := source.ReadFile(f.Name())
		if err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), text, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if t, ok := n.(*ast.TypeSpec); ok {
				if st, ok := t.Type.(*ast.StructType); ok {
					for _, f := range st.Fields.List {
						d[t.Name.Name+"."+f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
					}
				}
			}
			return true
		})
	}
	return d, nil
}

// section is the schema of a mapping with known keys.
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
			member{names[0], append(object{{"description", "A file with it, which only the service's user can read. " + text}}, kinds["file"].schema()...)},
			member{names[1], append(object{{"description", "The name of the environment variable that holds it, instead of " + names[0] + "."}}, kinds["environment-name"].schema()...)})
	}
	s := object{{"type", "object"}, {"additionalProperties", false}, {"properties", properties}}
	if required != nil {
		s = append(s, member{"required", required})
	}
	return s
}

// value is the schema of a key's value.
func (d described) value(k key) object {
	t, list := elementType(k.field.Type), isList(k.field.Type)
	switch k.field.Type {
	case reflect.TypeFor[json.RawMessage]():
		return object{{"type", "object"}}
	case reflect.TypeFor[[]Variable](), reflect.TypeFor[[]Header]():
		return object{{"type", "object"}, {"additionalProperties", kinds["*config.Template"].schema()}}
	case reflect.TypeFor[map[string]*audio.Sound]():
		return object{{"type", "object"}, {"additionalProperties", kinds["file"].schema()}, {"propertyNames", object{{"pattern", nameText}}}}
	}
	declared, nested := sectionType(t)
	item := k.kind().schema
	if nested {
		item = func() object { return d.section(declared) }
	}
	switch {
	case list:
		s := object{{"type", "array"}, {"items", item()}}
		if k.filled {
			s = append(s, member{"minItems", 1})
		}
		if !nested && t != reflect.TypeFor[*Template]() {
			s = append(s, member{"uniqueItems", true})
		}
		if def := strings.Split(k.def, ", "); k.def != "" {
			s = append(s, member{"default", def})
		} else if !nested {
			s = append(s, member{"default", []string{}})
		}
		return s
	case k.def != "" && k.kind().plain() && json.Valid([]byte(k.def)):
		return append(item(), member{"default", json.RawMessage(k.def)})
	case k.def != "" && !nested:
		return append(item(), member{"default", k.def})
	}
	return item()
}

// plain says whether YAML writes a value of the kind as a number, true or false.
func (k kind) plain() bool { return k.number || k.title == boolType || k.title == integerType }

// schema is that of a single value of the kind. Every value may be a reference to the environment instead.
func (k kind) schema() (s object) {
	if k.title != "" {
		s = object{{"title", k.title}}
	}
	pattern := environment
	switch {
	case k.anyCase:
		pattern = caseless(k.enum) + "|" + environment
	case k.pattern != "":
		pattern = k.pattern + "|" + environment
	}
	bounds := object{{"minimum", k.low}, {"maximum", k.high}}
	switch {
	case k.enum != nil:
		return append(s, member{"type", "string"}, member{"anyOf", []object{{{"enum", k.enum}}, {{"pattern", pattern}}}})
	case k.title == boolType:
		return append(s, member{"type", []string{"boolean", "string"}}, member{"pattern", pattern})
	case k.title == integerType:
		return append(append(s, member{"type", []string{"integer", "string"}}, member{"pattern", pattern}), bounds...)
	case k.number:
		return append(append(s, member{"type", []string{"string", "integer"}}, member{"pattern", pattern}), bounds...)
	case k.scalar:
		s = append(s, member{"type", []string{"string", "number", "boolean"}})
	default:
		s = append(s, member{"type", "string"})
	}
	if k.pattern != "" {
		s = append(s, member{"pattern", pattern})
	}
	return s
}

// caseless is a pattern for one of words, in upper or lower case.
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
