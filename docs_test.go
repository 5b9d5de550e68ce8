package flowbridge_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"flowbridge/store"
)

// These match links, headings and names of Go files in a document.
var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	mdCode    = regexp.MustCompile("(?ms)^```.*?^```")
	goFile    = regexp.MustCompile("`([a-z0-9_/]+\\.go)`")
)

// These match names of tests in a document and definitions of tests in a file.
var (
	testNamed   = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	testDefined = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
)

// TestLinksOfDocuments checks that each link leads to an existing file and to an existing heading in it.
func TestLinksOfDocuments(t *testing.T) {
	headings := map[string][]string{}
	for _, file := range repositoryFiles(t, ".md") {
		for _, m := range mdHeading.FindAllStringSubmatch(mdCode.ReplaceAllString(read(t, file), ""), -1) {
			headings[file] = append(headings[file], anchor(m[1]))
		}
	}
	for file := range headings {
		for _, m := range mdLink.FindAllStringSubmatch(mdCode.ReplaceAllString(read(t, file), ""), -1) {
			name, heading, _ := strings.Cut(m[1], "#")
			if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
				continue
			}
			target := file
			if name != "" {
				target = filepath.Join(filepath.Dir(file), name)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads to no file", file, m[1])
			} else if heading != "" && !slices.Contains(headings[target], heading) {
				t.Errorf("%s: the link %s leads to no heading", file, m[1])
			}
		}
	}
}

// TestLinksOfPackage checks that each link of a document in the Debian package leads to a file of the package.
// scripts/package keeps the repository's layout.
func TestLinksOfPackage(t *testing.T) {
	packaged := func(file string) bool {
		ending := filepath.Ext(file)
		return slices.Contains([]string{"README.md", "CHANGELOG.md", "ARCHITECTURE.md", "SECURITY.md"}, file) ||
			strings.HasPrefix(file, "contrib/") && !strings.HasPrefix(file, "contrib/debian/") ||
			strings.HasPrefix(file, "docs/") && (slices.Contains([]string{".md", ".json", ".png"}, ending) || strings.HasPrefix(file, "docs/examples/"))
	}
	for _, file := range repositoryFiles(t, ".md") {
		for _, m := range mdLink.FindAllStringSubmatch(mdCode.ReplaceAllString(read(t, file), ""), -1) {
			name, _, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(file), name)
			if info, err := os.Stat(target); !packaged(file) || name == "" || strings.Contains(name, "://") || err == nil && info.IsDir() && packaged(target+"/x.md") {
				continue
			}
			if !packaged(target) {
				t.Errorf("%s: the link %s leads to no file of the package", file, m[1])
			}
		}
	}
}

// TestFilesOfArchitecture checks that each Go file named in the documents about the code exists.
func TestFilesOfArchitecture(t *testing.T) {
	files := repositoryFiles(t, ".go")
	for _, document := range []string{"ARCHITECTURE.md", "docs/contributing.md"} {
		for _, m := range goFile.FindAllStringSubmatch(read(t, document), -1) {
			if !slices.ContainsFunc(files, func(file string) bool { return strings.HasSuffix("/"+file, "/"+m[1]) }) {
				t.Errorf("%s names %s, which is not there", document, m[1])
			}
		}
	}
}

// TestTestsOfDocuments checks that each test, fuzz target and benchmark named in a document or in a package comment
// exists.
func TestTestsOfDocuments(t *testing.T) {
	defined := map[string]bool{}
	for _, file := range repositoryFiles(t, "_test.go") {
		for _, m := range testDefined.FindAllStringSubmatch(read(t, file), -1) {
			defined[m[1]] = true
		}
	}
	for _, file := range append(repositoryFiles(t, ".md"), repositoryFiles(t, "doc.go")...) {
		for _, name := range testNamed.FindAllString(read(t, file), -1) {
			if !defined[name] {
				t.Errorf("%s names %s, which is not there", file, name)
			}
		}
	}
}

// repositoryFiles returns the repository's files with an ending.
func repositoryFiles(t *testing.T, ending string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ending):
			files = append(files, path)
		}
		return nil
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files that end in %s: %v", len(files), ending, err)
	}
	return files
}

// anchor returns the URL fragment of a heading.
func anchor(heading string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
			return r
		}
		return -1
	}, strings.ToLower(heading))
	return kept
}

// TestDatabasesStayHere checks that neither commits nor images include the files that the store writes beside the
// program. The most important one is its key.
func TestDatabasesStayHere(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), filepath.Join(dir, "flowbridge.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 4 {
		t.Fatalf("%v, %v", files, err)
	}
	names := []string{"flowbridge.db.key.new", "flowbridge.db.live-b", "flowbridge.db.unwritten.jsonl", "flowbridge.db.damaged-20060102T150405.000Z", "flowbridge-ladders.db-wal"}
	for _, f := range files {
		names = append(names, f.Name())
	}
	for list, beginning := range map[string]string{".gitignore": "", ".dockerignore": "**/"} {
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if !slices.ContainsFunc(strings.Fields(string(text)), func(pattern string) bool {
				pattern, anywhere := strings.CutPrefix(pattern, beginning)
				ok, _ := filepath.Match(pattern, name)
				return ok && anywhere
			}) {
				t.Errorf("%s does not have %s", list, name)
			}
		}
	}
}
