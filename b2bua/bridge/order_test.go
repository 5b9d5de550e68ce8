package bridge

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// kinds returns the names of a bridge's services and features, in the order in which they handle events.
func kinds() (services, features []string) {
	for _, p := range (&Bridge{}).list() {
		t := reflect.TypeOf(p).Elem()
		if f, _ := t.FieldByName("service"); f.Anonymous {
			services = append(services, t.Name())
		} else {
			features = append(features, t.Name())
		}
	}
	return services, features
}

// TestPartsAreDocumented: ARCHITECTURE.md lists the parts of a bridge as they are. Their order matters: the part that
// hides a key acts before the part that plays it to the other side (TestOrderOfEffects).
func TestPartsAreDocumented(t *testing.T) {
	services, features := kinds()
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(string(text)), " ")
	for kind, names := range map[string][]string{"services": services, "features": features} {
		if want := kind + " " + strings.ToLower(strings.Join(names, ", ")); !strings.Contains(words, want) {
			t.Errorf("ARCHITECTURE.md does not say %q", want)
		}
	}
}

// TestServicesNameNoFeature: a service works without knowing what is built on it, and features that know one another
// do so one way.
func TestServicesNameNoFeature(t *testing.T) {
	services, features := kinds()
	if len(services) < 4 || len(features) < 9 {
		t.Fatalf("services %q, features %q", services, features)
	}
	names := namedBy(t, append(slices.Clone(services), features...))
	for _, s := range services {
		for _, f := range features {
			if names[s][f] {
				t.Errorf("the service %s names the feature %s", s, f)
			}
		}
	}
	var visit func(path []string)
	visit = func(path []string) {
		for _, f := range features {
			if !names[path[len(path)-1]][f] || f == path[len(path)-1] {
				continue
			}
			if slices.Contains(path, f) {
				t.Errorf("features know one another: %s", strings.Join(append(path, f), " → "))
				return
			}
			visit(append(slices.Clip(path), f))
		}
	}
	for _, f := range features {
		visit([]string{f})
	}
}

// namedBy returns which parts each part names: in its type, in its methods, and in methods of the bridge that it calls,
// directly or not.
func namedBy(t *testing.T, parts []string) map[string]map[string]bool {
	t.Helper()
	names, bridge := map[string]map[string]bool{}, map[string]map[string]bool{} // of Bridge: by method
	uses := map[string]map[string]bool{}                                        // methods of Bridge, by part
	into := func(m map[string]map[string]bool, of string) map[string]bool {
		if m[of] == nil {
			m[of] = map[string]bool{}
		}
		return m[of]
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch owner, method := ownerOf(d); {
			case owner == "Bridge" && method != "":
				namesIn(d, parts, into(bridge, method), into(uses, "Bridge."+method))
			case slices.Contains(parts, owner):
				namesIn(d, parts, into(names, owner), into(uses, owner))
			}
		}
	}
	for _, part := range parts {
		seen, next := map[string]bool{}, slices.Collect(maps.Keys(uses[part]))
		for len(next) > 0 {
			method := next[0]
			if next = next[1:]; !seen[method] {
				seen[method] = true
				maps.Copy(into(names, part), bridge[method])
				next = slices.AppendSeq(next, maps.Keys(uses["Bridge."+method]))
			}
		}
	}
	return names
}

// ownerOf returns the type that a declaration declares or has as its receiver, and the method's name.
func ownerOf(d ast.Decl) (owner, method string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil {
			e := d.Recv.List[0].Type
			if star, is := e.(*ast.StarExpr); is {
				e = star.X
			}
			if id, is := e.(*ast.Ident); is {
				return id.Name, d.Name.Name
			}
		}
	case *ast.GenDecl:
		if s, is := d.Specs[0].(*ast.TypeSpec); is {
			return s.Name.Name, ""
		}
	}
	return "", ""
}

// namesIn adds the parts that a declaration names, and the methods of the bridge that it uses.
func namesIn(d ast.Decl, parts []string, names, methods map[string]bool) {
	ast.Inspect(d, func(n ast.Node) bool {
		if n, is := n.(*ast.SelectorExpr); is && isBridge(n.X) {
			if slices.Contains(parts, n.Sel.Name) {
				names[n.Sel.Name] = true
			}
			methods[n.Sel.Name] = true
		}
		return true
	})
}

// isBridge reports whether an expression is the bridge of a part, as the parts write it.
func isBridge(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "b"
	case *ast.SelectorExpr:
		return e.Sel.Name == "bridge"
	}
	return false
}
