package b2bua

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// docs/sip-conformance.md and the decisions in call/doc.go name tests that exist.
func TestConformanceNamesTests(t *testing.T) {
	there := map[string]bool{}
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "../cmd/flowbridge/e2e/*_test.go", "../media/*_test.go", "../media/*/*_test.go", "../config/*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(source, -1) {
				there[string(m[1])] = true
			}
		}
	}
	for file, atLeast := range map[string]int{"../docs/sip-conformance.md": 50, "call/doc.go": 10, "transport/doc.go": 10} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(string(text), -1)
		for _, name := range named {
			if !there[name] {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
		}
		if len(named) < atLeast {
			t.Errorf("%s names %d tests", file, len(named))
		}
	}
}
