package config

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

// hintsText has a line for each remedy: first the paths of keys that other systems have, {} behind a value of another
// form: a mapping or list in place of a single value, or the reverse.
//
//go:embed hints.txt
var hintsText string

var anyElement = regexp.MustCompile(`\[[0-9]+\]`)

// hint says what to write in place of a key of another system; "": the key is of none.
func hint(path string) string {
	for line := range strings.Lines(hintsText) {
		keys, remedy, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if slices.Contains(strings.Fields(keys), anyElement.ReplaceAllString(path, "[]")) {
			return remedy
		}
	}
	return ""
}
