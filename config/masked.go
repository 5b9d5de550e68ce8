package config

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// A file has no secrets where the reference asks for them: they are in files and in the environment. But headers and
// URLs may have some, and a file with errors may have anything.
var (
	secretKey = regexp.MustCompile(`(?i)(token|secret|passw|passphrase|passcode|authorization|api[-_]?key|private[-_]?key` +
		`|credential|dsn|bearer|pwd|(^|[-_.])pin($|[-_])|(?-i:[a-z]Pin($|[A-Z])))`)
	namesOnly  = regexp.MustCompile(`(?i)(_file|_env|_header|_in)$`)
	secretLine = regexp.MustCompile(`([\w.-]+)["']?[ \t]*:[ \t]+("(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|[^\s\[{#,}][^,}#\n]*)`)
	userinfo   = regexp.MustCompile(`(://)[^/@\s"']+:[^/@\s"']*@`)
	secretArg  = regexp.MustCompile(`(?i)([?&;][\w-]*(?:token|secret|key|passw|pwd|pin|sig|code|auth)[\w-]*=)[^&;\s"'>}]+`)
	headerLine = regexp.MustCompile(`(?i)^["']?[\w-]*(?:token|secret|passw|authorization|api[-_]?key)[\w-]*:\s*\S`)
	scheme     = regexp.MustCompile(`(?i)^["'\s]*(bearer|basic|token)\s+$`)
	filled     = regexp.MustCompile(`\$\{[^}]*\}|\{\{.*?\}\}`)
	keyLine    = regexp.MustCompile(`(?m)^([\s#]*)[^\s#].*$`)
	privateKey = regexp.MustCompile(`(?s)(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----)(.*?)(-----END|$)`)
	comment    = regexp.MustCompile(`(?m)(?:^|[ \t])#.*$`)
	// saying is a word of a comment that may stand before a secret, or a header.
	saying = regexp.MustCompile(`(?i)([\w-]*(?:token|secret|passw|passphrase|passcode|credential|authorization|bearer|basic|pwd|` +
		`api[-_]?key|\bauth\b|\bpin\b|\bx-\w)[\w-]*)(["']?(?:[ \t]*[:=])?[ \t]*)`)
	// mixed is a long word of a comment with letters and digits, which may be a secret by itself.
	mixed = regexp.MustCompile(`[\w+=-]{16,}`)
	// pasted matches the value of a key that names a file or a variable, if it is more likely the secret itself.
	pasted = regexp.MustCompile(`^["']?[^/.{$\s]*([a-z][^/.{$\s]*\d|\d[^/.{$\s]*[a-z])[^/.{$\s]*["']?$`)
)

const masked = "***"

// isSecret reports whether the value of a key may have a secret itself.
func isSecret(key, value string) bool {
	named := secretKey.MatchString(key) && (!namesOnly.MatchString(key) || len(value) >= 16 && pasted.MatchString(value))
	return (named || headerLine.MatchString(value)) && len(literals(value)) > 0
}

// literals returns the parts of a value that may be secret: all of it, or what is longer than three characters between
// its templates and variables.
func literals(value string) (all []string) {
	for _, part := range filled.Split(value, -1) {
		if len([]rune(part)) > 3 && !scheme.MatchString(part) || part == value && value != "" {
			all = append(all, part)
		}
	}
	return all
}

// Masked returns the text of a file without what looks like a secret: values of keys like token or Authorization, all
// values below headers, elements of lists below a body, passwords and keys in URLs, private keys, and words of comments
// that may be a secret. The lines keep their numbers.
func Masked(text string) string {
	return comment.ReplaceAllStringFunc(MaskedIn(text, text), maskedComment)
}

// maskedComment masks what comes after a word like token, and long words with letters and digits.
func maskedComment(text string) string {
	for _, at := range saying.FindAllStringSubmatchIndex(text, -1) {
		word, end := text[at[2]:at[3]], at[1]
		header := strings.HasPrefix(strings.ToLower(word), "x-") && !secretKey.MatchString(word)
		if end < len(text) && !namesOnly.MatchString(word) && (!header || strings.ContainsAny(text[at[4]:end], ":=")) {
			text = text[:end] + masked
			break
		}
	}
	return mixed.ReplaceAllStringFunc(text, func(word string) string {
		if strings.ContainsAny(word, "0123456789") && strings.ContainsFunc(word, unicode.IsLetter) {
			return masked
		}
		return word
	})
}

