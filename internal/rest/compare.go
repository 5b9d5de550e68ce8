package rest

import (
	"bytes"
	"maps"
	"slices"
	"strings"
)

// Difference is a member of an object that is not, or can't be seen to be, as it was asked for.
type Difference struct {
	Path     string // "agent.prompt"
	Have     any
	Want     any
	NotShown bool // the API does not give it back, so nobody can compare it; of secrets always
}

// Compare gives what of want is otherwise in have. Objects are compared member by member, because updates leave the
// members alone that they don't name; lists as a whole.
func Compare(have, want Object) []Difference { return compare("", have, want) }

func compare(prefix string, have, want Object) (all []Difference) {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		v, ok := have[key]
		in, isObject := want.Object(key)
		there, bothObjects := have.Object(key)
		switch {
		case isObject && bothObjects:
			all = append(all, compare(prefix+key+".", there, in)...)
		case NamesSecret(key):
			all = append(all, Difference{Path: prefix + key, NotShown: true})
		case !ok && want[key] != nil:
			all = append(all, Difference{Path: prefix + key, Want: want[key], NotShown: true})
		case !equal(v, want[key]):
			all = append(all, Difference{Path: prefix + key, Have: v, Want: want[key]})
		}
	}
	return all
}

// equal says whether two values are the same JSON.
func equal(a, b any) bool {
	x, err1 := Object{"": a}.Marshal()
	y, err2 := Object{"": b}.Marshal()
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// NamesSecret says whether the name of a member is that of a secret: trunk_pwd, authentication.password, server.secret,
// serverUrlSecret, apiKey, …
func NamesSecret(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{
		"pwd", "password", "secret", "token", "apikey", "api_key", "authorization", "privatekey", "private_key",
	}, func(w string) bool { return strings.Contains(key, w) })
}

// Masked is a JSON value in which the texts of members that hold secrets are replaced.
func Masked(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Masked(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = Masked(e)
			if s, isText := e.(string); isText && s != "" && NamesSecret(k) {
				out[k] = Redacted
			}
		}
		return out
	}
	return v
}

// Secrets are the texts in a JSON value that Masked would replace.
func Secrets(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			all = append(all, Secrets(e)...)
		}
	case map[string]any:
		for k, e := range v {
			if s, isText := e.(string); isText && s != "" && NamesSecret(k) {
				all = append(all, s)
			}
			all = append(all, Secrets(e)...)
		}
	}
	return all
}
