package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/mutate/mutation"
)

// run is a run of the program over a module.
type run struct {
	root, dir string
	match     string
	testsOf   map[string][]string // test packages by the package that is changed
	tests     []*test
}

// test is a test function of a compiled package.
type test struct {
	pkg, name string
	took      time.Duration
	reaches   map[int]bool
}

// draw finds all changes of these packages and draws n of them.
func (r *run) draw(of []string, seed string, n int) []*mutant {
	var all []*mutant
	r.testsOf = map[string][]string{}
	for _, pkg := range of {
		r.testsOf[pkg] = packages[pkg]
		files, err := r.goTool("list", "-f", `{{range .GoFiles}}{{.}} {{end}}`, "./"+pkg)
		check(err)
		for name := range strings.FieldsSeq(files) {
			file := filepath.Join(pkg, name)
			source, err := os.ReadFile(filepath.Join(r.root, file))
			check(err)
			found, err := find(file, string(source))
			check(err)
			all = append(all, found...)
		}
	}
	fmt.Fprintf(os.Stderr, "%d possible changes\n", len(all))
	return draw(all, seed, n)
}

func (r *run) goTool(args ...string) (string, error) {
	c := exec.CommandContext(context.Background(), "go", args...)
	c.Dir = r.root
	c.Stderr = os.Stderr
	out, err := c.Output()
	return string(out), err
}

// compile builds the tests of all packages with these changes in them.
func (r *run) compile(drawn []*mutant) {
	inFile := map[string][]*mutant{}
	var tested []string
	for _, m := range drawn {
		inFile[m.file] = append(inFile[m.file], m)
		tested = append(tested, r.testsOf[filepath.Dir(m.file)]...)
	}
	replace := map[string]string{}
	put := func(file, text string) {
		to := filepath.Join(r.dir, fmt.Sprint(len(replace), ".go"))
		check(os.WriteFile(to, []byte(text), 0o600))
		replace[filepath.Join(r.root, file)] = to
	}
	put("internal/mutation/mutation.go", string(runtimeSource))
	for file, mutants := range inFile {
		source, err := os.ReadFile(filepath.Join(r.root, file))
		check(err)
		put(file, apply(string(source), mutants))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	check(err)
	check(os.WriteFile(filepath.Join(r.dir, "overlay.json"), overlay, 0o600))
	slices.Sort(tested)
	for _, pkg := range slices.Compact(tested) {
		with := "-overlay=" + filepath.Join(r.dir, "overlay.json")
		_, err := r.goTool("test", "-vet=off", with, "-c", "-o", r.binary(pkg), "./"+pkg)
		check(err)
		out, err := r.start(pkg, 0, "", time.Minute, "-test.list", r.match)
		check(err)
		for name := range strings.FieldsSeq(out) {
			if regexp.MustCompile("^(Test|Fuzz|Example)").MatchString(name) {
				r.tests = append(r.tests, &test{pkg: pkg, name: name, reaches: map[int]bool{}})
			}
		}
	}
}

func (r *run) binary(pkg string) string {
	return filepath.Join(r.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// start runs a test binary with one change, or 0, and returns what it prints. A change may want all memory. Where
// another program has a test's port, the tests run again.
func (r *run) start(pkg string, id int, reached string, limit time.Duration, args ...string) (string, error) {
	args = append([]string{"-c", `ulimit -v 8000000; exec "$@"`, "sh", r.binary(pkg)}, args...)
	for again := 5; ; again-- {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		c := exec.CommandContext(ctx, "sh", args...)
		c.Dir = filepath.Join(r.root, pkg)
		c.Env = append(os.Environ(), fmt.Sprint(mutation.Active, "=", id), mutation.Reached+"="+reached)
		c.WaitDelay = time.Second
		out, err := c.CombinedOutput()
		err = errors.Join(err, ctx.Err())
		cancel()
		if err == nil || again == 0 || !strings.Contains(string(out), "address already in use") {
			return string(out), err
		}
		time.Sleep(time.Second)
	}
}

// record runs each test by itself and notes which changes it reaches. Tests that fail without a change are left out.
func (r *run) record() {
	file := filepath.Join(r.dir, "reached")
	r.tests = slices.DeleteFunc(r.tests, func(t *test) bool {
		_ = os.Remove(file)
		began := time.Now()
		out, err := r.start(t.pkg, 0, file, 10*time.Minute, "-test.short", "-test.run", "^"+t.name+"$")
		t.took = time.Since(began)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s of %s fails without a change:\n%s\n", t.name, t.pkg, out)
			return true
		}
		reached, _ := os.ReadFile(file)
		for id := range strings.FieldsSeq(string(reached)) {
			n, err := strconv.Atoi(id)
			check(err)
			t.reaches[n] = true
		}
		return len(t.reaches) == 0
	})
	fmt.Fprintf(os.Stderr, "%d tests reach a change\n", len(r.tests))
}

// reaching returns the tests that reach a change and whose package is to notice it: quick ones of few changes first.
func (r *run) reaching(m *mutant) (some []*test) {
	for _, t := range r.tests {
		if t.reaches[m.id] && slices.Contains(r.testsOf[filepath.Dir(m.file)], t.pkg) {
			some = append(some, t)
		}
	}
	slices.SortStableFunc(some, func(a, b *test) int {
		return cmp.Compare(a.took.Seconds()*float64(len(a.reaches)), b.took.Seconds()*float64(len(b.reaches)))
	})
	return some
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// try switches a change on and returns what notices it: a test, a crash or a time-out. It is empty if nothing does.
func (r *run) try(m *mutant) string {
	rest := r.reaching(m)
	for n := 6; len(rest) > 0; n *= 4 {
		now := rest[:min(n, len(rest))]
		rest = rest[len(now):]
		names, limit := map[string][]string{}, map[string]time.Duration{}
		for _, t := range now {
			names[t.pkg] = append(names[t.pkg], t.name)
			limit[t.pkg] += 10 * t.took
		}
		for pkg, names := range names {
			pattern := "^(" + strings.Join(names, "|") + ")$"
			out, err := r.start(pkg, m.id, "", 30*time.Second+limit[pkg], "-test.short", "-test.failfast", "-test.run", pattern)
			switch test := failed.FindAllStringSubmatch(out, -1); {
			case errors.Is(err, context.DeadlineExceeded):
				return "hangs"
			case err != nil && test == nil:
				return "crashes"
			case err != nil:
				return test[len(test)-1][1]
			}
		}
	}
	return ""
}
