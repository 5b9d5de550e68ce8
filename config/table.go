package config

import (
	"fmt"
	"slices"
	"strings"

	"flowbridge/config/template"
)

// Table is the file named by the key `numbers`, with values for each number. It stores every distinct value once.
type Table struct {
	columns []string          // names of the columns, except the number itself
	rows    map[string]uint32 // row of a number
	cells   []uint32          // of all rows, one after the other: indexes into values
	values  []string
	sample  template.Row // one value for each column that has any
	sum     string       // see Sum
	route   int          // the columns that routes use; -1 for an absent one
	targets int
}

// The columns of the table that have a meaning for Flowbridge. All others are only for templates.
const (
	columnNumber  = "number"
	columnRoute   = "route"
	columnTargets = "targets"
)

// Listed is a row of the table, as routes use it.
type Listed struct {
	table *Table
	place int
}

// Find returns the row of a number. ok is false if there is no such row, or no table. The time does not depend on the
// size of the table.
func (t *Table) Find(number string) (l Listed, ok bool) {
	if t == nil {
		return l, false
	}
	place, ok := t.rows[plainHash(number)]
	return Listed{t, int(place) * len(t.columns)}, ok
}

// Size returns how many numbers the table has. It is 0 for a nil table.
func (t *Table) Size() int {
	if t == nil {
		return 0
	}
	return len(t.rows)
}

// Sum identifies the contents of the table: the first 16 digits of the file's SHA-256, as sha256sum prints it. It is
// empty without a table.
func (t *Table) Sum() string {
	if t == nil {
		return ""
	}
	return t.sum
}

func (l Listed) value(column int) string {
	if column < 0 {
		return ""
	}
	return l.table.values[l.table.cells[l.place+column]]
}

// Route returns the name of the route that the row is for, or "" if it is for every route.
func (l Listed) Route() string { return l.value(l.table.route) }

// Targets returns the targets that replace the route's own for this row. It returns none if the row names none.
func (l Listed) Targets() []string { return strings.Fields(l.value(l.table.targets)) }

// Row returns the values for templates.
func (l Listed) Row() template.Row {
	row := make(template.Row, len(l.table.columns))
	for i, name := range l.table.columns {
		row[name] = l.value(i)
	}
	return row
}

// AgentNumber returns the number of a call that a route looks up in the table. This is the called number. If a PBX
// hands over a call that it has placed (direction outbound), it is the calling number.
func (r *Route) AgentNumber(vars *template.Vars) string {
	if r.Direction == template.DirectionOutbound && r.Target == "" {
		return vars.From.Number
	}
	return vars.To.Number
}

// takeSample finds a value for each column, with which templates are tried.
func (t *Table) takeSample() {
	t.sample = make(template.Row, len(t.columns))
	for i, name := range t.columns {
		for at := i; at < len(t.cells) && t.sample[name] == ""; at += len(t.columns) {
			t.sample[name] = t.values[t.cells[at]]
		}
	}
}

// sampleVars returns the values of a made-up call for a template. The call's number has a row in the table. If the
// table could not be read, every column has some value.
func (l *loader) sampleVars(use templateUse, t *template.Template) template.Vars {
	v := use.vars()
	v.Row = l.sampleRow()
	if v.Row == nil && len(t.Columns()) > 0 {
		v.Row = template.Row{}
		for _, name := range t.Columns() {
			v.Row[name] = "value-of-" + name
		}
	}
	return v
}

func (l *loader) sampleRow() template.Row {
	if l.cfg.Numbers == nil {
		return nil
	}
	return l.cfg.Numbers.sample
}

// columnsOf returns the complaint about the columns that a template names.
func (l *loader) columnsOf(t *template.Template) complaint {
	table := l.cfg.Numbers
	// Either the table is not read, or its error has been reported.
	if len(t.Columns()) == 0 || table == nil && (l.withoutSecrets || l.root.has("numbers")) {
		return complaint{}
	}
	if table == nil {
		return refuse("uses .Row, and there is no table of numbers",
			"name its file in numbers at the top level, or use other fields of the call")
	}
	for _, name := range t.Columns() {
		if !slices.Contains(table.columns, name) {
			return refuse("uses .Row."+name+", and the table of numbers has no such column",
				meant(name, table.columns, "its columns are "+strings.Join(table.columns, ", ")))
		}
	}
	return complaint{}
}

// namedAt is a name in the table, with the place where it first occurs.
type namedAt struct {
	name         string
	line, column int
}

// check looks up the routes and targets that the table names, after all of them have been read.
func (c *Config) check(s section) {
	for _, t := range s.l.inTable.targets {
		if s.l.inTable.errors > maxTableErrors {
			return
		}
		if _, why := s.l.targetName(t.name); !why.none() {
			s.l.failTable(t.line, t.column, columnTargets, fmt.Sprintf("%.80q %s", t.name, why.problem),
				why.remedy+"; several are written with spaces between")
		}
	}
	if slices.ContainsFunc(s.l.errs, func(e Error) bool { return strings.HasPrefix(e.Path, "routes") }) {
		return // an entry that could not be read may have the name
	}
	c.checkTold(s.l)
	for _, r := range s.l.inTable.routes {
		if s.l.inTable.errors > maxTableErrors {
			return
		}
		at := c.RouteNamed(r.name)
		switch {
		case at < 0:
			s.l.failTable(r.line, r.column, columnRoute, fmt.Sprintf("%.80q is not the name of a route", r.name),
				meant(r.name, namesOf(s.l.routes), "write name: "+r.name+" below the route, or correct it"))
		case !c.Routes[at].Listed:
			s.l.failTable(r.line, r.column, columnRoute, fmt.Sprintf("names routes[%d], which does not look into the table", at),
				"write listed: true below the route")
		}
	}
}

// failTable reports an error in the table's file. After maxTableErrors it says once that there are more.
func (l *loader) failTable(line, column int, name, problem, remedy string) {
	if l.inTable.errors++; l.inTable.errors > maxTableErrors+1 {
		return
	}
	if l.inTable.errors > maxTableErrors {
		column, name, problem, remedy = 0, "", "there are more errors, from this line on", "correct those before it first"
	}
	l.errs = append(l.errs, Error{
		File: l.inTable.file, Line: line, Column: column, Path: name, Problem: problem,
		Remedy: remedy,
	})
}
