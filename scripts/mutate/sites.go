package main

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mutant is a change of one place in a source file: text before and after a part of it, and in place of an operator.
// Each %s is the condition that the change is on, each %d its id.
type mutant struct {
	name, file, change           string // name and id: of a drawn one. file: relative to the module
	line, id, from, to, op, past int
	before, between, after       string
	order                        [sha256.Size]byte
}

// finder collects the mutants of a file.
type finder struct {
	file, source, function string
	set                    *token.FileSet
	results                *ast.FieldList
	found                  []*mutant
}

// find returns every mutant of a file.
func find(file, source string) ([]*mutant, error) {
	f := &finder{file: file, source: source, set: token.NewFileSet()}
	tree, err := parser.ParseFile(f.set, file, source, 0)
	if err != nil {
		return nil, err
	}
	for _, d := range tree.Decls {
		d, ok := d.(*ast.FuncDecl)
		if !ok || d.Body == nil || len(d.Body.List) == 0 {
			continue
		}
		f.function, f.results = d.Name.Name, d.Type.Results
		early := map[bool]string{false: "return", true: "return false"}[f.isBool()]
		if f.isBool() && len(d.Body.List) > 1 || f.results.NumFields() == 0 {
			m := f.add(d.Body, "", "", early+" at once")
			m.from, m.to, m.before = m.from+1, m.from+1, "if %s { "+early+" };"
		}
		ast.Inspect(d.Body, f.visit)
	}
	return f.found, nil
}

func (f *finder) isBool() bool {
	if f.results.NumFields() != 1 {
		return false
	}
	name, ok := f.results.List[0].Type.(*ast.Ident)
	return ok && name.Name == "bool"
}

func (f *finder) text(n ast.Node) string {
	return f.source[f.set.Position(n.Pos()).Offset:f.set.Position(n.End()).Offset]
}

// add adds a mutant with this text before and after a node.
func (f *finder) add(n ast.Node, before, after, change string) *mutant {
	at := f.set.Position(n.Pos())
	m := &mutant{
		file: f.file, line: at.Line, change: f.function + ": " + strings.Join(strings.Fields(change), " "),
		from: at.Offset, to: f.set.Position(n.End()).Offset, before: before, after: after,
	}
	f.found = append(f.found, m)
	return m
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncLit:
		outer := f.results
		f.results = n.Type.Results
		ast.Inspect(n.Body, f.visit)
		f.results = outer
		return false
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CommClause:
		f.statements(n.Body)
		f.clause(n.Body)
	case *ast.CaseClause:
		f.statements(n.Body)
		f.clause(n.Body)
	case *ast.SwitchStmt:
		for _, c := range n.Body.List {
			if n.Tag == nil {
				f.negate(c.(*ast.CaseClause).List...)
			}
		}
	case *ast.IfStmt:
		f.negate(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			f.negate(n.Cond)
		}
	case *ast.ReturnStmt:
		if f.isBool() {
			f.negate(n.Results...)
		}
	case *ast.BinaryExpr:
		f.binary(n)
	}
	return true
}

func (f *finder) negate(conditions ...ast.Expr) {
	for _, c := range conditions {
		f.add(c, "((", ") != %s)", "negate "+f.text(c))
	}
}

// statements adds the mutants that drop one statement. The compiler may need a panic where nothing is returned.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch a := s.(type) {
		case *ast.AssignStmt:
			if a.Tok == token.DEFINE {
				continue
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.GoStmt, *ast.DeferStmt:
		default:
			continue
		}
		if !strings.HasPrefix(f.text(s), "panic(") {
			f.add(s, "if !%s { ", " }", "drop "+f.text(s))
		}
	}
}

