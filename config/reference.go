package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Section is one section of the file, as the reference has it. Sections with the same keys are one.
type Section struct {
	Paths []string // like targets[].prepare; empty: the file itself
	Keys  []Key
}

// Key is one key of a section.
type Key struct {
	Name    string
	Value   string // how it is written
	Default string // empty: none
	Meaning string
}

// Reference lists all keys of the file, each section before what is in it.
func Reference() []Section {
	var all []Section
	var walk func(s object, path string)
	walk = func(s object, path string) {
		properties, path := subsection(s, path)
		if items, ok := s.get("items").(object); ok {
			s = items
		}
		required, _ := s.get("required").([]string)
		var keys []Key
		for _, m := range properties {
			v, _ := m.value.(object)
			text, _ := v.get("description").(string)
			keys = append(keys, Key{m.name, typeOf(v), defaultOf(v, slices.Contains(required, m.name)), text})
		}
		if same := slices.IndexFunc(all, func(s Section) bool { return reflect.DeepEqual(s.Keys, keys) }); same >= 0 {
			all[same].Paths = append(all[same].Paths, path)
		} else {
			all = append(all, Section{[]string{path}, keys})
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