// MaskedIn masks a text that may quote a file.
func MaskedIn(file, text string) string {
	var root yaml.Node
	if yaml.Unmarshal([]byte(file), &root) == nil {
		secrets := secretsBelow(&root, "", 0, map[*yaml.Node]bool{})
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
	return maskedParts(text)
}

// maskedParts masks private keys, and passwords and keys in URLs.
func maskedParts(text string) string {
	text = privateKey.ReplaceAllStringFunc(text, func(found string) string {
		m := privateKey.FindStringSubmatch(found)
		return m[1] + keyLine.ReplaceAllString(m[2], "${1}"+masked) + m[3]
	})
	return secretArg.ReplaceAllString(userinfo.ReplaceAllString(text, "${1}"+masked+"@"), "${1}"+masked)
}

// maskedValue masks the value at a path, for an error that quotes it.
func maskedValue(path, value string) string {
	shown := maskedParts(value)
	named := isSecret(path[strings.LastIndex(path, ".")+1:], value)
	for _, secret := range literals(value) {
		if named || strings.Contains(path, ".headers.") && len(secret) > 3 {
			shown = strings.ReplaceAll(shown, secret, masked)
		}
	}
	return shown
}

// withoutSecret masks a secret wherever a text has it, and a short one only as a word.
func withoutSecret(text, secret string) string {
	if len(secret) >= 6 {
		return strings.ReplaceAll(text, secret, masked)
	}
	word := regexp.MustCompile(`(^|[\s:"'{}\[,])` + regexp.QuoteMeta(secret) + `($|[\s,"'{}\]])`)
	return word.ReplaceAllString(text, "${1}"+masked+"${2}")
}

// secretsBelow returns the lines and words of the values below a node that may be secrets. hidden is how long a literal
// is that may be one whatever its key is, below headers or in a list of a body; 0: there is none.
func secretsBelow(n *yaml.Node, key string, hidden int, seen map[*yaml.Node]bool) (all []string) {
	switch {
	case n.Kind == yaml.AliasNode && !seen[n.Alias] && (hidden > 0 || secretKey.MatchString(key)):
		seen[n.Alias] = true // an alias may be below itself
		return secretsBelow(n.Alias, key, hidden, seen)
	case n.Kind == yaml.ScalarNode && (hidden > 0 || isSecret(key, n.Value)):
		for _, part := range literals(n.Value) {
			if len(part) >= hidden || isSecret(key, n.Value) {
				all = append(all, pieces(part)...)
			}
		}
		return slices.DeleteFunc(all, func(text string) bool { return len(text) < 2 })
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		below, hides := hiddenBelow(n, i, key, hidden)
		all = append(all, secretsBelow(c, below, hides, seen)...)
	}
	return all
}

// hiddenBelow returns the key of a part of a node, and how long a literal in it is that may be a secret.
func hiddenBelow(n *yaml.Node, i int, key string, hidden int) (below string, hides int) {
	inBody := strings.HasPrefix(key, "body")
	if n.Kind != yaml.MappingNode {
		if n.Kind == yaml.SequenceNode && inBody {
			hidden = cmp.Or(hidden, 4)
		}
		return key, hidden
	}
	below = n.Content[i-1].Value
	if below == "headers" {
		hidden = 1
	}
	if inBody {
		below = "body." + below
	}
	return below, hidden
}

// pieces returns the forms in which a text of a file may be quoted.
func pieces(text string) (all []string) {
	all = append(all, strings.Trim(strconv.Quote(text), `"`)) // with escapes
	for line := range strings.SplitSeq(text, "\n") {
		all = append(all, strings.TrimSpace(line))
		for word := range strings.FieldsSeq(line) { // it may be folded
			if len(word) >= 8 {
				all = append(all, word)
			}
		}
	}
	return all
}
