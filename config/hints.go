package config

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

// hintsText has one line for each remedy. A line starts with the paths of keys from other systems. {} after a path
// means that the value has another form there: a mapping or list instead of a single value, or the reverse.
//
//go:embed hints.txt
var hintsText string

var anyElement = regexp.MustCompile(`\[[0-9]+\]`)

// hint returns the remedy for a key of another system. It returns "" if the key is not one.
func hint(path string) string {
	for line := range strings.Lines(hintsText) {
		keys, remedy, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if slices.Contains(strings.Fields(keys), anyElement.ReplaceAllString(path, "[]")) {
			return remedy
		}
	}
	return ""
}
