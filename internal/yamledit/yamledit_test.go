package yamledit

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const element = "name: new\nheaders:\n  X-EI: \"S.x;\"\n"

func TestPrepend(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":  {"", "targets:\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n"},
		"comments": {"# ours\n", "# ours\ntargets:\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n"},
		"another key": {
			"sip: {listen: [\"udp://0.0.0.0:5060\"]} # x",
			"sip: {listen: [\"udp://0.0.0.0:5060\"]} # x\ntargets:\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n",
		},
		"a list": {
			"# top\ntargets:   # ours\n  # the first\n  - {name: a}\n\n  - name: b # two\nroutes: []\n",
			"# top\ntargets:   # ours\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n  # the first\n  - {name: a}\n\n  - name: b # two\nroutes: []\n",
		},
		"no indentation":   {"targets:\n- a\n", "targets:\n- name: new\n  headers:\n    X-EI: \"S.x;\"\n- a\n"},
		"much indentation": {"targets:\n      - a", "targets:\n      - name: new\n        headers:\n          X-EI: \"S.x;\"\n      - a"},
		"no value":         {"targets: # none\nroutes:", "targets: # none\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\nroutes:"},
		"no end":           {"routes:\ntargets:", "routes:\ntargets:\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n"},
		"quoted key":       {"\"targets\":\n  - a\n", "\"targets\":\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n  - a\n"},
		"document start":   {"---\ntargets:\n  - a\n", "---\ntargets:\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n  - a\n"},
		"block text":       {"x: |\n  targets:\n    - a\n", "x: |\n  targets:\n    - a\ntargets:\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n"},
		"CRLF":             {"targets:\r\n  - a\r\n", "targets:\r\n  - name: new\r\n    headers:\r\n      X-EI: \"S.x;\"\r\n  - a\r\n"},
		"an empty list":    {"targets: [ ]  # none\nroutes: []\n", "targets:  # none\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\nroutes: []\n"},
		"an empty one":     {"targets: []", "targets:\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n"},
		"anchors":          {"targets: &t\n  - &a {x: 1}\n  - *a\n", "targets: &t\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n  - &a {x: 1}\n  - *a\n"},
		"byte order mark":  {"\ufefftargets:\n  - a\n", "\ufefftargets:\n  - name: new\n    headers:\n      X-EI: \"S.x;\"\n  - a\n"},
	} {
		got, err := Prepend([]byte(tt.text), "targets", element)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
	}
}

// A file that can't be edited as text is refused, and not damaged.
func TestPrependRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"flow list": "targets: [a]\n", "flow file": "{targets: []}\n", "flow file, no list": "{sip: {}}\n",
		"null": "targets: ~\n", "text": "targets: a\n", "mapping": "targets:\n  a: b\n", "alias": "x: &x\n  - a\ntargets: *x\n", "list": "- a\n",
		"two documents": "a: b\n---\na: b\n", "ended": "a: b\n...\n", "no YAML": "a: [\n", "kept lines": "a: |+\n  x\n\nb: |+\n  y\n\n\n...\n",
		"flow, several lines": "targets: [\n  a,\n]\n", "anchor below": "targets:\n  &t\n  - a\n",
	} {
		if got, err := Prepend([]byte(text), "targets", element); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
	}
	for _, bad := range []string{"", "a: [", "a: b\n---\nc: d"} {
		if got, err := Prepend([]byte("targets:\n  - a\n"), "targets", bad); !errors.Is(err, ErrForm) {
			t.Errorf("%q: %v, got\n%s", bad, err, got)
		}
	}
}

// bare returns a line without its line end and without the brackets of an empty list.
func bare(line []byte) []byte {
	return bytes.TrimRight(withoutEmpty(append(bytes.TrimRight(line, "\r"), '\n')), "\n")
}

// FuzzPrepend checks that in any file, the old lines stay in order, and only the element is
// added.
func FuzzPrepend(f *testing.F) {
	for _, s := range []string{
		"", "# x\n", "targets:\n  - a\n", "targets:\n- a: |+\n    x\n\n", "a: b\r\ntargets:\r\n", "targets: &x\n  - *y\n", "targets:\n\t- a\n", "? targets\n:\n  - a\n",
		"targets:\n  - a\n...\n", "targets: []\n", "a: []\ntargets: [ ] # x", "%YAML 1.1\n---\ntargets:\n  -\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := Prepend(text, "targets", element)
		if err != nil {
			return
		}
		added := strings.Count(element, "\n") + 2 // with the key's own line, and the end of the last one
		old, now := bytes.Split(text, []byte("\n")), bytes.Split(out, []byte("\n"))
		if extra := len(now) - len(old); extra < added-2 || extra > added {
			t.Fatalf("%d lines became %d: %q", len(old), len(now), out)
		}
		i := 0
		for _, l := range now {
			if i < len(old) && bytes.Equal(bare(l), bare(old[i])) {
				i++
			}
		}
		if i != len(old) {
			t.Fatalf("line %d of %q is not in %q", i, text, out)
		}
	})
}
