package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// complaint is what is wrong with a value and what to do; the zero complaint means it is right.
type complaint struct {
	problem, remedy string
	hide            bool // the value may hold a secret
}

func refuse(problem, remedy string) complaint { return complaint{problem: problem, remedy: remedy} }

func (c complaint) none() bool { return c == complaint{} }

// section is a mapping whose keys are known. Each reading method gives the default for a key that is absent or wrong;
// what is wrong is reported.
type section struct {
	value
	fields map[string]value
	broken bool // it is no mapping, and that is reported
}

// section reads a mapping and reports every key that is not among known.
func (v value) section(known ...string) section {
	s := section{value: v, fields: map[string]value{}}
	all, ok := v.entries(join)
	s.broken = !ok
	for _, e := range all {
		if !slices.Contains(known, e.key) {
			v.l.fail(e.line, e.path, "unknown key", suggest(e.key, known))
			continue
		}
		s.fields[e.key] = e.value
	}
	return s
}

// sub reads a mapping within the section; absent, it is one without keys.
func (s section) sub(key string, known ...string) section {
	if v, ok := s.fields[key]; ok {
		return v.section(known...)
	}
	return section{value: value{l: s.l, node: s.node, path: join(s.path, key)}}
}

func (s section) has(key string) bool { _, ok := s.fields[key]; return ok }

// get reads a single value. ok is false if the key is absent or its value is reported already.
func (s section) get(key string) (scalar, bool) {
	v, ok := s.fields[key]
	if !ok {
		return scalar{}, false
	}
	return v.scalar()
}

// require reports a key that is absent.
func (s section) require(key, example string) {
	if !s.has(key) && !s.broken {
		s.l.fail(s.node.Line, join(s.path, key), "is missing", "write "+example)
	}
}

// list gives the elements of a list.
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
		v.fail("must be a list, not "+kindName(v.node), `write "[a, b]", or one "- a" for each line`)
		return nil
	}
	all := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		all[i] = value{l: v.l, node: n, path: fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return all
}

// one reads a single value through parse.
func one[T any](s section, key string, def T, parse func(string) (T, complaint)) T {
	v, ok := s.get(key)
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

// each reads a list of single values through parse. Equal elements are reported.
func each[T comparable](s section, key string, parse func(string) (T, complaint)) []T {
	var all []T
	for _, e := range s.list(key) {
		v, ok := e.scalar()
		if !ok {
			continue
		}
		got, c := parse(v.text)
		switch {
		case !c.none():
			v.complain(c)
		case slices.Contains(all, got):
			v.complain(refuse("is in the list twice", "keep one of them"))
		default:
			all = append(all, got)
		}
	}
	return all
}

func (s section) text(key string) string {
	return one(s, key, "", func(t string) (string, complaint) { return t, complaint{} })
}

func (s section) boolean(key string, def bool) bool {
	return one(s, key, def, func(t string) (bool, complaint) {
		if t != "true" && t != "false" {
			return false, refuse("is neither true nor false", "write true or false")
		}
		return t == "true", complaint{}
	})
}

func (s section) integer(key string, def, low, high int) int {
	return one(s, key, def, integerIn(low, high))
}

func integerIn(low, high int) func(string) (int, complaint) {
	return func(t string) (int, complaint) {
		n, err := strconv.Atoi(t)
		if err != nil || n < low || n > high {
			return 0, refuse("is not a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high), "write one")
		}
		return n, complaint{}
	}
}

func (s section) choice(key, def string, choices ...string) string {
	return one(s, key, def, func(t string) (string, complaint) {
		if !slices.Contains(choices, t) {
			return "", refuse("is not known here", "write one of "+strings.Join(choices, ", "))
		}
		return t, complaint{}
	})
}

func (s section) duration(key string, def time.Duration) time.Duration {
	return one(s, key, def, parseDuration)
}

// suggest names the nearest known key, or all of them.
func suggest(key string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(key), k); d < at && d < len(k) {
			best, at = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "the keys here are " + strings.Join(known, ", ")
}

// distance is the number of letters to change, add or take to come from a to b; long words are simply far apart.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(diagonal+cost, row[j]+1, row[j+1]+1)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
