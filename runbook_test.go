package flowbridge_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"flowbridge/b2bua/cause"
)

// runbook is docs/runbook.md by its parts: the sections of alerts, and the rows of the two tables.
type runbook struct {
	alerts   map[string]string
	messages map[string][]string // the cells of a row, by its first
	causes   map[string][]string
	order    []string // of messages
}

func readRunbook(t *testing.T) runbook {
	t.Helper()
	b := runbook{alerts: map[string]string{}, messages: map[string][]string{}, causes: map[string][]string{}}
	part, alert := "", ""
	row := regexp.MustCompile("^\\| `([^`]+)` \\|(.*)\\|$")
	for line := range strings.Lines(read(t, "docs/runbook.md")) {
		line = strings.TrimSuffix(line, "\n")
		if title, ok := strings.CutPrefix(line, "## "); ok {
			part, alert = title, ""
			continue
		}
		if title, ok := strings.CutPrefix(line, "### "); ok && part == "Alerts" {
			alert = title
		}
		if alert != "" {
			b.alerts[alert] += line + "\n"
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		into := map[string]map[string][]string{"Messages": b.messages, "Causes": b.causes}[part]
		if into == nil {
			continue
		}
		if part == "Messages" {
			b.order = append(b.order, strings.ToLower(m[1]))
		}
		if into[m[1]] != nil {
			t.Errorf("docs/runbook.md has %q twice", m[1])
		}
		for cell := range strings.SplitSeq(m[2], " | ") {
			into[m[1]] = append(into[m[1]], strings.TrimSpace(cell))
		}
	}
	return b
}

// TestRunbookHasEveryAlert: each alert has a section that says what it means, where to look and what to do, and is named
// by its rule; there is no other section.
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
	sections := readRunbook(t).alerts
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

// TestRunbookHasEveryCause: each cause of docs/causes.md has a row, and nothing else has one.
func TestRunbookHasEveryCause(t *testing.T) {
	rows := readRunbook(t).causes
	for _, c := range cause.Causes() {
		wantRow(t, rows, string(c))
	}
	for name := range rows {
		t.Errorf("docs/runbook.md has the cause %s, which does not exist", name)
	}
}

// TestRunbookHasEveryMessage: each message that the program logs as a warning or an error has a row, and nothing else has
// one.
func TestRunbookHasEveryMessage(t *testing.T) {
	book := readRunbook(t)
	rows := book.messages
	for i, message := range book.order[1:] {
		if message < book.order[i] {
			t.Errorf("docs/runbook.md: %q comes after %q: the rows are in the order of the alphabet", message, book.order[i])
		}
	}
	for message, where := range warnings(t) {
		if _, ok := rows[message]; !ok {
			t.Errorf("docs/runbook.md does not have %q of %s", message, where)
			continue
		}
		wantRow(t, rows, message)
	}
	for message := range rows {
		t.Errorf("docs/runbook.md has the message %q, which the program does not log", message)
	}
}

// wantRow takes a row, which has to say what it means, where to look and what to do.
func wantRow(t *testing.T, rows map[string][]string, name string) {
	t.Helper()
	cells, ok := rows[name]
	delete(rows, name)
	if !ok {
		t.Errorf("docs/runbook.md has no row for %s", name)
	} else if len(cells) != 3 || slices.Contains(cells, "") {
		t.Errorf("docs/runbook.md: the row of %s has not the three cells what, look and do: %q", name, cells)
	}
}

// notRunning are the packages whose log no operator of a server sees: stand-ins, tests and tools.
var notRunning = []string{"sim", "cmd/flowbridge/e2e", "scripts", ".git"}

// warnings are the messages that the program logs as warnings or errors, with a place of each.
func warnings(t *testing.T) map[string]string {
	t.Helper()
	all, fields := map[string]string{}, map[string][]string{} // by directory and name
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

// messagesOf notes the messages of a function. A line is a chain of calls that begins with the level, or with a variable
// that was given such a chain. Its message is a text, or a field of a value that has a text wherever one is made.
func messagesOf(t *testing.T, files *token.FileSet, f *ast.FuncDecl, fields map[string][]string, all map[string]string) {
	loud := map[string]bool{} // variables
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

// literal is the text of an expression that is one, else empty.
func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		text, _ := strconv.Unquote(lit.Value)
		return text
	}
	return ""
}

// isLoud says whether an expression is a line of the log at a level from warn on, or at one that is chosen at run time.
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

// isLogger tells a logger from an error, whose Error has no arguments either.
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

// TestRunbookLinksLead: what the runbook names of itself is there.
func TestRunbookLinksLead(t *testing.T) {
	text := read(t, "docs/runbook.md")
	titles := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		titles[strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")] = true
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		if !titles[m[1]] {
			t.Errorf("docs/runbook.md links to #%s, which is not there", m[1])
		}
	}
}
