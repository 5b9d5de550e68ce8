package flowbridge_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"flowbridge/b2bua/cause"
	"flowbridge/internal/logmessage"
	"flowbridge/telemetry/live"
)

//go:generate go test . -run TestGenerated -update

var update = flag.Bool("update", false, "write the files that are made of the tables of causes and messages")

// TestGenerated checks that docs/causes.md, docs/runbook.md and the admin page agree with the tables in the code. With
// -update, it writes them.
func TestGenerated(t *testing.T) {
	causes := "| cause | what happened | carrier got | look at, and do |\n|---|---|---|---|\n"
	messages := "| message | what it means | do |\n|---|---|---|\n"
	page := map[cause.Cause]map[string]string{}
	for _, e := range cause.All() {
		causes += row(t, "causes.md", e.More, string(e.Name), e.Happened, e.Got, e.Look)
		page[e.Name] = map[string]string{"side": e.Side, "happened": e.Happened, "look": e.Look}
	}
	for _, e := range logmessage.All() {
		messages += row(t, "runbook.md", e.More, e.Message, e.Means, e.Do)
	}
	texts, err := json.MarshalIndent(page, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"docs/causes.md":        tableIn(t, "docs/causes.md", causes),
		"docs/runbook.md":       tableIn(t, "docs/runbook.md", messages),
		"admin/web/causes.json": string(texts) + "\n",
	} {
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if diff := cmp.Diff(want, read(t, file)); diff != "" {
			t.Errorf("%s is not what the tables say; run go generate at the root: want - got +\n%s", file, diff)
		}
	}
}

// row returns a row of a page in docs. Its last cell ends with the link or consists only of it.
func row(t *testing.T, page, more, name string, cells ...string) string {
	t.Helper()
	if last := len(cells) - 1; more != "" {
		more = "[more](" + strings.TrimPrefix(more, page) + ")"
		cells[last] = strings.TrimPrefix(cells[last]+"; "+more, "; ")
	}
	for _, cell := range cells {
		if cell == "" || strings.ContainsAny(cell, "|\n") || strings.Contains(strings.TrimSuffix(cell, more), "](") {
			t.Errorf("%s: %q is no text of a row: it is empty, or has a line break, a | or a link", name, cell)
		}
	}
	return "| `" + name + "` | " + strings.Join(cells, " | ") + " |\n"
}

// tableIn returns the page with the table between its two marker comments.
func tableIn(t *testing.T, page, table string) string {
	t.Helper()
	const begin, end = "<!-- begin of the generated table -->\n", "<!-- end of the generated table -->\n"
	before, rest, begun := strings.Cut(read(t, page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		t.Fatalf("%s has no place for the table", page)
	}
	return before + begin + "\n" + table + "\n" + end + after
}

// TestRunbookHasEveryAlert checks that each alert has a section, named by the alert's rule, that says what it means,
// where to look and what to do. There must be no other sections.
func TestRunbookHasEveryAlert(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "contrib/prometheus/flowbridge.rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	_, alerts, _ := strings.Cut(read(t, "docs/runbook.md"), "\n## Alerts\n")
	alerts, _, _ = strings.Cut(alerts, "\n## ")
	sections := map[string]string{}
	for _, section := range strings.Split(alerts, "\n### ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		sections[name] = text
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			text, ok := sections[r.Alert]
			delete(sections, r.Alert)
			switch {
			case !ok:
				t.Errorf("docs/runbook.md has no section on %s", r.Alert)
			case !strings.Contains(text, "\n**Look.** ") || !strings.Contains(text, "\n**Do.** "):
				t.Errorf("docs/runbook.md does not say where to look, or what to do, about %s", r.Alert)
			}
			if want := "docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s needs a summary, a description, and the runbook %s: %v", r.Alert, want, r.Annotations)
			}
		}
	}
	for name := range sections {
		t.Errorf("docs/runbook.md has a section on %s, which is no alert", name)
	}
}

// TestEveryTroubleHasItsAlert checks that docs/runbook.md has a row for each kind of trouble, with its severity, whether
// /readyz fails, and its alert, of which there is a rule. TestRunbookHasEveryAlert wants a section for each rule.
func TestEveryTroubleHasItsAlert(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "docs/runbook.md"), "\n## What is not well\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := strings.Split(strings.TrimSpace(table), "\n| `")[1:]
	rules := read(t, "contrib/prometheus/flowbridge.rules.yml")
	kinds := live.TroubleKinds()
	if len(rows) != len(kinds) {
		t.Fatalf("%d rows; want one for each of %d kinds", len(rows), len(kinds))
	}
	for i, k := range kinds {
		cells := strings.Split(rows[i], " | ")
		readyz := ""
		if k.NotReady {
			readyz = "503"
		}
		want := []string{k.Code + "`", k.Severity, readyz, "[" + k.Alert + "](#" + strings.ToLower(k.Alert) + ") |"}
		if got := []string{cells[0], cells[2], strings.TrimSpace(cells[3]), cells[4]}; !slices.Equal(got, want) {
			t.Errorf("row %d is %q; want %q", i, got, want)
		}
		if !strings.Contains(rules, "- alert: "+k.Alert+"\n") {
			t.Errorf("%s has no rule %s", k.Code, k.Alert)
		}
	}
}

