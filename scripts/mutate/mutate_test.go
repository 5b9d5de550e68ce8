package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `package sample

import "sync"

type counter struct {
	sync.Mutex
	n, most int
}

func (c *counter) add(n int) bool {
	c.Lock()
	defer c.Unlock()
	if n < 0 ||
		c.n+n > c.most && c.most != 0 || n >= 10 && n <= 12 { return false }
	switch {
	case n == 0:
		c.most++
		return true
	case n == 1 && c.most == 5:
		c.most = 6
		fallthrough
	default:
		c.n += n
		c.most = max(c.most, 1)
	}
	func() { c.n++; if c.n > 0 && c.most > 0 { c.n-- } }()
	return c.n <= c.most
}

func (c *counter) reset() { c.n = 0 }
`

const sampleTest = `package sample

import "testing"

func TestAdd(t *testing.T) {
	c := counter{most: 3}
	for _, ok := range []bool{c.add(1), c.add(2), !c.add(1), !c.add(-1)} {
		if !ok {
			t.Error("wrong")
		}
	}
	if c.n != 3 {
		t.Error(c.n)
	}
}
`

// A changed file has the lines of the original and compiles with all of its changes, also where they share a place. A
// change is noticed by a test that reaches it, and one that none reaches survives.
func TestChanges(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module flowbridge\n\ngo 1.26.0\n", "sample/sample.go": sample, "sample/sample_test.go": sampleTest,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages["sample"] = []string{"sample"}
	t.Cleanup(func() { delete(packages, "sample") })
	r := &run{root: root, dir: t.TempDir(), match: "TestAdd"}
	drawn := r.draw([]string{"sample"}, "1", 1000)
	if got := apply(sample, drawn); strings.Count(got, "\n") != strings.Count(sample, "\n") {
		t.Errorf("the lines are others:\n%s", got)
	}
	r.compile(drawn)
	r.record()
	got := map[string]string{}
	for _, m := range drawn {
		got[m.change] = r.try(m)
	}
	for change, want := range map[string]string{
		"add: drop c.Lock()":                                          "crashes",
		"add: return false at once":                                   "TestAdd",
		"add: negate c.n <= c.most":                                   "TestAdd",
		"add: <= becomes < in c.n <= c.most":                          "TestAdd",
		"add: > becomes >= in c.n+n > c.most":                         "TestAdd",
		"add: < becomes <= in n < 0":                                  "", // TestAdd adds no 0
		"add: ignore n < 0 in n < 0 || c.n+n > c.most && c.most != 0": "TestAdd",
		"add: && becomes || in c.n+n > c.most && c.most != 0":         "TestAdd",
		"add: ignore c.most != 0 in c.n+n > c.most && c.most != 0":    "",
		"add: empty the case of c.n += n c.most = max(c.most, 1)":     "TestAdd",
		"add: drop c.n += n":                                          "TestAdd",
		"add: drop c.most++":                                          "",
		"reset: return at once":                                       "",
	} {
		if by, ok := got[change]; !ok || by != want {
			t.Errorf("%s: %q, found %v; want %q", change, by, ok, want)
		}
	}
}

// The draw is the same for the same seed, and a change elsewhere in the file keeps it.
func TestDraw(t *testing.T) {
	names := func(source, seed string) string {
		found, err := find("sample.go", source)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range draw(found, seed, 5) {
			all = append(all, m.name)
		}
		return strings.Join(all, " ")
	}
	one := names(sample, "1")
	if moved := names(strings.Replace(sample, "\n\n", "\n\n// new lines\n\n", 2), "1"); moved != one {
		t.Errorf("%s; after lines were added %s", one, moved)
	}
	if other := names(sample, "2"); other == one {
		t.Errorf("seed 2 draws the same: %s", other)
	}
}
