package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// names sorts the names of this version: those of the release, and those that came after it.
type names struct{ released, later map[string]bool }

func newNames(now, released []string) names {
	n := names{map[string]bool{}, map[string]bool{}}
	for _, name := range released {
		n.released[name] = true
	}
	for _, name := range now {
		if !n.released[name] {
			n.later[name] = true
		}
	}
	return n
}

// otherMeanings has words of settings that came after the release, and that its documents have with another meaning: a
// value of srtp and rel100, the time limit of a transfer's announcement, and a fault of the stand-in platforms.
var otherMeanings = []string{"required", "within", "early"}

// isLater reports whether a name, or the end of one after a dot, came after the release. A word by itself did not if the
// release has it with another meaning.
func (n names) isLater(kind, end string) bool {
	if kind == "setting" && (n.released["word "+end] || slices.Contains(otherMeanings, end)) {
		return false
	}
	has := func(all map[string]bool) bool {
		if all[kind+" "+end] {
			return true
		}
		for name := range all {
			if strings.HasPrefix(name, kind+" ") && strings.HasSuffix(name, "."+end) {
				return true
			}
		}
		return false
	}
	return has(n.later) && !has(n.released)
}

// part is a paragraph, an entry of a list, a row of a table, a heading or a block of code.
type part struct {
	line     int
	text     string
	language string   // of a block of code: yaml, sh, or "code" for an indented one
	sections []string // the headings above it, each with a paragraph that only marks it
}

var (
	mark      = regexp.MustCompile(`\(from (\d+\.\d+)\)`)
	marksOnly = regexp.MustCompile(`^From (\d+\.\d+)\.$`)
	heading   = regexp.MustCompile(`^(#+) `)
	beginning = regexp.MustCompile(`^\s*(?:[-*]|\d+\.) |^\|`) // of an entry or a row
	span      = regexp.MustCompile("`([^`]+)`")
)

// partsOf splits a document.
func partsOf(document string) (parts []part) {
	var sections []string
	open := false // the last part goes on in the next line
	fenced := false
	for i, line := range strings.Split(document, "\n") {
		last := len(parts) - 1
		begin := func(language string) {
			parts = append(parts, part{line: i + 1, text: line, language: language, sections: slices.Clone(sections)})
			open = true
		}
		trimmed := strings.TrimSpace(line)
		switch language, fence := strings.CutPrefix(trimmed, "```"); {
		case fenced:
			if open, fenced = !fence, !fence; !fence {
				parts[last].text += "\n" + line
			}
		case fence:
			fenced = true
			begin("fenced " + language)
			parts[last+1].text = ""
		case heading.MatchString(line):
			level := len(heading.FindStringSubmatch(line)[1])
			for len(sections) < level { // a heading may skip a level
				sections = append(sections, "")
			}
			sections = append(sections[:level-1:level-1], line)
			begin("")
			open = false
		case trimmed == "":
			open = false
		case marksOnly.MatchString(line) && !open && last >= 0 && heading.MatchString(parts[last].text):
			sections[len(sections)-1] += " (f" + strings.TrimSuffix(line[1:], ".") + ")"
			parts[last].sections = slices.Clone(sections) // the heading may be the new name
			begin("")
			parts[last+1].text = sections[len(sections)-1]
			open = false
		case beginning.MatchString(line) || !open:
			language := ""
			if strings.HasPrefix(line, "    ") && !open && !beginning.MatchString(line) {
				language = "indented"
			}
			begin(language)
		default:
			parts[last].text += "\n" + line
		}
	}
	return parts
}

// unmarked returns the places of a document that name what came after the release without saying so, and marks that say
// so of a version that is released: "12: metric flowbridge_x is not in 1.1.0; …".
func (n names) unmarked(file, document, version string) (wrong []string) {
	if strings.HasSuffix(file, ".yaml") { // an example: a comment marks all of it
		document = "```yaml\n" + document + "```"
	}
	parts := partsOf(document)
	for i, p := range parts {
		marked := mark.MatchString(p.text) || mark.MatchString(strings.Join(p.sections, "\n"))
		if p.language != "" && i > 0 { // the words before a block mark it
			marked = marked || mark.MatchString(parts[i-1].text)
		}
		for _, m := range mark.FindAllStringSubmatch(p.text, -1) {
			if !isAfter(m[1], version) {
				wrong = append(wrong, fmt.Sprintf("%d: %s is released; delete %q", p.line, m[1], m[0]))
			}
		}
		if marked {
			continue
		}
		for _, name := range n.laterIn(file, p) {
			wrong = append(wrong, fmt.Sprintf("%d: %s is not in %s; mark the paragraph, entry, row or heading: (from …)",
				p.line, name, version))
		}
	}
	return wrong
}

