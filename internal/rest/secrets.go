package rest

import (
	"encoding/json"
	"slices"
	"strings"
)

// namesSecret reports whether a member with this name holds a secret, or an object or list of secrets: trunk_pwd,
// authentication.password, server.secret, apiKey, X-Api-Key, … All headers count as secret, because only their receiver
// knows which ones are keys.
func namesSecret(key string) bool {
	key = strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(key))
	switch {
	case strings.HasSuffix(key, "headers"):
		return true
	case strings.Contains(key, "max") && strings.HasSuffix(key, "tokens"): // a limit for a language model
		return false
	}
	return slices.ContainsFunc([]string{
		"pwd", "passwd", "password", "passphrase", "secret", "token", "apikey", "authorization", "privatekey",
	}, func(w string) bool { return strings.Contains(key, w) })
}

// Masked returns a JSON value in which everything below the name of a secret is replaced: texts, numbers and booleans,
// at any depth. Empty texts and null stay, because they show that there is no secret.
func Masked(v any) any { return masked(v, false) }

func masked(v any, secret bool) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = masked(e, secret)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = masked(e, secret || namesSecret(k))
		}
		return out
	}
	if secret && v != nil && v != "" {
		return Redacted
	}
	return v
}

// Secrets returns the texts and numbers in a JSON value that Masked would replace, as text. It omits booleans, because
// their words are common in any text.
func Secrets(v any) []string { return secrets(v, false) }

func secrets(v any, secret bool) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			all = append(all, secrets(e, secret)...)
		}
	case map[string]any:
		for k, e := range v {
			all = append(all, secrets(e, secret || namesSecret(k))...)
		}
	case string:
		if secret && v != "" {
			all = append(all, v)
		}
	case json.Number:
		if secret {
			all = append(all, v.String())
		}
	}
	return all
}
