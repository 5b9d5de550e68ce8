package config

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

// hintsText has a line for each remedy. It starts with the paths of keys from other systems; {} follows a path whose
// value has another form: a mapping or list instead of a single value, or the reverse.
//
//go:embed hints.txt
var hintsText string

var anyElement = regexp.MustCompile(`\[[0-9]+\]`)

// hint says what to write instead of another system's key, or returns "" if it is not one.
func hint(path string) string {
	for line := range strings.Lines(hintsText) {
		keys, remedy, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if slices.Contains(strings.Fields(keys), anyElement.ReplaceAllString(path, "[]")) {
			return remedy
		}
	}
	return ""
}