// isAfter compares versions by their first two numbers.
func isAfter(a, b string) bool {
	var a1, a2, b1, b2 int
	_, _ = fmt.Sscanf(a, "%d.%d", &a1, &a2) // 0.0 of what is no version
	_, _ = fmt.Sscanf(b, "%d.%d", &b1, &b2)
	return a1 > b1 || a1 == b1 && a2 > b2
}

var (
	inProse   = regexp.MustCompile(`flowbridge_[a-z0-9_]+|Flowbridge[A-Z]\w+`)
	apiPath   = regexp.MustCompile(`(?:\b(GET|POST|PUT|PATCH|DELETE) )?(/(?:api|debug|healthz|readyz|metrics)[\w{}./-]*)`)
	programs  = regexp.MustCompile(`(?m)(?:^|[\s/;|&(])flowbridge((?: [a-z][a-z-]*)+)([^\n|;&]*)`)
	oneFlag   = regexp.MustCompile(`--[a-z][a-z-]*`)
	setting   = regexp.MustCompile(`^([a-z_]\w*(?:\.[a-z_]\w*)*)(?:: *([\w-]+))?|\b([a-z_]\w*(?:\.[a-z_]\w*)*): *([\w-]+)?`)
	reference = regexp.MustCompile("^\\| `(\\w+)` \\|")
)

