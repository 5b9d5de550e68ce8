package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const tableHead = "| key | value | meaning |\n|-|-|-|\n"

// referenceTables is a table for each section, and one of all knobs. Sections with the same keys share one.
func referenceTables(t *testing.T) string {
	t.Helper()
	var first, knobs strings.Builder
	all := knobPaths()
	for _, s := range allSections() {
		title := "Sections"
		if s.Paths[0] != "" {
			title = strings.Join(s.Paths, ", ")
		}
		rows := ""
		for _, k := range s.Keys {
			if k.Meaning == "" {
				t.Errorf("%s has no description: is its file embedded in schema.go?", join(s.Paths[0], k.Name))
			}
			var paths []string
			for _, p := range s.Paths {
				if path := join(p, k.Name); all[path] {
					paths = append(paths, path)
				}
			}
			switch len(paths) {
			case 0:
				rows += k.row(k.Name)
			case len(s.Paths):
				knobs.WriteString(k.row(strings.Join(paths, "`, `")))
			default:
				t.Errorf("%s is a knob, and elsewhere none", paths)
			}
		}
		if rows != "" {
			fmt.Fprintf(&first, "\n### %s\n\n%s%s", title, tableHead, rows)
		}
	}
	return first.String() + "\n### Knobs\n\nTheir defaults serve nearly everybody.\n\n" + tableHead + knobs.String() + "\n"
}

// knobPaths has the path of each knob, and of each key in a section that is one.
func knobPaths() map[string]bool {
	all := map[string]bool{}
	var walk func(s section, path string, within bool)
	walk = func(s section, path string, within bool) {
		for _, k := range s.keys {
			at := join(path, k.name)
			all[at] = within || k.knob
			if declared, nested := sectionType(elementType(k.field.Type)); nested {
				if isList(k.field.Type) {
					at += "[]"
				}
				walk(section{keys: keysOf(declared)}, at, within || k.knob)
			}
		}
	}
	walk(section{keys: keysOf(typeConfig)}, "", false)
	return all
}

// row is the key's row in a table.
func (k keyText) row(name string) string {
	value := k.Value // empty where the meaning lists the words
	if value == "true or false" || strings.Contains(value, ", ") && !slices.ContainsFunc(strings.Split(value, ", "), func(v string) bool {
		return !regexp.MustCompile(`(^|[ (])` + regexp.QuoteMeta(v) + `($|[ ,).:;])`).MatchString(k.Meaning)
	}) {
		value = ""
	}
	if value != "" && k.Default != "" && k.Default != "none" {
		value += "; "
	}
	return fmt.Sprintf("| `%s` | %s%s | %s |\n", name, value, strings.TrimSuffix(k.Default, "none"),
		regexp.MustCompile(`(^|[ (\[])("[^"]*"|\[[^\]]*\])`).ReplaceAllString(strings.ReplaceAll(k.Meaning, "|", `\|`), "$1`$2`"))
}

// sectionKeys is a section of the file, or several with the same keys, at these paths: "" is the file itself.
type sectionKeys struct {
	Paths []string
	Keys  []keyText
}

// keyText is a row of docs/configuration.md. Default is empty if there is none.
type keyText struct{ Name, Value, Default, Meaning string }

// allSections lists all keys of the file, each section before what is in it.
func allSections() []sectionKeys {
	var all []sectionKeys
	var walk func(s object, path string)
	walk = func(s object, path string) {
		properties, path := subsection(s, path)
		if items, ok := s.get("items").(object); ok {
			s = items
		}
		required, _ := s.get("required").([]string)
		var keys []keyText
		for _, m := range properties {
			v, _ := m.value.(object)
			text, _ := v.get("description").(string)
			keys = append(keys, keyText{m.name, typeOf(v), defaultOf(v, slices.Contains(required, m.name)), text})
		}
		if same := slices.IndexFunc(all, func(s sectionKeys) bool { return reflect.DeepEqual(s.Keys, keys) }); same >= 0 {
			all[same].Paths = append(all[same].Paths, path)
		} else {
			all = append(all, sectionKeys{[]string{path}, keys})
		}
		for _, m := range properties {
			if v, _ := m.value.(object); v != nil {
				if p, _ := subsection(v, ""); p != nil {
					walk(v, join(path, m.name))
				}
			}
		}
	}
	walk(descriptions().section(typeConfig), "")
	return all
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

func typeOf(s object) string {
	if items, ok := s.get("items").(object); ok {
		return "list: " + typeOf(items)
	}
	title, _ := s.get("title").(string)
	if _, ok := s.get("properties").(object); ok {
		if title != "" {
			return title + "; or section"
		}
		return "section"
	}
	if inner, ok := s.get("additionalProperties").(object); ok {
		return "name: " + typeOf(inner)
	}
	if any, ok := s.get("anyOf").([]object); ok {
		values, _ := any[0].get("enum").([]string)
		return strings.Join(values, ", ")
	}
	switch title {
	case integerType:
		return fmt.Sprintf("%v to %v", s.get("minimum"), s.get("maximum"))
	case "":
		return "mapping"
	}
	return title
}

func defaultOf(s object, required bool) string {
	if required {
		return "required"
	}
	switch v := s.get("default").(type) {
	case []string:
		if len(v) == 0 {
			return "none"
		}
		return "`" + strings.Join(v, "`, `") + "`"
	case nil:
		return ""
	default:
		return fmt.Sprintf("`%s`", v)
	}
}
