package admin

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

//go:generate go test . -run TestRecordIsDescribed -update

// The description of a record is made of the fields of record.Record. With -update it is written.
func TestRecordIsDescribed(t *testing.T) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`(?s)\n    Record:\n.*?\n    Call:\n`).FindString(string(text))
	names, properties := "", ""
	for _, f := range recordFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if options == "" {
			names += ", " + name
		}
		properties += "        " + name + ": " + schemaOf(f) + "\n"
	}
	want := "\n    Record:\n      description: The CDR of one call. Times are UTC.\n      type: object\n      required: &recordRequired [" +
		strings.TrimPrefix(names, ", ") + "]\n      properties: &record\n" + properties + "    Call:\n"
	if *update {
		if err := os.WriteFile("openapi.yaml", []byte(strings.Replace(string(text), old, want, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, old); diff != "" {
		t.Errorf("openapi.yaml differs from record.Record; run go generate ./admin: want - got +\n%s", diff)
	}
}

// recordField is a field of a record with its description.
type recordField struct {
	reflect.StructField

	description string
}

// recordFields returns the fields of a record. A comment that begins with the field's name is for readers of the code.
func recordFields(t *testing.T) (all []recordField) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../store/record/record.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Record" {
			return true
		}
		for i, f := range spec.Type.(*ast.StructType).Fields.List {
			field := recordField{reflect.TypeFor[record.Record]().Field(i), strings.Join(strings.Fields(f.Doc.Text()), " ")}
			if strings.HasPrefix(field.description, field.Name+" ") {
				field.description = ""
			}
			all = append(all, field)
		}
		return false
	})
	return all
}

// schemaOf returns the schema of a field as YAML.
func schemaOf(f recordField) string {
	ref := func(name string) string { return `$ref: "#/components/schemas/` + name + `"` }
	schema, limits := "", f.Tag.Get("api")
	switch of := f.Type; of.Kind() {
	case reflect.Pointer:
		return fmt.Sprintf(`{anyOf: [{%s}, {type: "null"}]}`, ref(of.Elem().Name()))
	case reflect.Slice:
		item := of.Elem().Name()
		if item == "string" {
			item, limits = limits, ""
		}
		schema = fmt.Sprintf("type: array, items: {%s}", ref(item))
	case reflect.String:
		if schema = "type: string"; f.Tag.Get("enum") != "" {
			schema = fmt.Sprintf(`enum: [%s, ""]`, strings.Join(strings.Fields(f.Tag.Get("enum")), ", "))
		}
	case reflect.Int, reflect.Int64:
		schema = "type: integer"
	case reflect.Map:
		schema = ref(f.Name)
	default:
		schema = ref(of.Name())
	}
	if limits != "" {
		schema += ", " + limits
	}
	if f.description != "" {
		schema += ", description: " + strconv.Quote(f.description)
	}
	return "{" + schema + "}"
}
