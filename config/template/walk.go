package template

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"text/template/parse"
)

// walker walks a parsed template once. It records uses of .Prepare, and finds fields that do not exist, even in
// branches that the sample values never reach.
type walker struct {
	prepare bool
	columns []string // columns of the table of numbers
	dials   []string // the first two names of the fields whose values come before an @: "To.Number"
	host    bool     // the @ has been passed
	asks    bool     // inside a condition, which gives no output
	err     error
}

// list walks the nodes of one block. root says whether the dot is still the call's Vars.
func (w *walker) list(l *parse.ListNode, root bool) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		w.node(n, root)
	}
}

func (w *walker) node(n parse.Node, root bool) {
	switch n := n.(type) {
	case *parse.TextNode:
		w.host = w.host || bytes.ContainsRune(n.Text, '@')
	case *parse.ActionNode:
		w.pipe(n.Pipe, root)
	case *parse.IfNode:
		w.asks = true
		w.pipe(n.Pipe, root)
		w.asks = false
		w.branches(&n.BranchNode, root, root)
	case *parse.WithNode:
		w.pipe(n.Pipe, root)
		w.branches(&n.BranchNode, root, false)
	case *parse.RangeNode:
		w.fail("range cannot be used here")
	case *parse.TemplateNode:
		w.fail("template cannot be used here")
	case *parse.PipeNode:
		w.pipe(n, root)
	case *parse.ChainNode:
		w.node(n.Node, root)
		w.note(n.Field)
	case *parse.FieldNode:
		w.note(n.Ident)
		if root {
			w.resolve(n.Ident)
		}
	case *parse.VariableNode:
		w.note(n.Ident[1:])
		if n.Ident[0] == "$" {
			w.resolve(n.Ident[1:])
		}
	}
}

func (w *walker) branches(b *parse.BranchNode, root, inner bool) {
	host := w.host
	w.list(b.List, inner)
	then := w.host
	w.host = host
	w.list(b.ElseList, root)
	w.host = w.host && then
}

func (w *walker) pipe(p *parse.PipeNode, root bool) {
	if p == nil {
		return
	}
	for _, cmd := range p.Cmds {
		for _, arg := range cmd.Args {
			w.node(arg, root)
		}
	}
}

func (w *walker) note(fields []string) {
	if len(fields) > 0 && fields[0] == "Prepare" {
		w.prepare = true
	}
	if len(fields) > 0 && fields[0] == "Row" {
		w.column(fields[1:])
	}
	if !w.host && !w.asks {
		w.dials = append(w.dials, strings.Join(fields[:min(len(fields), 2)], "."))
	}
}

// column records a column of the table. The row as a whole can't be used as a value.
func (w *walker) column(names []string) {
	if len(names) != 1 {
		w.fail(".Row stands with one name of a column, like .Row.agent")
		return
	}
	w.columns = append(w.columns, names[0])
}

func (w *walker) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// resolve follows a path of fields from Vars. A method with arguments ends it: its result has no fields.
func (w *walker) resolve(path []string) {
	at := reflect.TypeFor[Vars]()
	for i, name := range path {
		if m, ok := at.MethodByName(name); ok {
			if m.Type.NumIn() > 1 { // it has arguments besides the receiver
				return
			}
			at = m.Type.Out(0)
			continue
		}
		if at == reflect.TypeFor[Row]() {
			return
		}
		st := at
		if st.Kind() == reflect.Pointer {
			st = st.Elem()
		}
		var field reflect.StructField
		ok := false
		if st.Kind() == reflect.Struct {
			field, ok = st.FieldByName(name)
		}
		if !ok {
			w.fail("there is no .%s; %s", strings.Join(path[:i+1], "."), fieldsOf(st, path[:i]))
			return
		}
		at = field.Type
	}
}

// fieldsOf lists the fields that the author may have meant.
func fieldsOf(t reflect.Type, prefix []string) string {
	at := "." + strings.Join(prefix, ".")
	if t.Kind() != reflect.Struct {
		return at + " has no fields"
	}
	var names []string
	for f := range t.Fields() {
		if f.Name == "HeaderFunc" || f.Name == "Verified" || f.Name == "Body" {
			continue
		}
		names = append(names, strings.TrimSuffix(at, ".")+"."+f.Name)
	}
	if t == reflect.TypeFor[Vars]() {
		names = append(names, ".Lead", ".Agent", ".Identity")
	}
	return "there are " + strings.Join(names, ", ")
}
