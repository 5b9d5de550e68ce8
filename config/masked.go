package config

import (
	"regexp"
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
	secretArg  = regexp.MustCompile(`(?i)([?&][\w-]*(?:token|secret|key|passw|sig)[\w-]*=)[^&\s"'}]+`)
	headerLine = regexp.MustCompile(`(?i)^["']?[\w-]*(?:token|secret|passw|authorization|api[-_]?key)[\w-]*:\s*\S`)
	onlyNames  = regexp.MustCompile(`(?i)^["']?(bearer |basic |token )?\s*(\$\{[^}]*\}|\{\{[^}]*\}\})["']?\s*$`)
)

const masked = "***"

// isSecret reports whether the value of a key may be a secret itself.
func isSecret(key, value string) bool {
	return (secretKey.MatchString(key) && !namesOnly.MatchString(key) || headerLine.MatchString(value)) && value != "" &&
		!onlyNames.MatchString(value)
}

// Masked returns the text of a file without what looks like a secret: values of keys like token or Authorization,
// passwords and keys in URLs. The lines keep their numbers.
func Masked(text string) string {
	var root yaml.Node
	if yaml.Unmarshal([]byte(text), &root) == nil {
		text = withoutSecrets(text, &root)
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

// withoutSecrets masks the values below a node that may be secrets, wherever the text has them.
func withoutSecrets(text string, n *yaml.Node) string {
	for i, c := range n.Content { // an alias has none, so this ends
		if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.ScalarNode && isSecret(n.Content[i-1].Value, c.Value) {
			for line := range strings.SplitSeq(c.Value, "\n") {
				if line = strings.TrimSpace(line); len(line) >= 6 {
					text = strings.ReplaceAll(text, line, masked)
				}
			}
		}
		text = withoutSecrets(text, c)
	}
	return text
}
