package b2bua

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// docs/sip-conformance.md names tests that there are.
func TestConformanceNamesTests(t *testing.T) {
	text, err := os.ReadFile("../docs/sip-conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "../e2e/*_test.go", "../media/*_test.go", "../audio/*_test.go", "../config/*_test.go"} {
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
	named := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(string(text), -1)
	for _, name := range named {
		if !there[name] {
			t.Errorf("docs/sip-conformance.md names %s, which there is not", name)
		}
	}
	if len(named) < 50 {
		t.Errorf("docs/sip-conformance.md names %d tests", len(named))
	}
}
