// Mutate changes one line at a time of the packages that carry calls, and tells which changes no test notices.
//
// All drawn changes are compiled at once, each behind a switch, by an overlay: no file of the tree is touched. Every
// test is run once by itself to learn which changes it reaches. Then each change is switched on for the tests that
// reach it, until one of them fails. The answer to a survivor is a story that fails with it, or to delete the line.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed mutation/mutation.go
var runtimeSource []byte

// runtimePath is where the overlay puts package mutation.
const runtimePath = "flowbridge/internal/mutation"

// packages are what is changed, each with the packages whose tests must notice.
var packages = map[string][]string{
	"b2bua":        {"b2bua", "b2bua/calltest"},
	"b2bua/call":   {"b2bua/call", "b2bua/calltest"},
	"b2bua/bridge": {"b2bua/bridge", "b2bua/calltest"},
	"media/stage":  {"media/stage", "media"},
}

func main() {
	root := flag.String("root", "..", "the module's directory")
	seed := flag.String("seed", "1", "draws the changes")
	n := flag.Int("n", 160, "how many changes are drawn")
	only := flag.String("only", "", "names of drawn changes, with commas")
	in := flag.String("packages", "b2bua,b2bua/call,b2bua/bridge,media/stage", "what is changed")
	list := flag.Bool("list", false, "print the drawn changes only")
	match := flag.String("run", ".", "a pattern of the tests, as of go test")
	flag.Parse()
	dir, err := os.MkdirTemp("", "mutate")
	check(err)
	defer os.RemoveAll(dir)
	r := &run{root: absolute(*root), dir: dir, match: *match}
	drawn := r.draw(strings.Split(*in, ","), *seed, *n)
	if *only != "" {
		drawn = slices.DeleteFunc(drawn, func(m *mutant) bool { return !strings.Contains(*only, m.name) })
	}
	if *list {
		for _, m := range drawn {
			fmt.Fprintln(os.Stdout, m)
		}
		return
	}
	r.compile(drawn)
	r.record()
	report(r, drawn)
}

// report tries each change and prints what becomes of it, and the survivors again.
func report(r *run, drawn []*mutant) {
	var alive []string
	for i, m := range drawn {
		began := time.Now()
		by := r.try(m)
		if by == "" {
			alive = append(alive, fmt.Sprintf("%v [%d tests]", m, len(r.reaching(m))))
			by = "ALIVE"
		}
		fmt.Fprintf(os.Stdout, "%d/%d %.1fs %v: %s\n", i+1, len(drawn), time.Since(began).Seconds(), m, by)
	}
	fmt.Fprintf(os.Stdout, "\n%d of %d survive:\n%s\n", len(alive), len(drawn), strings.Join(alive, "\n"))
}

func (m *mutant) String() string {
	change := m.change
	if len(change) > 160 {
		change = change[:160] + "…"
	}
	return fmt.Sprintf("%s %s:%d %s", m.name, m.file, m.line, change)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func absolute(path string) string {
	path, err := filepath.Abs(path)
	check(err)
	return path
}
