package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A file has no secrets where the reference asks for them: they are in files and in the environment. But headers and
// URLs may have some, and a file with errors may have anything.
var (
	secretKey  = regexp.MustCompile(`(?i)(token|secret|passw|passphrase|authorization|api[-_]?key|credential|dsn|bearer)`)
	namesOnly  = regexp.MustCompile(`(?i)(_file|_env|_header|_in|^tokens)$`)
	secretLine = regexp.MustCompile(`([\w.-]+)["']?[ \t]*:[ \t]+("(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|[^\s\[{#,}][^,}#\n]*)`)
	userinfo   = regexp.MustCompile(`(://)[^/@\s"']+:[^/@\s"']*@`)
	secretArg  = regexp.MustCompile(`(?i)([?&][\w-]*(?:token|secret|key|passw|sig|code|auth)[\w-]*=)[^&\s"'}]+`)
	headerLine = regexp.MustCompile(`(?i)^["']?[\w-]*(?:token|secret|passw|authorization|api[-_]?key)[\w-]*:\s*\S`)
	onlyNames  = regexp.MustCompile(`(?i)^["']?(bearer |basic |token )?\s*(\$\{[^}]*\}|\{\{[^}]*\}\})["']?\s*$`)
	// pasted matches the value of a key that names a file or a variable, if it is more likely the secret itself.
	pasted = regexp.MustCompile(`^["']?[^/.{$\s]*([a-z][^/.{$\s]*\d|\d[^/.{$\s]*[a-z])[^/.{$\s]*["']?$`)
)

const masked = "***"

// isSecret reports whether the value of a key may be a secret itself.
func isSecret(key, value string) bool {
	named := secretKey.MatchString(key) && (!namesOnly.MatchString(key) || len(value) >= 16 && pasted.MatchString(value))
	return (named || headerLine.MatchString(value)) && value != "" && !onlyNames.MatchString(value)
}

// Masked returns the text of a file without what looks like a secret: values of keys like token or Authorization, all
// values below headers, passwords and keys in URLs. The lines keep their numbers.
func Masked(text string) string { return MaskedIn(text, text) }

// MaskedIn masks a text that may quote a file.
func MaskedIn(file, text string) string {
	var root yaml.Node
	if yaml.Unmarshal([]byte(file), &root) == nil {
		secrets := secretsBelow(&root, "", false, map[*yaml.Node]bool{})
		slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
		for _, secret := range secrets {
			text = withoutSecret(text, secret)
		}
	}
	text = secretLine.ReplaceAllStringFunc(text, func(found string) string {
		m := secretLine.FindStringSubmatch(found)
		if value := strings.TrimRight(m[2], " \t\r"); isSecret(m[1], value) && value != "|" && value != ">" {
			return strings.TrimSuffix(found, m[2]) + masked + m[2][len(value):]
		}
		return found
	})
	return secretArg.ReplaceAllString(userinfo.ReplaceAllString(text, "${1}"+masked+"@"), "${1}"+masked)
}

// withoutSecret masks a secret wherever a text has it, and a short one only as a word.
func withoutSecret(text, secret string) string {
	if len(secret) >= 6 {
		return strings.ReplaceAll(text, secret, masked)
	}
	word := regexp.MustCompile(`(^|[\s:"'])` + regexp.QuoteMeta(secret) + `($|[\s,"'}\]])`)
	return word.ReplaceAllString(text, "${1}"+masked+"${2}")
}

// secretsBelow returns the lines and words of the values below a node that may be secrets. inHeaders reports that a key
// headers is above.
func secretsBelow(n *yaml.Node, key string, inHeaders bool, seen map[*yaml.Node]bool) (all []string) {
	switch {
	case n.Kind == yaml.AliasNode && !seen[n.Alias] && (inHeaders || secretKey.MatchString(key)):
		seen[n.Alias] = true // an alias may be below itself
		return secretsBelow(n.Alias, key, inHeaders, seen)
	case n.Kind == yaml.ScalarNode &&
		(isSecret(key, n.Value) || inHeaders && n.Value != "" && !onlyNames.MatchString(n.Value)):
		quoted := strconv.Quote(n.Value)
		all = append(all, strings.Trim(quoted, `"`)) // with escapes
		for line := range strings.SplitSeq(n.Value, "\n") {
			all = append(all, strings.TrimSpace(line))
			for word := range strings.FieldsSeq(line) { // it may be folded
				if len(word) >= 8 && !onlyNames.MatchString(word) {
					all = append(all, word)
				}
			}
		}
		return slices.DeleteFunc(all, func(text string) bool { return len(text) < 2 })
	}
	for i, c := range n.Content {
		below := key
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			below = n.Content[i-1].Value
		}
		all = append(all, secretsBelow(c, below, inHeaders || below == "headers", seen)...)
	}
	return all
}