// laterIn returns the names of a part that came after the release.
func (n names) laterIn(file string, p part) []string {
	found := map[string]bool{}
	check := func(kind, name string) {
		if n.isLater(kind, name) {
			found[kind+" "+name] = true
		}
	}
	for _, name := range inProse.FindAllString(p.text, -1) {
		for _, ending := range []string{"", "_bucket", "_sum", "_count"} {
			check("metric", strings.TrimSuffix(name, ending))
		}
		check("alert", name)
	}
	code := []string{p.text}
	if p.language == "" {
		code = nil
		for _, m := range span.FindAllStringSubmatch(p.text, -1) {
			code = append(code, strings.NewReplacer("\n", " ", "[]", "").Replace(m[1]))
		}
	}
	for _, text := range code {
		n.apiIn(text, found)
		n.commandsIn(text, p.language == "", found)
		if p.language != "" {
			continue
		}
		for _, m := range setting.FindAllStringSubmatch(text, -1) {
			check("setting", m[1]+m[3])
			if value := m[2] + m[4]; value != "" {
				check("setting", m[1]+m[3]+"="+value)
			}
		}
	}
	m := reference.FindStringSubmatch(p.text)
	if m != nil && strings.HasSuffix(file, "/configuration.md") && len(p.sections) > 0 {
		for section := range strings.SplitSeq(strings.TrimLeft(p.sections[len(p.sections)-1], "# "), ", ") {
			check("setting", strings.TrimPrefix(strings.ReplaceAll(section+"."+m[1], "[]", ""), "Sections."))
		}
	}
	if strings.HasSuffix(p.language, " yaml") {
		var tree any
		if yaml.Unmarshal([]byte(p.text), &tree) == nil { // another test parses them
			settingsIn(tree, "", check)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// settingsIn checks the keys and values of a YAML file.
func settingsIn(tree any, path string, check func(kind, name string)) {
	switch v := tree.(type) {
	case map[string]any:
		for key, value := range v {
			below := strings.TrimPrefix(path+"."+key, ".")
			check("setting", below)
			settingsIn(value, below, check)
		}
	case []any:
		for _, item := range v {
			settingsIn(item, path, check)
		}
	case string:
		check("setting", path+"="+v)
	}
}

// apiIn finds paths of the admin API, whose variable parts a document may fill: /api/calls/ID.
func (n names) apiIn(text string, found map[string]bool) {
	for _, m := range apiPath.FindAllStringSubmatch(text, -1) {
		matches := func(all map[string]bool) string {
			for _, name := range slices.Sorted(maps.Keys(all)) {
				name, isAPI := strings.CutPrefix(name, "api ")
				method, path, _ := strings.Cut(name, " ")
				if isAPI && (m[1] == "" || m[1] == method) && samePath(path, strings.TrimRight(m[2], ".")) {
					return "api " + name
				}
			}
			return ""
		}
		if later := matches(n.later); later != "" && matches(n.released) == "" {
			found[later] = true
		}
	}
}

func samePath(path, written string) bool {
	a, b := strings.Split(path, "/"), strings.Split(written, "/")
	return slices.EqualFunc(a, b, func(a, b string) bool { return a == b || strings.HasPrefix(a, "{") && b != "" })
}

// commandsIn finds commands and their flags. A span of code may leave the program's name out.
func (n names) commandsIn(text string, isSpan bool, found map[string]bool) {
	orders := programs.FindAllStringSubmatch(text, -1)
	if _, shared := n.released["word "+text]; isSpan && orders == nil && !shared && !n.released["setting "+text] {
		orders = programs.FindAllStringSubmatch("flowbridge "+text, -1)
		for _, f := range oneFlag.FindAllString(text, -1) {
			n.flag(f, found)
		}
	}
	for _, m := range orders {
		path, command := "flowbridge", ""
		for word := range strings.FieldsSeq(m[1]) {
			if path += " " + word; n.released["command "+path] || n.later["command "+path] {
				command = path
			}
		}
		if n.later["command "+command] {
			found["command "+command] = true
		}
		for _, f := range oneFlag.FindAllString(m[2], -1) {
			if n.later["flag "+command+" "+f] {
				found["flag "+command+" "+f] = true
			}
		}
	}
}

// flag finds a flag that is written without its command, and that no command of the release has.
func (n names) flag(written string, found map[string]bool) {
	for name := range n.released {
		if strings.HasPrefix(name, "flag ") && strings.HasSuffix(name, " "+written) {
			return
		}
	}
	for name := range n.later {
		if strings.HasPrefix(name, "flag ") && strings.HasSuffix(name, " "+written) {
			found["flag "+written] = true
		}
	}
}

func TestUnmarked(t *testing.T) {
	released := []string{
		"alert FlowbridgeDown", "api GET /api/calls", "api GET /api/calls/{id}", "command flowbridge calls", "command flowbridge calls list",
		"flag flowbridge calls list --json", "metric flowbridge_calls_open", "setting targets.kind", "setting targets.kind=sip", "setting targets.uri",
		"setting routes", "setting targets", "word lately",
	}
	n := newNames(append([]string{
		"alert FlowbridgeLate", "api POST /api/calls/{id}/late", "api DELETE /api/calls/{id}", "command flowbridge calls late", "flag flowbridge calls late --much",
		"flag flowbridge calls list --much", "metric flowbridge_late_seconds", "setting targets.kind=late", "setting targets.late", "setting targets.late.uri",
		"setting targets.lately", "command flowbridge lately",
	}, released...), released)
	for _, c := range []struct{ name, document, want string }{
		{"what the release has", "`flowbridge calls list --json`, `/api/calls/ID`, `kind: sip`, `targets.uri`, flowbridge_calls_open, FlowbridgeDown late", ""},
		{"a word that the release has with another meaning", "`lately`", ""},
		{"a metric in prose", "first\n\nlate:\nflowbridge_late_seconds_bucket", "3: metric flowbridge_late_seconds"},
		{"an alert", "- one\n- FlowbridgeLate", "2: alert FlowbridgeLate"},
		{"a path", "`POST /api/calls/7/late`", "1: api POST /api/calls/{id}/late"},
		{"a new method of a path", "`DELETE /api/calls/ID`", "1: api DELETE /api/calls/{id}"},
		{"a command", "Run `flowbridge calls late 7`.", "1: command flowbridge calls late"},
		{"a command in a block", "```sh\n./flowbridge calls late\n```", "1: command flowbridge calls late"},
		{"a command without the program's name", "| `calls late ID` | x |", "1: command flowbridge calls late"},
		{"a flag", "    flowbridge calls list --json --much 3 | jq", "1: flag flowbridge calls list --much"},
		{"a flag alone", "with `--much`", "1: flag --much"},
		{"a key", "set `late.uri`, and `late`", "1: setting late 1: setting late.uri"},
		{"a value", "`{kind: late}`", "1: setting kind=late"},
		{"a configuration", "```yaml\ntargets: [{uri: x, kind: late}]\n```", "1: setting targets.kind=late"},
		{"the reference", "### targets[]\n\n| `uri` | x |\n| `late` | y |", "4: setting late 4: setting targets.late"},
		{"the reference's knobs", "| `targets[].late.uri` | z |", "1: setting targets.late.uri"},
		{"a marked paragraph", "With `--much`,\nmuch (from 1.2).", ""},
		{"a marked entry beside one without", "- `--much` (from 1.2)\n- `targets.late`", "2: setting targets.late"},
		{"a marked row", "| `late` | y (from 1.2) |", ""},
		{"a marked section", "## Late (from 1.2)\n\n### More\n\nflowbridge_late_seconds\n\n## Other\n\nFlowbridgeLate", "9: alert FlowbridgeLate"},
		{"a section with a marking line", "# Late\n\nFrom 1.2.\n\nflowbridge_late_seconds", ""},
		{"a section whose heading is new", "# flowbridge_late_seconds\n\nFrom 1.2.\n\nIt is new.", ""},
		{"a block after marked words", "So (from 1.2):\n\n    flowbridge calls late\n\nflowbridge_late_seconds", "5: metric flowbridge_late_seconds"},
		{"a mark of what is released", "`--json` (from 1.1)", `1: 1.1 is released`},
	} {
		var got []string
		for _, wrong := range n.unmarked("docs/configuration.md", c.document, "1.1.0") {
			wrong, _, _ = strings.Cut(wrong, " is not in 1.1.0")
			wrong, _, _ = strings.Cut(wrong, ";")
			got = append(got, wrong)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: want - got +\n%s", c.name, diff)
		}
	}
}
