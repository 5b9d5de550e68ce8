package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

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
	d := descriptions()
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
			if text, _ := v.get("description").(string); text == "" {
				t.Errorf("%s has no description: is its file embedded in schema.go?", join(path, m.name))
			}
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
