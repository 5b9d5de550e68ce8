package config

import (
	"slices"
	"strings"
	"testing"
)

// A hint is for a key that the file does not have, and is found by its path.
func TestHints(t *testing.T) {
	known := map[string]bool{}
	for _, s := range allSections() {
		for _, path := range s.Paths {
			for _, k := range s.Keys {
				known[join(path, k.Name)] = true
			}
		}
	}
	var seen []string
	for line := range strings.Lines(hintsText) {
		keys, remedy, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || remedy == "" {
			t.Errorf("no remedy: %s", line)
		}
		for path := range strings.FieldsSeq(keys) {
			if known[path] || slices.Contains(seen, path) || hint(strings.ReplaceAll(path, "[]", "[12]")) != remedy {
				t.Errorf("%s is a key, is there twice, or has no hint", path)
			}
			seen = append(seen, path)
		}
	}
	if len(seen) < 20 || hint("trunks[0].soures") != "" {
		t.Error(seen)
	}
}