// TestEveryMessageIsExplained checks that the table contains exactly the messages that the program logs as warnings or
// errors.
func TestEveryMessageIsExplained(t *testing.T) {
	logged, last := warnings(t), ""
	for _, e := range logmessage.All() {
		if logged[e.Message] == "" {
			t.Errorf("the table of messages has %q twice, or the program does not log it", e.Message)
		}
		delete(logged, e.Message)
		if name := strings.ToLower(e.Message); name < last {
			t.Errorf("%q comes after %q: the table is in the order of the alphabet", name, last)
		} else {
			last = name
		}
	}
	for message, where := range logged {
		t.Errorf("internal/logmessage/messages.yaml does not have %q of %s", message, where)
	}
}

// notRunning lists the directories whose log messages a server's operator never sees: stand-ins, tests and tools.
var notRunning = []string{"sim", "cmd/flowbridge/e2e", "scripts", ".git"}

// warnings returns the messages that the program logs as warnings or errors, each with one place where it is logged.
func warnings(t *testing.T) map[string]string {
	t.Helper()
	all, fields := map[string]string{}, map[string][]string{} // fields by directory and name
	files := token.NewFileSet()
	var functions []*ast.FuncDecl
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(notRunning, path):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "Msg") {
			return err
		}
		file, err := parser.ParseFile(files, path, text, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
				functions = append(functions, f)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if pair, ok := n.(*ast.KeyValueExpr); ok {
				if name, ok := pair.Key.(*ast.Ident); ok && literal(pair.Value) != "" {
					at := filepath.Join(filepath.Dir(path), name.Name)
					fields[at] = append(fields[at], literal(pair.Value))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		messagesOf(t, files, f, fields, all)
	}
	if len(all) < 50 {
		t.Fatalf("%d messages: the search has missed most of them", len(all))
	}
	return all
}

// messagesOf adds the messages of a function to all. A log line is a chain of calls that begins with the level, or with
// a variable that holds such a chain. Its message is a string, or a struct field that is set to a string wherever such
// a value is made.
func messagesOf(t *testing.T, files *token.FileSet, f *ast.FuncDecl, fields map[string][]string, all map[string]string) {
	loud := map[string]bool{} // variables that hold a chain
	ast.Inspect(f, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
			for i, right := range a.Rhs {
				if name, ok := a.Lhs[i].(*ast.Ident); ok && isLoud(right, loud) {
					loud[name.Name] = true
				}
			}
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		end, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Msg", "Msgf", "MsgFunc", "Send"}, end.Sel.Name) || !isLoud(end.X, loud) {
			return true
		}
		at := files.Position(call.Pos())
		where := fmt.Sprintf("%s:%d", at.Filename, at.Line)
		var texts []string
		if len(call.Args) == 1 {
			if text := literal(call.Args[0]); text != "" {
				texts = append(texts, text)
			} else if field, ok := call.Args[0].(*ast.SelectorExpr); ok {
				texts = fields[filepath.Join(filepath.Dir(at.Filename), field.Sel.Name)]
			}
		}
		if len(texts) == 0 || end.Sel.Name != "Msg" {
			t.Errorf("%s: the message of a warning or an error is a constant, so that it can be looked up", where)
		}
		for _, text := range texts {
			all[text] = where
		}
		return true
	})
}

// literal returns the value of a string literal, or "" for any other expression.
func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		text, _ := strconv.Unquote(lit.Value)
		return text
	}
	return ""
}

// isLoud reports whether an expression is a log line at level warn or above, or at a level chosen at run time.
func isLoud(e ast.Expr, loud map[string]bool) bool {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return loud[x.Name]
		case *ast.ParenExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.CallExpr:
			if s, ok := x.Fun.(*ast.SelectorExpr); ok {
				switch s.Sel.Name {
				case "Warn", "WithLevel":
					return true
				case "Error", "Fatal", "Panic":
					return len(x.Args) == 0 && isLogger(s.X)
				}
			}
			e = x.Fun
		default:
			return false
		}
	}
}

// isLogger reports whether an expression is a logger rather than an error, whose Error method has no arguments either.
func isLogger(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.Ident:
		return !strings.HasPrefix(strings.ToLower(x.Name), "err")
	case *ast.SelectorExpr:
		return !strings.HasPrefix(strings.ToLower(x.Sel.Name), "err")
	default:
		return true
	}
}
