package call

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each field of a call has one owner: only the file that declares the field's struct assigns it, and others use the
// owner's verbs. What restores a call is exempt; the bridge is its own package's.
func TestEachFieldHasOneOwner(t *testing.T) {
	p := load(t)
	structs := map[*types.Named]bool{}
	p.structsOf(p.Scope().Lookup("Call").Type(), structs)
	seen := 0
	for _, f := range p.files {
		for _, d := range f.Decls {
			d, is := d.(*ast.FuncDecl)
			if !is || restores(d) {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				for _, e := range assigned(n) {
					holder, field := p.holder(e)
					if holder == nil || !structs[holder] || field == "bridge" {
						continue
					}
					seen++
					if home := p.fileOf(holder.Obj().Pos()); p.fileOf(n.Pos()) != home {
						t.Errorf("%s assigns %s.%s, which belongs to %s", p.fset.Position(n.Pos()), holder.Obj().Name(), field, home)
					}
				}
				return true
			})
		}
	}
	if seen < 100 {
		t.Errorf("found only %d assignments", seen)
	}
}

// checked is this package with its types.
type checked struct {
	*types.Package
	fset  *token.FileSet
	files []*ast.File
	info  types.Info
}

// load reads this package, without its tests.
func load(t *testing.T) *checked {
	t.Helper()
	list, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(list)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	p := &checked{fset: token.NewFileSet(), info: types.Info{
		Selections: map[*ast.SelectorExpr]*types.Selection{}, Uses: map[*ast.Ident]types.Object{},
	}}
	names, _ := filepath.Glob("*.go")
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(p.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p.files = append(p.files, f)
	}
	c := types.Config{Importer: importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	if p.Package, err = c.Check("flowbridge/b2bua/call", p.fset, p.files, &p.info); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *checked) fileOf(at token.Pos) string { return p.fset.Position(at).Filename }

// structsOf adds a struct of this package and the structs of its fields, except those behind pointers.
func (p *checked) structsOf(t types.Type, all map[*types.Named]bool) {
	n, is := t.(*types.Named)
	if !is || n.Obj().Pkg() != p.Package {
		return
	}
	if s, is := n.Underlying().(*types.Struct); is && !all[n] {
		all[n] = true
		for f := range s.Fields() {
			p.structsOf(f.Type(), all)
		}
	}
}

// restores reports whether a function restores calls of an earlier process.
func restores(d *ast.FuncDecl) bool {
	if d.Recv != nil {
		of, _ := d.Recv.List[0].Type.(*ast.StarExpr)
		if of != nil && of.X.(*ast.Ident).Name == "restoring" {
			return true
		}
	}
	return slices.Contains([]string{"restore", "restoreOrigin", "restart", "End", "Resume"}, d.Name.Name)
}

// assigned returns what a statement assigns.
func assigned(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Lhs
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	}
	return nil
}

// holder returns the innermost struct of this package in which an expression assigns a field, and the field. It is nil
// if there is none, or if the way to the field leads through a pointer from there.
func (p *checked) holder(e ast.Expr) (holder *types.Named, field string) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return p.holder(e.X)
	case *ast.IndexExpr:
		return p.holder(e.X)
	case *ast.SelectorExpr:
		s := p.info.Selections[e]
		if s == nil {
			return nil, ""
		}
		t := s.Recv()
		if _, is := t.Underlying().(*types.Pointer); !is {
			if _, local := e.X.(*ast.Ident); local {
				return nil, ""
			}
			holder, field = p.holder(e.X)
		}
		for _, i := range s.Index() {
			if to, is := t.Underlying().(*types.Pointer); is {
				t, holder = to.Elem(), nil
			}
			f := t.Underlying().(*types.Struct).Field(i)
			if n, is := t.(*types.Named); is && n.Obj().Pkg() == p.Package {
				holder, field = n, f.Name()
			}
			t = f.Type()
		}
	}
	return holder, field
}
