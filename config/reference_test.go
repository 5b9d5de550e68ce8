package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// referenceTables is a table for each section. Sections with the same keys share one.
func referenceTables(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, s := range Reference() {
		title := "Sections"
		if s.Paths[0] != "" {
			title = strings.Join(s.Paths, ", ")
		}
		fmt.Fprintf(&b, "\n### %s\n\n| key | value | meaning |\n|-|-|-|\n", title)
		for _, k := range s.Keys {
			if k.Meaning == "" {
				t.Errorf("%s has no description: is its file embedded in schema.go?", join(s.Paths[0], k.Name))
			}
			value := k.Value // empty where the meaning lists the words
			if value == "true or false" || strings.Contains(value, ", ") && !slices.ContainsFunc(strings.Split(value, ", "), func(v string) bool {
				return !regexp.MustCompile(`(^|[ (])` + regexp.QuoteMeta(v) + `($|[ ,).:;])`).MatchString(k.Meaning)
			}) {
				value = ""
			}
			if value != "" && k.Default != "" && k.Default != "none" {
				value += "; "
			}
			fmt.Fprintf(&b, "| `%s` | %s%s | %s |\n", k.Name, value, strings.TrimSuffix(k.Default, "none"),
				regexp.MustCompile(`(^|[ (\[])("[^"]*"|\[[^\]]*\])`).ReplaceAllString(strings.ReplaceAll(k.Meaning, "|", `\|`), "$1`$2`"))
		}
	}
	return b.String() + "\n"
}
