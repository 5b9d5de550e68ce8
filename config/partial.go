package config

import (
	"os"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// LoadWithoutSecrets is like Load, for a command that neither shows nor sends secrets: an unreadable secret counts as
// empty. So a configuration can be tried before there is an account.
func LoadWithoutSecrets(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return ParseWithoutSecrets(ShownName(path), data, os.LookupEnv)
}

// ParseWithoutSecrets is like Parse in the same way.
func ParseWithoutSecrets(file string, data []byte, env func(string) (string, bool)) (*Config, error) {
	l := newLoader(file, env, nil)
	l.withoutSecrets = true
	return l.read(data)
}

// LoadSections is like Load, for a command that uses only the named sections: the rest of the file is not checked, and
// an unreadable secret counts as empty. So the command works for a user who has no access to the secrets of the
// service.
func LoadSections(path string, sections ...string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	l := newLoader(ShownName(path), os.LookupEnv, nil)
	l.withoutSecrets = true
	root, ok := l.document(data)
	if !ok {
		return nil, l.errs
	}
	root.only(sections).section(typeConfig).read(reflect.ValueOf(l.cfg).Elem())
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return l.cfg, nil
}

// only returns a mapping with just these keys. A list or a single value is returned unchanged.
func (v value) only(keys []string) value {
	if v.node.Kind != yaml.MappingNode {
		return v
	}
	some := *v.node
	some.Content = nil
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if slices.Contains(keys, v.node.Content[i].Value) {
			some.Content = append(some.Content, v.node.Content[i], v.node.Content[i+1])
		}
	}
	v.node = &some
	return v
}

// Names returns the names of a section's elements, in the order of the file, for completing command lines. section is
// trunks or targets. It returns none if the file can't be read.
func Names(path, section string) (names []string) {
	data, err := readFile(path)
	if err != nil {
		return nil
	}
	var file map[string]any
	if yaml.Unmarshal(data, &file) != nil {
		return nil
	}
	all, _ := file[section].([]any)
	for _, one := range all {
		fields, _ := one.(map[string]any)
		if name, ok := fields["name"].(string); ok && namePart.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}
