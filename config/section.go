package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// complaint says what is wrong with a value and what to do about it. The zero complaint means that the value is right.
type complaint struct {
	problem, remedy string
	unseen          string // the remedy for a value from the environment, if remedy quotes the value
	hide            bool   // the value may hold a secret
}

func refuse(problem, remedy string) complaint { return complaint{problem: problem, remedy: remedy} }

func (c complaint) none() bool { return c == complaint{} }

// section is a mapping whose keys are declared. Each reading method reports errors, and returns the default for a key
// that is absent or wrong.
type section struct {
	value
	keys   []key
	fields map[string]value
	meant  map[string]bool // known keys that an unknown key probably stands for
	broken bool            // it is not a mapping, which has been reported
	absent bool            // it is not in the file
}

// section reads a mapping whose keys a struct declares, and reports every other key.
func (v value) section(t reflect.Type) section {
	s := section{value: v, keys: keysOf(t), fields: map[string]value{}, meant: map[string]bool{}}
	var known []string
	for _, k := range s.keys {
		known = append(known, k.names()...)
	}
	all, ok := v.entries(join)
	s.broken = !ok
	for _, e := range all {
		if !slices.Contains(known, e.key) {
			v.l.fail(e.line, e.path, "unknown key", cmp.Or(hint(e.path), s.below(e.key), suggest(e.key, known)))
			s.meant[Nearest(e.key, known)] = true
			continue
		}
		s.fields[e.key] = e.value
	}
	return s
}

// below says which sections within this one have a key. It returns "" if none has.
func (s section) below(name string) (remedy string) {
	link := "write it below "
	for _, k := range s.keys {
		t, nested := sectionType(k.field.Type)
		if nested && slices.ContainsFunc(keysOf(t), func(k key) bool { return slices.Contains(k.names(), name) }) {
			remedy, link = remedy+link+k.name, " or "
		}
	}
	return remedy
}

// sub reads a mapping within the section. If it is absent, sub returns a section without keys.
func (s section) sub(k key, t reflect.Type) section {
	if v, ok := s.fields[k.name]; ok {
		return v.section(t)
	}
	return section{value: value{l: s.l, node: s.node, path: join(s.path, k.name)}, keys: keysOf(t), absent: true}
}

// key returns the declaration of a key that is read later.
func (s section) key(name string) key {
	return s.keys[slices.IndexFunc(s.keys, func(k key) bool { return k.name == name })]
}

func (s section) has(key string) bool { _, ok := s.fields[key]; return ok }

// get reads a single value. ok is false if the key is absent or an error in its value was reported.
func (s section) get(key string) (scalar, bool) {
	v, ok := s.fields[key]
	if !ok {
		return scalar{}, false
	}
	return v.scalar()
}

// require reports a key that is absent.
func (s section) require(key, example string) {
	if !s.has(key) && !s.broken && !s.meant[key] {
		s.l.fail(s.node.Line, join(s.path, key), "is missing", "write "+example)
	}
}

// list returns the elements of a list.
func (s section) list(key string) []value {
	v, ok := s.fields[key]
	if !ok {
		return nil
	}
	if v, ok = v.resolve(); !ok {
		return nil
	}
	if v.isNull() {
		v.fail("has no value", `write a list, "[]" for an empty one, or remove the key`)
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.fail("must be a list, not "+kindName(v.node),
			cmp.Or(hint(v.path+"{}"), `write "[a, b]", or one "- a" for each line`))
		return nil
	}
	all := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		all[i] = value{l: v.l, node: n, path: fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return all
}

// entriesOf returns the keys of a mapping within the section, or none if it is absent.
func (s section) entriesOf(key string) []entry {
	v, ok := s.fields[key]
	if !ok {
		return nil
	}
	all, _ := v.entries(join)
	return all
}

// one reads a single value with parse, or the key's default.
func one[T any](s section, name string, parse func(string) (T, complaint)) (def T) {
	if text := s.key(name).def; text != "" {
		def, _ = parse(text)
	}
	v, ok := s.get(name)
	if !ok {
		return def
	}
	got, c := parse(v.text)
	if !c.none() {
		v.complain(c)
		return def
	}
	return got
}

// each reads a list of single values with parse. Equal elements are reported.
func each[T any](s section, name string, parse func(string) (T, complaint)) (all []T) {
	seen := map[any]bool{}
	for _, e := range s.list(name) {
		v, ok := e.scalar()
		if !ok {
			continue
		}
		got, c := parse(v.text)
		id := any(got)
		if n, ok := id.(*Numbers); ok && n != nil {
			id = n.String()
		}
		switch {
		case !c.none():
			v.complain(c)
		case seen[id]:
			v.complain(refuse("is in the list twice", "keep one of them"))
		default:
			seen[id] = true
			all = append(all, got)
		}
	}
	return all
}

// notEmpty reports a list without elements.
func (s section) notEmpty(name string) {
	if v, ok := s.fields[name]; ok && s.elements(name) == 0 {
		if v, ok = v.resolve(); ok && v.node.Kind == yaml.SequenceNode { // an alias may also stand for an empty list
			v.fail("is an empty list", "write at least one")
		}
	}
}

// elements counts the elements of a list, including invalid ones.
func (s section) elements(name string) int {
	v, ok := s.fields[name]
	if ok {
		v, ok = v.resolve()
	}
	if !ok || v.node.Kind != yaml.SequenceNode {
		return 0
	}
	return len(v.node.Content)
}

// filled reports whether a key is present and its text is not empty.
func (s section) filled(name string) bool {
	v, ok := s.fields[name]
	if ok && v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!str" && v.node.Value == "" {
		return false
	}
	return ok
}

// suggest names the nearest known key. If none is near, it names all of them.
func suggest(key string, known []string) string {
	if best := Nearest(key, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "the keys here are " + strings.Join(known, ", ")
}

// meant returns a remedy. If a known value is near, the remedy starts with it.
func meant(text string, known []string, remedy string) string {
	if best := Nearest(text, known); best != "" {
		return fmt.Sprintf("did you mean %q? If not, %s", best, remedy)
	}
	return remedy
}

// Nearest returns the known word that a text probably stands for, or "". It allows one typing error, or two in a long
// word.
func Nearest(text string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(text), strings.ToLower(k)); d < at && (d < 2 && len(k) > 1 || len(k) > 4) {
			best, at = k, d
		}
	}
	return best
}

// distance returns the number of letters to change, insert, delete or swap with the next one to turn a into b. Long
// words count as far apart.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