// clause adds the mutant in which a case does nothing, if that is more than one statement. The compiler may need a
// return, and a fallthrough must be the last statement.
func (f *finder) clause(body []ast.Stmt) {
	if len(body) < 2 {
		return
	}
	switch body[len(body)-1].(type) {
	case *ast.BranchStmt:
		return
	case *ast.ReturnStmt:
		if f.results.NumFields() > 0 {
			return
		}
	}
	all := &ast.BlockStmt{Lbrace: body[0].Pos(), Rbrace: body[len(body)-1].End() - 1}
	f.add(all, "if !%s { ", " }", "empty the case of "+f.text(all))
}

// operators has what replaces a binary operator: text before, between and after its operands, and the other operator.
var operators = map[token.Token][4]string{
	token.LAND: {"mutation__.And(%d, ", ", func() bool { return (", ") })", "||"},
	token.LOR:  {"mutation__.Or(%d, ", ", func() bool { return (", ") })", "&&"},
	token.LSS:  {"mutation__.Less(%d, ", ",", ")", "<="},
	token.LEQ:  {"mutation__.AtMost(%d, ", ",", ")", "<"},
	token.GTR:  {"!mutation__.AtMost(%d, ", ",", ")", ">="},
	token.GEQ:  {"!mutation__.Less(%d, ", ",", ")", ">"},
}

// binary adds the mutants of && and ||, of which also a side is ignored, and of comparisons.
func (f *finder) binary(b *ast.BinaryExpr) {
	with, ok := operators[b.Op]
	if !ok {
		return
	}
	m := f.add(b, with[0], with[2], b.Op.String()+" becomes "+with[3]+" in "+f.text(b))
	m.op = f.set.Position(b.OpPos).Offset
	m.past, m.between = m.op+len(b.Op.String()), with[1]
	ignored := map[token.Token]string{token.LAND: ") || %s)", token.LOR: ") && !%s)"}[b.Op]
	for _, x := range []ast.Expr{b.X, b.Y} {
		if ignored != "" {
			f.add(x, "((", ignored, "ignore "+f.text(x)+" in "+f.text(b))
		}
	}
}

// draw gives n of the mutants a name and an id. After a change of the code elsewhere it draws the same ones.
func draw(all []*mutant, seed string, n int) []*mutant {
	seen := map[string]int{}
	for _, m := range all {
		key := fmt.Sprint(seed, m.file, m.change)
		seen[key]++
		m.order = sha256.Sum256(fmt.Append(nil, key, seen[key]))
		m.name = fmt.Sprintf("%x", m.order[:3])
	}
	slices.SortFunc(all, func(a, b *mutant) int { return slices.Compare(a.order[:], b.order[:]) })
	all = all[:min(n, len(all))]
	for i, m := range all {
		m.id = i + 1
	}
	return all
}

// apply returns a file's source with mutants in it on the same lines. Texts at the same place are ordered by keys: what
// ends there, the inner one first, then what begins, the outer one first. Of one node, an operator's is the innermost.
func apply(source string, mutants []*mutant) string {
	type edit struct {
		from, to int
		text     string
		key      []int
	}
	clause := regexp.MustCompile(`(?m)^package \w+`).FindStringIndex(source)[1]
	edits := []edit{{clause, clause, `; import mutation__ "` + runtimePath + `"`, nil}}
	for _, m := range mutants {
		with := strings.NewReplacer("%s", fmt.Sprintf("mutation__.On(%d)", m.id), "%d", strconv.Itoa(m.id))
		inner := m.id + m.op<<16
		edits = append(edits, edit{m.from, m.from, with.Replace(m.before), []int{1, -m.to, inner}})
		edits = append(edits, edit{m.to, m.to, with.Replace(m.after), []int{0, -m.from, -inner}})
		if m.op > 0 {
			edits = append(edits, edit{m.op, m.past, m.between, []int{2}})
		}
	}
	slices.SortFunc(edits, func(a, b edit) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return slices.Compare(a.key, b.key)
	})
	var out strings.Builder
	last := 0
	for _, e := range edits {
		out.WriteString(source[last:e.from] + e.text)
		last = e.to
	}
	return out.String() + source[last:]
}
