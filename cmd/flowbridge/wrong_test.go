package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowbridge/cmd/flowbridge/cli"
)

var update = flag.Bool("update", false, "write testdata/wrong.golden or scripts/internal/released-names anew: add -run")

// place is the form in which a mistake is reported: program, file, line, key, and what
// to do.
var place = regexp.MustCompile(`^(flowbridge|warning): testdata/wrong/[a-z0-9-]+\.yaml:\d+: [a-z_]+.*: .+; .+$`)

// wholeFile is the form for mistakes without a key, and sometimes without a line.
var wholeFile = regexp.MustCompile(`^flowbridge: testdata/wrong/(empty|file)[a-z0-9-]*\.yaml(:\d+)?: .+; .+$`)

// TestWrongConfigurations: each file of testdata/wrong has one mistake. check and serve
// report its file, line, key and remedy, and exit with 2. A file named doubt-… is valid
// and causes a warning.
func TestWrongConfigurations(t *testing.T) {
	t.Setenv("WRONG_TOKEN", "wrong-token")
	t.Setenv("WRONG_QUOTED", `"wrong-token"`)
	t.Setenv("WRONG_LINES", "wrong-token\nwrong-token")
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if err := os.Chmod("testdata/wrong/open.token", 0o644); err != nil { // a clone may have another umask
		t.Fatal(err)
	}
	must(t, os.Chmod("testdata/wrong/closed.token", 0o600))
	var golden strings.Builder
	seen := map[string]string{}
	for _, file := range files {
		code, lines := runOn("check", file)
		fmt.Fprintf(&golden, "%s: exit %d\n", strings.TrimSuffix(filepath.Base(file), ".yaml"), code)
		doubt := strings.HasPrefix(filepath.Base(file), "doubt-")
		if want := cli.ExitUsage; len(lines) == 0 || (code != want) != doubt || (code != 0) == doubt {
			t.Errorf("%s: exit code %d\n%s", file, code, strings.Join(lines, "\n"))
		}
		for _, l := range lines {
			fmt.Fprintf(&golden, "  %s\n", l)
			if !place.MatchString(l) && !wholeFile.MatchString(l) {
				t.Errorf("%s: no file, line, key and remedy: %s", file, l)
			}
			if strings.Contains(l, "wrong-token") || strings.Contains(l, "wrong_token") || strings.Contains(l, "everybody-reads-this") || strings.Contains(l, "user:secret") {
				t.Errorf("%s shows a secret: %s", file, l)
			}
		}
		all := strings.ReplaceAll(strings.Join(lines, "\n"), file, "")
		if other, again := seen[all]; again && !strings.Contains(all, "is empty") {
			t.Errorf("%s has the mistake of %s", file, other)
		}
		seen[all] = file
		if doubt || code == 0 { // serve would accept it and keep running
			continue
		}
		if served, said := runOn("serve", file); served != code || !cmp.Equal(said, lines) {
			t.Errorf("%s: serve: exit code %d\n%s", file, served, strings.Join(said, "\n"))
		}
	}
	if *update {
		must(t, os.WriteFile("testdata/wrong.golden", []byte(golden.String()), 0o644))
	}
	want, err := os.ReadFile("testdata/wrong.golden")
	must(t, err)
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(golden.String(), "\n")); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
}

// runOn returns the exit code of a command, and its lines about the file.
func runOn(name, file string) (code int, lines []string) {
	var out bytes.Buffer
	code = cli.Run(context.Background(), command(), []string{name, "--config", file}, &out, &out)
	for l := range strings.Lines(out.String()) {
		if l = strings.TrimSuffix(l, "\n"); strings.Contains(l, ": "+file) {
			lines = append(lines, l)
		}
	}
	return code, lines
}
