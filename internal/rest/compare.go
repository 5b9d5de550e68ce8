package rest

import (
	"bytes"
	"maps"
	"slices"
)

// Difference is a member of an object that does not have the wanted value, or can't be compared.
type Difference struct {
	Path     string // "agent.prompt"
	Have     any
	Want     any
	NotShown bool // the API does not return it, so it can't be compared; always true for secrets
}

// Compare returns the members of want that differ in have. Objects are compared member by member, because updates leave
// members that they don't name unchanged; lists are compared as a whole.
func Compare(have, want Object) []Difference { return compare("", have, want) }

func compare(prefix string, have, want Object) (all []Difference) {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		v, ok := have[key]
		in, isObject := want.Object(key)
		there, bothObjects := have.Object(key)
		switch {
		case namesSecret(key): // members of a secret are secret, too
			all = append(all, Difference{Path: prefix + key, NotShown: true})
		case isObject && bothObjects:
			all = append(all, compare(prefix+key+".", there, in)...)
		case !ok && want[key] != nil:
			all = append(all, Difference{Path: prefix + key, Want: want[key], NotShown: true})
		case !equal(v, want[key]):
			all = append(all, Difference{Path: prefix + key, Have: v, Want: want[key]})
		}
	}
	return all
}

// equal reports whether two values are the same JSON.
func equal(a, b any) bool {
	x, err1 := Object{"": a}.Marshal()
	y, err2 := Object{"": b}.Marshal()
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
